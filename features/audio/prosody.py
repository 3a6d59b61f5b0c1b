"""Voice and prosody: the quantities of eGeMAPS written from the paper, with contours and pauses beside them.

Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing",
IEEE Trans. Affective Computing 7(2), 2016. Loudness, cepstra, flux and balance are those of 20 ms frames as in the
paper; pitch, harmonics and formants those of the 40 ms of the shared spectrum (the paper: 60 and 20 ms). Names ending
in ``_all`` are taken over the whole clip as in the paper, the others between the first and the last sound.
A quantity that the clip does not define (F0 of a clip without voice, pauses' length without a pause) is NaN.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _cycles, _formants, _pitch
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._contour import (
    CONTOUR_STATISTICS,
    NAN,
    STEP,
    SWING,
    Values,
    contour,
    moments,
    smoothed,
    spread,
    turning_points,
)
from affectlake.features.audio._frames import (
    balance,
    cepstra,
    flux,
    flux_per_level,
    harmonics,
    loudness,
    semitones,
)
from affectlake.features.audio._functionals import percentile
from affectlake.features.audio._handcrafted import Handcrafted
from affectlake.features.protocol import Column, Nuisance

INF = float("inf")
PAPER = "Eyben et al. 2016 (eGeMAPS)"
BOERSMA = "Boersma 1993, autocorrelation"
WEMPE = "de Jong & Wempe 2009"
F0_RANGE = (_pitch.LOWEST - 1, _pitch.HIGHEST + 45)  # interpolation passes the outermost lags by half a sample
SHORTEST_PAUSE = 0.1  # s
DIP = 2.0  # dB that intensity falls between two syllables (de Jong & Wempe, Behavior Research Methods 41, 2009)

# The groups of columns -----------------------------------------------------------------------------------------------


def _pitch_values(clip: AudioClip) -> Values:
    track = _pitch.pitch(clip)
    out = {f"f0_{k}": v for k, v in contour(semitones(track.hz), track.voiced).items()}
    hz = np.sort(track.hz[track.voiced])
    out["f0_hz_mean"], out["f0_hz_std"] = moments(hz)
    out["f0_hz_median"] = float(percentile(hz, 50)) if len(hz) else NAN
    return out


def _quality_values(clip: AudioClip) -> Values:
    """Jitter, shimmer and HNR."""
    found, track = _cycles.cycles(clip), _pitch.pitch(clip)
    out: Values = {}
    period, amplitude = found.period, np.maximum(found.amplitude, 1e-9)
    jitter = np.abs(np.diff(period)) / (0.5 * (period[1:] + period[:-1]))
    shimmer = np.abs(20 * np.log10(amplitude[1:] / amplitude[:-1]))
    out["jitter_mean"], out["jitter_std"] = moments(jitter[found.joined])
    out["shimmer_mean"], out["shimmer_std"] = moments(shimmer[found.joined])
    r = np.clip(track.strength[track.voiced], 1e-4, 1 - 1e-4)
    out["hnr_mean"], out["hnr_std"] = moments(10 * np.log10(r / (1 - r)))
    return out


FORMANTS = (
    *(f"f{k}" for k in (1, 2, 3)), *(f"f{k}_bandwidth" for k in (1, 2, 3)),
    "h1_h2", "h1_a3", *(f"f{k}_amplitude" for k in (1, 2, 3)),
)  # fmt: skip


def _formant_values(clip: AudioClip) -> Values:
    track = _pitch.pitch(clip)
    power, hz = sp.power(clip)[track.voiced], track.hz[track.voiced]
    found = _formants.formants(power)
    mean, std = spread(np.column_stack([found.hz, found.bandwidth, harmonics(power, hz, found.hz)]))
    return _named(FORMANTS, "mean", mean) | _named(FORMANTS, "std", std)


def _named(names: Sequence[str], statistic: str, values: np.ndarray) -> Values:
    return {f"{name}_{statistic}": float(value) for name, value in zip(names, values, strict=True)}


FLUX = ("flux", "flux_per_level")
BALANCE = ("alpha_ratio", "hammarberg", "slope_0_500", "slope_500_1500", *FLUX)
CEPSTRA = tuple(f"mfcc{k}" for k in range(1, 5))
SHAPE = (*BALANCE, *CEPSTRA, "flux_relative")
OVERALL = (*FLUX, *CEPSTRA)
"""Those that are also taken over the whole clip: a slice of `SHAPE`."""


def _balance_values(clip: AudioClip) -> Values:
    """Spectral balance, flux and cepstra over voiced frames, frames that sound without voice, and all."""
    voiced = _pitch.pitch(clip).voiced
    fluxes = (flux(clip), flux_per_level(clip))
    whole = np.column_stack([*balance(clip).values(), *fluxes, cepstra(clip), sp.flux(clip)])
    mean, std = spread(smoothed(whole, voiced))
    out = _named(SHAPE, "voiced_mean", mean) | _named(SHAPE, "voiced_std", std)
    out |= _named(SHAPE, "unvoiced_mean", spread(whole[sp.active(clip) & ~voiced])[0])
    heard = sp.short_power(clip).any(axis=1)
    out |= _named(BALANCE, "unvoiced_all_mean", spread(whole[heard & ~voiced, : len(BALANCE)])[0])
    some = slice(SHAPE.index(OVERALL[0]), SHAPE.index(OVERALL[-1]) + 1)
    mean, std = spread(smoothed(whole[:, some], np.ones(len(whole), bool)))
    return out | _named(OVERALL, "all_mean", mean) | _named(OVERALL, "all_std", std)


def _loudness_values(clip: AudioClip) -> Values:
    loud = loudness(clip)
    between = np.zeros(len(loud), bool)
    between[slice(*_speech(clip))] = True
    found, mean = contour(loud, between), float(loud[sp.active(clip)].mean())
    out = {f"loudness_{k}": v for k, v in found.items()}
    out |= {f"loudness_relative_{k}": found[k] / mean for k in RELATIVE}
    whole = contour(loud, np.ones(len(loud), bool))
    out |= {f"loudness_all_{k}": whole[k] for k in WHOLE}
    out |= {f"loudness_all_relative_{k}": whole[k] / mean for k in WHOLE}
    y = sp.centred(clip)
    out["level"] = float(10 * np.log10(max(float(y @ y) / len(y), 1e-12)))
    return out


WHOLE = ("mean", "std", "p20", "p50", "p80", "range", "rise_mean", "rise_std", "fall_mean", "fall_std")
RELATIVE = ("std", "p20", "p50", "p80", "range", "min", "max", "rise_mean", "rise_std", "fall_mean", "fall_std",
            "slope", "change", "begin", "middle", "end")  # fmt: skip


def _speech(clip: AudioClip) -> tuple[int, int]:
    """First and past-the-last frame with sound."""
    frames = np.flatnonzero(sp.active(clip))
    return int(frames[0]), int(frames[-1]) + 1


def _rhythm_values(clip: AudioClip) -> Values:
    first, last = _speech(clip)
    seconds, duration = (last - first) * STEP, len(clip.y) / RATE
    track = _pitch.pitch(clip).voiced
    keep, voiced = sp.active(clip)[first:last], track[first:last]
    sounding, silent, every = _lengths(voiced), _lengths(~voiced), _lengths(~track)
    pauses = _lengths(~keep)
    pauses = pauses[pauses >= SHORTEST_PAUSE]
    loud = loudness(clip)
    whole = np.ones(len(loud), bool)
    syllables = _syllables(smoothed(sp.level(clip), whole)[first:last], voiced)
    peaks, all_peaks = _peaks(smoothed(loud, whole)[first:last]), _peaks(smoothed(loud, whole))
    return {
        "speech_seconds": seconds,
        "voiced_fraction": float(voiced.mean()),
        "voiced_per_second": len(sounding) / seconds,
        "voiced_seconds_mean": moments(sounding)[0],
        "voiced_seconds_std": moments(sounding)[1],
        "unvoiced_seconds_mean": moments(silent)[0],
        "unvoiced_seconds_std": moments(silent)[1],
        "pauses_per_second": len(pauses) / seconds,
        "pause_seconds_mean": moments(pauses)[0],
        "pause_fraction": float(pauses.sum() / seconds),
        "syllables_per_second": syllables / seconds,
        "articulation_rate": syllables / max(seconds - float(pauses.sum()), STEP),
        "loudness_peaks_per_second": peaks / seconds,
        "voiced_per_second_all": len(_lengths(track)) / duration,
        "unvoiced_seconds_all_mean": moments(every)[0],
        "unvoiced_seconds_all_std": moments(every)[1],
        "loudness_peaks_per_second_all": all_peaks / duration,
    }


def _lengths(flags: np.ndarray) -> np.ndarray:
    """Seconds of every run of True."""
    bounds = _pitch.runs(flags)
    return (bounds[:, 1] - bounds[:, 0]) * STEP


def _peaks(x: np.ndarray) -> int:
    """Peaks that stand out by a tenth of the contour's range on either side."""
    return turning_points(x, SWING * float(np.ptp(x)))[1]


