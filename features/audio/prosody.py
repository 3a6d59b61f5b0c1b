"""Voice and prosody: the quantities of eGeMAPS written from the paper, with contours and pauses beside them.

Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing",
IEEE Trans. Affective Computing 7(2), 2016. Frames are the 40 ms of the shared spectrum (the paper: 20 and 60 ms).
A quantity that the clip does not define (F0 of a clip without voice, pauses' length without a pause) is NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _formants, _pitch
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._functionals import slope
from affectlake.features.audio._handcrafted import Handcrafted
from affectlake.features.protocol import Column

INF = float("inf")
STEP = sp.HOP / RATE
PAPER = "Eyben et al. 2016 (eGeMAPS)"
BOERSMA = "Boersma 1993, autocorrelation"
WEMPE = "de Jong & Wempe 2009"
F0_RANGE = (_pitch.LOWEST - 1, _pitch.HIGHEST + 20)  # interpolation may pass the outermost lags by half a sample
SHORTEST_PAUSE = 0.1  # s
DIP = 2.0  # dB that intensity falls between two syllables (de Jong & Wempe, Behavior Research Methods 41, 2009)
PROMINENCE = 0.1  # of loudness' range: what stands out less is no peak of it
FULL_SCALE_F0 = 27.5  # Hz of semitone 0

Values = dict[str, float]
NAN = float("nan")


# Frame-wise quantities -----------------------------------------------------------------------------------------------


def semitones(hz: np.ndarray) -> np.ndarray:
    """Semitones above 27.5 Hz; NaN where ``hz`` is 0."""
    return 12 * np.log2(np.where(hz > 0, hz, np.nan) / FULL_SCALE_F0)


def loudness(clip: AudioClip) -> np.ndarray:
    """Perceived loudness [shape=(frames,)]: mel bands weighted by equal loudness, to the power 0.33, summed.

    The auditory spectrum of Hermansky (PLP, JASA 87, 1990), as the paper prescribes; its unit is arbitrary.
    """
    return ((sp.power(clip) @ _auditory_bank()) ** np.float32(0.33)).sum(axis=1)


@cache
def _auditory_bank() -> np.ndarray:
    bank = sp.mel_bank(26, 20.0, 8000.0)
    centre = bank.T @ sp.frequencies() / bank.sum(axis=0)
    w2 = (2 * np.pi * centre) ** 2
    equal_loudness = (w2 + 56.8e6) * w2**2 / ((w2 + 6.3e6) ** 2 * (w2 + 0.38e9))
    return (bank * equal_loudness).astype(np.float32)


def _bins(low: float, high: float) -> slice:
    return slice(int(np.ceil(low * sp.N_FFT / RATE)), int(high * sp.N_FFT / RATE) + 1)


def _db(x: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(x, 1e-20))


def balance(clip: AudioClip) -> dict[str, np.ndarray]:
    """Alpha ratio, Hammarberg index (dB) and the two spectral slopes (dB/kHz) of every frame."""
    power = sp.power(clip)
    low, high = power[:, _bins(50, 1000)].sum(axis=1), power[:, _bins(1000, 5000)].sum(axis=1)
    below, above = power[:, _bins(50, 2000)].max(axis=1), power[:, _bins(2000, 5000)].max(axis=1)
    return {
        "alpha_ratio": _db(high) - _db(low),
        "hammarberg": _db(below) - _db(above),
        "slope_0_500": _tilt(power, _bins(0, 500)),
        "slope_500_1500": _tilt(power, _bins(500, 1500)),
    }


def _tilt(power: np.ndarray, band: slice) -> np.ndarray:
    return slope(sp.frequencies()[band].astype(np.float64) / 1000, _db(power[:, band]).T)


def harmonics(power: np.ndarray, hz: np.ndarray, formants: np.ndarray) -> dict[str, np.ndarray]:
    """H1-H2, H1-A3 and the amplitudes at F1 to F3 relative to H1, in dB, of voiced frames [shape=(frames,)]."""
    first, second = _harmonic(power, hz), _harmonic(power, 2 * hz)
    at = [_harmonic(power, hz * np.maximum(np.rint(formants[:, k] / hz), 1), widely=True) for k in range(3)]
    return {
        "h1_h2": first - second,
        "h1_a3": first - at[2],
        **{f"f{k + 1}_amplitude": at[k] - first for k in range(3)},
    }


def _harmonic(power: np.ndarray, hz: np.ndarray, widely: bool = False) -> np.ndarray:
    """dB of the strongest bin near ``hz`` (within one bin, or half a low voice's F0); NaN where ``hz`` is."""
    reach = 4 if widely else 1
    centre = np.rint(np.nan_to_num(hz) * sp.N_FFT / RATE).astype(int)
    near = np.clip(centre[:, None] + np.arange(-reach, reach + 1), 1, sp.BINS - 1)
    peak = _db(np.take_along_axis(power, near, axis=1).max(axis=1))
    return np.where(np.isnan(hz), np.nan, peak)


def smooth(x: np.ndarray) -> np.ndarray:
    """Moving average over three frames."""
    padded = np.pad(x, 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


# Functionals ---------------------------------------------------------------------------------------------------------


def moments(x: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of what is not NaN; NaN of nothing."""
    x = x[np.isfinite(x)]
    return (float(x.mean()), float(x.std())) if len(x) else (NAN, NAN)


def contour(x: np.ndarray, stretches: np.ndarray) -> Values:
    """Statistics of a contour over the runs of frames ``stretches`` [shape=(runs, 2)], without its name's prefix."""
    pieces = [smooth(x[a:b]) for a, b in stretches]
    whole = np.concatenate(pieces) if pieces else np.zeros(0)
    if not len(whole):
        return dict.fromkeys(CONTOUR_STATISTICS, NAN)
    mean, std = moments(whole)
    low, mid, high = np.percentile(whole, (20, 50, 80))
    rising, falling = _ramps(pieces)
    frames = np.concatenate([np.arange(a, b) for a, b in stretches])
    thirds = _thirds(frames, whole)
    return {
        "mean": mean, "std": std, "p20": low, "p50": mid, "p80": high, "range": high - low,
        "min": float(whole.min()), "max": float(whole.max()),
        "rise_mean": moments(rising)[0], "rise_std": moments(rising)[1],
        "fall_mean": moments(falling)[0], "fall_std": moments(falling)[1],
        "slope": float(slope(frames * STEP, whole[:, None])[0]),
        "change": moments(np.abs(np.concatenate([np.diff(p) for p in pieces])))[0] / STEP,
        "begin": thirds[0] - mean, "middle": thirds[1] - mean, "end": thirds[2] - mean,
    }  # fmt: skip


CONTOUR_STATISTICS: dict[str, tuple[str, bool]] = {
    "mean": ("mean", False), "std": ("standard deviation", False), "p20": ("20th percentile", False),
    "p50": ("median", False), "p80": ("80th percentile", False), "range": ("80th less 20th percentile", False),
    "min": ("minimum", False), "max": ("maximum", False),
    "rise_mean": ("mean slope of rising parts", True), "rise_std": ("spread of slopes of rising parts", True),
    "fall_mean": ("mean slope of falling parts", True), "fall_std": ("spread of slopes of falling parts", True),
    "slope": ("slope over the whole clip", True), "change": ("mean absolute slope", True),
    "begin": ("mean of the first third, less the whole's", False),
    "middle": ("mean of the middle third, less the whole's", False),
    "end": ("mean of the last third, less the whole's", False),
}  # fmt: skip
"""Meaning of each, and whether it is per second."""


def _ramps(pieces: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Slopes per second of the monotone parts, rising and falling (as positive numbers)."""
    slopes = [np.zeros(0)]
    for piece in pieces:
        direction = np.sign(np.diff(piece))
        if len(direction):
            turns = np.concatenate([[0], np.flatnonzero(np.diff(direction)) + 1, [len(direction)]])
            slopes.append(np.diff(piece[turns]) / (np.diff(turns) * STEP))
    ramps = np.concatenate(slopes)
    return ramps[ramps > 0], -ramps[ramps < 0]


def _thirds(frames: np.ndarray, x: np.ndarray) -> list[float]:
    third = np.minimum((frames - frames[0]) * 3 // max(frames[-1] - frames[0] + 1, 1), 2)
    return [moments(x[third == k])[0] for k in range(3)]


# The groups of columns -----------------------------------------------------------------------------------------------


def _pitch_values(clip: AudioClip) -> Values:
    track = _pitch.pitch(clip)
    stretches = _pitch.runs(track.voiced)
    log = semitones(track.hz)
    out = {f"f0_{k}": v for k, v in contour(log, stretches).items()}
    hz = track.hz[track.voiced]
    out["f0_hz_mean"], out["f0_hz_std"] = moments(hz)
    out["f0_hz_median"] = float(np.median(hz)) if len(hz) else NAN
    return out


def _quality_values(clip: AudioClip) -> Values:
    """Jitter, shimmer and HNR."""
    cycles, track = _pitch.pulses(clip), _pitch.pitch(clip)
    out: Values = {}
    pairs = cycles.joined
    period, amplitude = cycles.period, np.maximum(cycles.amplitude, 1e-9)
    jitter = np.abs(np.diff(period))[pairs] / (0.5 * (period[1:] + period[:-1])[pairs]) if len(period) else period
    shimmer = np.abs(20 * np.log10(amplitude[1:] / amplitude[:-1]))[pairs] if len(period) else period
    out["jitter_mean"], out["jitter_std"] = moments(jitter)
    out["shimmer_mean"], out["shimmer_std"] = moments(shimmer)
    r = np.clip(track.strength[track.voiced], 1e-4, 1 - 1e-4)
    out["hnr_mean"], out["hnr_std"] = moments(10 * np.log10(r / (1 - r)))
    return out


def _formant_values(clip: AudioClip) -> Values:
    track = _pitch.pitch(clip)
    power, hz = sp.power(clip)[track.voiced], track.hz[track.voiced]
    found = _formants.formants(power)
    out: Values = {}
    for k in range(3):
        out[f"f{k + 1}_mean"], out[f"f{k + 1}_std"] = moments(found.hz[:, k])
        out[f"f{k + 1}_bandwidth_mean"], out[f"f{k + 1}_bandwidth_std"] = moments(found.bandwidth[:, k])
    for name, x in harmonics(power, hz, found.hz).items():
        out[f"{name}_mean"], out[f"{name}_std"] = moments(x)
    return out


def _balance_values(clip: AudioClip) -> Values:
    """Spectral balance, flux and cepstra over voiced frames and over frames that sound without voice."""
    voiced = _pitch.pitch(clip).voiced
    unvoiced = sp.active(clip) & ~voiced
    quantities = balance(clip) | {"flux": sp.flux(clip)}
    quantities |= {f"mfcc{k}": sp.mfcc(clip)[:, k] for k in range(1, 5)}
    out: Values = {}
    for name, x in quantities.items():
        out[f"{name}_voiced_mean"], out[f"{name}_voiced_std"] = moments(x[voiced])
        out[f"{name}_unvoiced_mean"] = moments(x[unvoiced])[0]
    return out


def _loudness_values(clip: AudioClip) -> Values:
    loud = loudness(clip)
    keep = sp.active(clip)
    first, last = _speech(clip)
    out = {f"loudness_{k}": v for k, v in contour(loud, np.array([[first, last]])).items()}
    relative = contour(loud / loud[keep].mean(), np.array([[first, last]]))
    out |= {f"loudness_relative_{k}": relative[k] for k in RELATIVE}
    power = np.mean(np.square(sp.centred(clip), dtype=np.float64))
    out["level"] = float(10 * np.log10(max(power, 1e-12)))
    return out


RELATIVE = ("std", "p20", "p80", "range", "max", "rise_mean", "rise_std", "fall_mean", "fall_std", "slope", "change",
            "begin", "middle", "end")  # fmt: skip


def _speech(clip: AudioClip) -> tuple[int, int]:
    """First and past-the-last frame with sound."""
    frames = np.flatnonzero(sp.active(clip))
    return int(frames[0]), int(frames[-1]) + 1


def _rhythm_values(clip: AudioClip) -> Values:
    first, last = _speech(clip)
    seconds = (last - first) * STEP
    keep, voiced = sp.active(clip)[first:last], _pitch.pitch(clip).voiced[first:last]
    sounding, silent = _lengths(voiced), _lengths(~voiced)
    pauses = _lengths(~keep)
    pauses = pauses[pauses >= SHORTEST_PAUSE]
    syllables = _syllables(smooth(sp.level(clip)[first:last]), voiced)
    peaks = _peaks(smooth(loudness(clip)[first:last]))
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
    }


def _lengths(flags: np.ndarray) -> np.ndarray:
    """Seconds of every run of True."""
    bounds = _pitch.runs(flags)
    return (bounds[:, 1] - bounds[:, 0]) * STEP


def _peaks(x: np.ndarray) -> int:
    """Peaks that stand out by a tenth of the contour's range."""
    from scipy.signal import find_peaks

    return len(find_peaks(x, prominence=PROMINENCE * float(np.ptp(x)))[0])


def _syllables(level: np.ndarray, voiced: np.ndarray) -> int:
    """Voiced peaks of intensity with a dip of at least 2 dB on either side."""
    from scipy.signal import find_peaks

    peaks, _ = find_peaks(level, height=float(np.median(level)), prominence=DIP)
    return int(np.count_nonzero(voiced[peaks]))


GROUPS: tuple[Callable[[AudioClip], Values], ...] = (
    _pitch_values, _loudness_values, _quality_values, _formant_values, _balance_values, _rhythm_values,
)  # fmt: skip


# Columns -------------------------------------------------------------------------------------------------------------


def _contour_columns(prefix: str, what: str, unit: str, statistics: Sequence[str], low: float) -> list[Column]:
    signed = {"slope", "begin", "middle", "end"}
    out = []
    for key in statistics:
        meaning, per_second = CONTOUR_STATISTICS[key]
        bound = -INF if key in signed else 0.0 if per_second or key in ("std", "range") else low
        out.append(
            Column(f"{prefix}_{key}", f"{unit}/s" if per_second else unit, bound, INF, f"{what}: {meaning}", PAPER)
        )
    return out


def _pair(name: str, unit: str, low: float, high: float, what: str, source: str = PAPER) -> list[Column]:
    return [
        Column(f"{name}_mean", unit, low, high, f"{what}: mean", source),
        Column(f"{name}_std", unit, 0, INF, f"{what}: standard deviation", source),
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
        "flux": ("1", 0, 2**0.5, "Distance of neighbouring normalised spectra"),
    } | {f"mfcc{k}": ("dB", -INF, INF, f"Cepstral coefficient {k}") for k in range(1, 5)}
    out = []
    for name, (unit, low, high, what) in quantities.items():
        out += _pair(f"{name}_voiced", unit, low, high, f"{what}, voiced frames")
        out.append(Column(f"{name}_unvoiced_mean", unit, low, high, f"{what}, unvoiced frames with sound: mean", PAPER))
    return out


COLUMNS: tuple[Column, ...] = (
    *_contour_columns("f0", "Pitch", "semitone re 27.5 Hz", list(CONTOUR_STATISTICS), 0),
    *_pair("f0_hz", "Hz", *F0_RANGE, "Fundamental frequency", BOERSMA),
    Column("f0_hz_median", "Hz", *F0_RANGE, "Fundamental frequency: median", BOERSMA),
    *_contour_columns("loudness", "Loudness", "1", list(CONTOUR_STATISTICS), 0),
    *_contour_columns("loudness_relative", "Loudness over the clip's mean", "1", RELATIVE, 0),
    Column("level", "dB re full scale", -120, 20, "Equivalent sound level of the whole clip", PAPER),
    *_pair("jitter", "1", 0, 2, "Change of period between neighbouring cycles over their mean"),
    *_pair("shimmer", "dB", 0, INF, "Change of peak-to-peak amplitude between neighbouring cycles"),
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
)  # fmt: skip


class Prosody(Handcrafted):
    """See `affectlake.features.protocol.Extractor`."""

    name = "audio.prosody"
    version = "1"
    parameters: Mapping[str, object] = {
        **sp.SETTINGS, **_pitch.SETTINGS, **_formants.SETTINGS, "shortest_pause": SHORTEST_PAUSE, "dip": DIP,
        "prominence": PROMINENCE,
    }  # fmt: skip
    columns: Sequence[Column] = COLUMNS
    cost = 8.0
    summary = "Pitch, loudness, voice quality, formants, spectral balance and rhythm, after eGeMAPS"

    def measure(self, clip: AudioClip) -> np.ndarray:
        values: Values = {}
        for group in GROUPS:
            values |= group(clip)
        return np.array([values[column.name] for column in self.columns])


extractor = Prosody()