def _syllables(level: np.ndarray, voiced: np.ndarray) -> int:
    """Voiced peaks of intensity with a dip of at least 2 dB on either side."""
    from scipy.signal import find_peaks

    peaks, _ = find_peaks(level, height=float(np.median(level)), prominence=DIP)
    return int(np.count_nonzero(voiced[peaks]))


GROUPS: tuple[Callable[[AudioClip], Values], ...] = (
    _pitch_values, _loudness_values, _quality_values, _formant_values, _balance_values, _rhythm_values,
)  # fmt: skip


# Columns -------------------------------------------------------------------------------------------------------------


def _contour_columns(
    prefix: str, what: str, unit: str, statistics: Sequence[str], nuisance: Nuisance = ""
) -> list[Column]:
    signed = {"slope", "begin", "middle", "end"}
    out = []
    for key in statistics:
        meaning, per_second = CONTOUR_STATISTICS[key]
        bound = -INF if key in signed else 0.0
        documentation = (f"{unit}/s" if per_second else unit, bound, INF, f"{what}: {meaning}", PAPER, nuisance)
        out.append(Column(f"{prefix}_{key}", *documentation))
    return out


def _pair(
    name: str, unit: str, low: float, high: float, what: str, source: str = PAPER, nuisance: Nuisance = ""
) -> list[Column]:
    return [
        Column(f"{name}_mean", unit, low, high, f"{what}: mean", source, nuisance),
        Column(f"{name}_std", unit, 0, INF, f"{what}: standard deviation", source, nuisance),
    ]


def _formant_columns() -> list[Column]:
    source = "selective linear prediction (Makhoul 1975), order 11 below 5.5 kHz"
    out = []
    for k in (1, 2, 3):
        out += _pair(f"f{k}", "Hz", *_formants.FREQUENCIES, f"Formant F{k} in voiced frames", source)
        out += _pair(f"f{k}_bandwidth", "Hz", 0, _formants.BROADEST, f"Bandwidth of F{k}", source)
    out += _pair("h1_h2", "dB", -INF, INF, "First harmonic over the second")
    out += _pair("h1_a3", "dB", -INF, INF, "First harmonic over the strongest one at F3")
    for k in (1, 2, 3):
        out += _pair(f"f{k}_amplitude", "dB", -INF, INF, f"Strongest harmonic at F{k} over the first harmonic")
    return out


def _balance_columns() -> list[Column]:
    quantities = {
        "alpha_ratio": ("dB", -INF, INF, "Power of 1-5 kHz over that of 50-1000 Hz"),
        "hammarberg": ("dB", -INF, INF, "Strongest bin below 2 kHz over the strongest of 2-5 kHz"),
        "slope_0_500": ("dB/kHz", -INF, INF, "Slope of the spectrum in 0-500 Hz"),
        "slope_500_1500": ("dB/kHz", -INF, INF, "Slope of the spectrum in 500-1500 Hz"),
        "flux": ("1", 0, INF, "Change of the spectrum from 20 ms to the next"),
        "flux_per_level": ("1", 0, INF, "Change of the spectrum from 20 ms to the next, over the clip's level"),
        **{name: ("1", -INF, INF, f"Cepstral coefficient {name[-1]}") for name in CEPSTRA},
        "flux_relative": ("1", 0, 2**0.5, "Distance of neighbouring normalised spectra"),
    }
    out = []
    for name, (unit, low, high, what) in quantities.items():
        known: tuple[str, Nuisance] = (PAPER, "level" if name == "flux" else "")
        out += _pair(f"{name}_voiced", unit, low, high, f"{what}, voiced frames", *known)
        unvoiced = f"{what}, unvoiced frames with sound: mean"
        out.append(Column(f"{name}_unvoiced_mean", unit, low, high, unvoiced, *known))
        if name in BALANCE:
            quiet = f"{what}, frames without voice, pauses too: mean"
            out.append(Column(f"{name}_unvoiced_all_mean", unit, low, high, quiet, *known))
        if name in OVERALL:
            out += _pair(f"{name}_all", unit, low, high, f"{what}, whole clip", *known)
    return out


COLUMNS: tuple[Column, ...] = (
    *_contour_columns("f0", "Pitch", "semitone re 27.5 Hz", list(CONTOUR_STATISTICS)),
    *_pair("f0_hz", "Hz", *F0_RANGE, "Fundamental frequency", BOERSMA),
    Column("f0_hz_median", "Hz", *F0_RANGE, "Fundamental frequency: median", BOERSMA),
    *_contour_columns("loudness", "Loudness", "1", list(CONTOUR_STATISTICS), "level"),
    *_contour_columns("loudness_relative", "Loudness over the clip's mean", "1", RELATIVE),
    *_contour_columns("loudness_all", "Loudness, whole clip", "1", WHOLE, "level"),
    *_contour_columns("loudness_all_relative", "Loudness over the mean with sound, whole clip", "1", WHOLE),
    Column("level", "dB re full scale", -120, 20, "Equivalent sound level of the whole clip", PAPER, "level"),
    *_pair("jitter", "1", 0, 0.27, "Change of period between neighbouring cycles over their mean"),
    *_pair("shimmer", "dB", 0, INF, "Change of strength between neighbouring cycles"),
    *_pair("hnr", "dB", -40, 40, "Harmonics-to-noise ratio in voiced frames", BOERSMA),
    *_formant_columns(),
    *_balance_columns(),
    Column("speech_seconds", "s", 0, INF, "From the first to the last frame with sound", "40 dB below the loud frames"),
    Column("voiced_fraction", "1", 0, 1, "Share of voiced frames between the first and last with sound", PAPER),
    Column("voiced_per_second", "1/s", 0, 50, "Voiced stretches per second", PAPER),
    Column("voiced_seconds_mean", "s", 0, INF, "Length of voiced stretches: mean", PAPER),
    Column("voiced_seconds_std", "s", 0, INF, "Length of voiced stretches: standard deviation", PAPER),
    Column("unvoiced_seconds_mean", "s", 0, INF, "Length of stretches without voice: mean", PAPER),
    Column("unvoiced_seconds_std", "s", 0, INF, "Length of stretches without voice: standard deviation", PAPER),
    Column("pauses_per_second", "1/s", 0, 10, "Pauses of at least 0.1 s, per second", "level"),
    Column("pause_seconds_mean", "s", 0.1, INF, "Length of pauses: mean", "level"),
    Column("pause_fraction", "1", 0, 1, "Share of time in pauses", "level"),
    Column("syllables_per_second", "1/s", 0, 50, "Voiced peaks of intensity per second", WEMPE),
    Column("articulation_rate", "1/s", 0, 100, "Voiced peaks of intensity per second without pauses", WEMPE),
    Column("loudness_peaks_per_second", "1/s", 0, 50, "Peaks of loudness per second that stand out", PAPER),
    Column("voiced_per_second_all", "1/s", 0, 50, "Voiced stretches per second of the whole clip", PAPER),
    *_pair("unvoiced_seconds_all", "s", 0, INF, "Length of stretches without voice, those at the ends too"),
    Column("loudness_peaks_per_second_all", "1/s", 0, 50, "Peaks of loudness per second of the whole clip", PAPER),
)  # fmt: skip


class Prosody(Handcrafted):
    """See `affectlake.features.protocol.Extractor`."""

    name = "audio.prosody"
    windowed = True
    version = "7"
    parameters: Mapping[str, object] = {
        **sp.SETTINGS, **_pitch.SETTINGS, **_cycles.SETTINGS, **_formants.SETTINGS, "shortest_pause": SHORTEST_PAUSE,
        "dip": DIP, "swing": SWING, "top_db": sp.TOP_DB,
    }  # fmt: skip
    columns: Sequence[Column] = COLUMNS
    cost = 7.0
    summary = "Pitch, loudness, voice quality, formants, spectral balance and rhythm, after eGeMAPS"

    def measure(self, clip: AudioClip) -> np.ndarray:
        values: Values = {}
        for group in GROUPS:
            values |= group(clip)
        return np.array([values[column.name] for column in self.columns])


extractor = Prosody()
