"""Voice and prosody: the quantities of eGeMAPS written from the paper, with contours and pauses beside them.

Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing",
IEEE Trans. Affective Computing 7(2), 2016. Loudness, cepstra, flux and balance are those of 20 ms frames as in the
paper; pitch, harmonics and formants those of the 40 ms of the shared spectrum (the paper: 60 and 20 ms). Names ending
in ``_all`` are taken over the whole clip as in the paper, the others between the first and the last sound.
A quantity that the clip does not define (F0 of a clip without voice, pauses' length without a pause) is NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _cycles, _formants, _pitch
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._functionals import percentile, slope
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
SWING = 0.1  # of a contour's range: what rises or falls less is no part of its shape
LOUDNESS_SCALE = 3.03e-4  # of the power of 20 ms frames, so that the unit is openSMILE's
SMALLEST = 1e-9  # power of a mel band that counts as none: a step of 16 bit
LIFTER = 22
FULL_SCALE_F0 = 27.5  # Hz of semitone 0

Values = dict[str, float]
NAN = float("nan")


# Frame-wise quantities -----------------------------------------------------------------------------------------------


def semitones(hz: np.ndarray) -> np.ndarray:
    """Semitones above 27.5 Hz; NaN where ``hz`` is 0."""
    return 12 * np.log2(np.where(hz > 0, hz, np.nan) / FULL_SCALE_F0)


def bands(clip: AudioClip) -> np.ndarray:
    """Power in 26 mel bands of 20 ms frames [shape=(frames, 26)]."""
    return clip.once(_bands)


def _bands(clip: AudioClip) -> np.ndarray:
    return sp.short_power(clip) @ sp.htk_bank()[0]


def loudness(clip: AudioClip) -> np.ndarray:
    """Perceived loudness [shape=(frames,)]: mel bands weighted by equal loudness, to the power 0.33, summed.

    The auditory spectrum of Hermansky (PLP, JASA 87, 1990), as the paper prescribes; its unit is arbitrary.
    """
    return clip.once(_loudness)


def _loudness(clip: AudioClip) -> np.ndarray:
    return ((bands(clip) * _equal_loudness()) ** np.float32(0.33)).sum(axis=1)


@cache
def _equal_loudness() -> np.ndarray:
    w2 = (2 * np.pi * sp.htk_bank()[1]) ** 2
    curve = (w2 + 56.8e6) * w2**2 / ((w2 + 6.3e6) ** 2 * (w2 + 0.38e9)) / (1 + w2**3 / 9.58e26)
    return (LOUDNESS_SCALE * curve).astype(np.float32)


def cepstra(clip: AudioClip) -> np.ndarray:
    """Cepstral coefficients 1 to 4 of the 26 bands' natural logarithm, liftered as HTK's [shape=(frames, 4)]."""
    return np.log(np.maximum(bands(clip), np.float32(SMALLEST))) @ _cepstral_basis()


@cache
def _cepstral_basis() -> np.ndarray:
    k = np.arange(1, 5)
    return sp.dct_basis(26, 5)[:, 1:] * (1 + LIFTER / 2 * np.sin(np.pi * k / LIFTER)).astype(np.float32)


def flux(clip: AudioClip) -> np.ndarray:
    """Root mean square change of magnitudes below 5 kHz from one 20 ms frame to the next [shape=(frames,)]."""
    low = sp.short_power(clip)[:, : _bin(5000) + 1]
    return sp.changes(low) / np.float32(np.sqrt(low.shape[1]))


def _bin(hz: float) -> int:
    return int(hz * sp.SHORT_FFT / RATE)


def _db(x: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(x, 1e-20))


def balance(clip: AudioClip) -> dict[str, np.ndarray]:
    """Alpha ratio, Hammarberg index (dB) and the two slopes (dB/kHz) of every 20 ms frame; 0 of digital silence."""
    return clip.once(_balance)


def _balance(clip: AudioClip) -> dict[str, np.ndarray]:
    power = sp.short_power(clip)
    low, high = power[:, _bin(50) : _bin(1000)].sum(axis=1), power[:, _bin(1000) : _bin(5000) + 1].sum(axis=1)
    below, above = power[:, : _bin(2000) + 1].max(axis=1), power[:, _bin(2000) : _bin(5000) + 1].max(axis=1)
    slopes = _db(power[:, : _bin(1500) + 1]) @ _slope_weights()
    return {
        "alpha_ratio": _db(high) - _db(low),
        "hammarberg": _db(below) - _db(above),
        "slope_0_500": slopes[:, 0],
        "slope_500_1500": slopes[:, 1],
    }


@cache
def _slope_weights() -> np.ndarray:
    """What takes bins up to 1500 Hz, in dB, to the least-squares slopes of 0-500 and 500-1500 Hz [shape=(49, 2)]."""
    khz = np.arange(_bin(1500) + 1) * RATE / sp.SHORT_FFT / 1000
    away = [np.where(inside, khz - khz[inside].mean(), 0) for inside in (khz <= 0.5, khz >= 0.5)]
    return np.stack([x / (x @ x) for x in away], axis=1).astype(np.float32)


def harmonics(power: np.ndarray, hz: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """H1-H2, H1-A3 and the amplitudes at F1 to F3 over H1, in dB, of voiced frames [shape=(frames, 5)]."""
    first, second = _strongest(power, hz[:, None] * [1, 2], reach=1).T
    # Nearest harmonic to each formant, searched for within half a low voice's F0.
    at = _strongest(power, hz[:, None] * np.maximum(np.rint(formants / hz[:, None]), 1), reach=4)
    return np.column_stack([first - second, first - at[:, 2], at - first[:, None]])


def _strongest(power: np.ndarray, hz: np.ndarray, reach: int) -> np.ndarray:
    """dB of the strongest of the bins about each of ``hz`` [shape=(frames, k)]; NaN where that is."""
    centre = np.rint(np.nan_to_num(hz) * sp.N_FFT / RATE).astype(int)
    near = np.clip(centre[:, :, None] + np.arange(-reach, reach + 1), 1, sp.BINS - 1)
    peak = _db(power[np.arange(len(power))[:, None, None], near].max(axis=2))
    return np.where(np.isnan(hz), np.nan, peak)


# Functionals ---------------------------------------------------------------------------------------------------------


def smoothed(x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Mean over each kept frame and those of its two neighbours that are kept [shape=(kept, …)]."""
    weight = keep.astype(np.float32).reshape(-1, *(1,) * (x.ndim - 1))
    return (_sum_of_three(np.where(weight > 0, x, 0)) / np.maximum(_sum_of_three(weight), 1))[keep]


def _sum_of_three(x: np.ndarray) -> np.ndarray:
    out = x.copy()
    out[1:] += x[:-1]
    out[:-1] += x[1:]
    return out


def spread(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of what is not NaN in each column; NaN of nothing."""
    there = np.isfinite(x)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, x, 0).sum(axis=0, dtype=np.float64) / count
    away = np.where(there, x - mean, 0)
    std = np.sqrt((away * away).sum(axis=0) / count)
    nothing = ~there.any(axis=0)
    return np.where(nothing, NAN, mean), np.where(nothing, NAN, std)


def moments(x: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation; NaN of nothing."""
    return (float(x.mean()), float(x.std())) if len(x) else (NAN, NAN)


def contour(x: np.ndarray, keep: np.ndarray) -> Values:
    """Statistics of a contour over the frames to keep, without its name's prefix."""
    frames = np.flatnonzero(keep)
    if not len(frames):
        return dict.fromkeys(CONTOUR_STATISTICS, NAN)
    whole = smoothed(x, keep).astype(np.float64)
    ordered = np.sort(whole)
    low, mid, high = (float(percentile(ordered, q)) for q in (20, 50, 80))
    mean, std = moments(whole)
    next_to = np.diff(frames) == 1
    pieces = np.split(whole, np.flatnonzero(~next_to) + 1)
    slopes, _ = ramps(pieces, SWING * (ordered[-1] - ordered[0]))
    rising, falling = slopes[slopes > 0], -slopes[slopes < 0]
    thirds = _thirds(frames, whole)
    return {
        "mean": mean, "std": std, "p20": low, "p50": mid, "p80": high, "range": high - low,
        "min": float(ordered[0]), "max": float(ordered[-1]),
        "rise_mean": moments(rising)[0], "rise_std": moments(rising)[1],
        "fall_mean": moments(falling)[0], "fall_std": moments(falling)[1],
        "slope": float(slope(frames * STEP, whole)),
        "change": moments(np.abs(np.diff(whole)[next_to]))[0] / STEP,
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


def ramps(pieces: Sequence[np.ndarray], swing: float) -> tuple[np.ndarray, int]:
    """Slopes per second between the turning points of all pieces, and how many of those are peaks."""
    slopes, peaks = [], 0
    for piece in pieces:
        turns, tops = _turning_points(piece, swing)
        slopes.append(np.diff(piece[turns]) / (np.diff(turns) * STEP))
        peaks += tops
    return np.concatenate(slopes), peaks


def _turning_points(x: np.ndarray, swing: float) -> tuple[list[int], int]:
    """First index, those of alternating extremes that are more than ``swing`` apart, last; how many are maxima."""
    direction = np.sign(np.diff(x))
    extremes = [*(np.flatnonzero(np.diff(direction)) + 1).tolist(), len(x) - 1]
    values = x.tolist()
    found, tops = [0], 0
    low = high = heading = 0
    for i in extremes:
        if heading >= 0 and values[i] > values[high]:
            high = i
        if heading <= 0 and values[i] < values[low]:
            low = i
        if heading >= 0 and values[high] - values[i] > swing:
            found.append(high)
            tops, heading, low = tops + 1, -1, i
        elif heading <= 0 and values[i] - values[low] > swing:
            found.append(low)
            heading, high = 1, i
    return sorted({*found, len(x) - 1}), tops


def _thirds(frames: np.ndarray, x: np.ndarray) -> list[float]:
    third = np.minimum((frames - frames[0]) * 3 // max(frames[-1] - frames[0] + 1, 1), 2)
    return [moments(x[third == k])[0] for k in range(3)]


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


BALANCE = ("alpha_ratio", "hammarberg", "slope_0_500", "slope_500_1500", "flux")
CEPSTRA = tuple(f"mfcc{k}" for k in range(1, 5))
SHAPE = (*BALANCE, *CEPSTRA, "flux_relative")


def _balance_values(clip: AudioClip) -> Values:
    """Spectral balance, flux and cepstra over voiced frames, frames that sound without voice, and all."""
    voiced = _pitch.pitch(clip).voiced
    whole = np.column_stack([*balance(clip).values(), flux(clip), cepstra(clip), sp.flux(clip)])
    mean, std = spread(smoothed(whole, voiced))
    out = _named(SHAPE, "voiced_mean", mean) | _named(SHAPE, "voiced_std", std)
    out |= _named(SHAPE, "unvoiced_mean", spread(whole[sp.active(clip) & ~voiced])[0])
    heard = sp.short_power(clip).any(axis=1)
    out |= _named(BALANCE, "unvoiced_all_mean", spread(whole[heard & ~voiced, : len(BALANCE)])[0])
    mean, std = spread(smoothed(whole[:, 4:9], np.ones(len(whole), bool)))
    return out | _named(SHAPE[4:9], "all_mean", mean) | _named(SHAPE[4:9], "all_std", std)


def _loudness_values(clip: AudioClip) -> Values:
    loud = loudness(clip)
    between = np.zeros(len(loud), bool)
    between[slice(*_speech(clip))] = True
    found, mean = contour(loud, between), float(loud[sp.active(clip)].mean())
    out = {f"loudness_{k}": v for k, v in found.items()}
    out |= {f"loudness_relative_{k}": found[k] / mean for k in RELATIVE}
    whole = contour(loud, np.ones(len(loud), bool))
    out |= {f"loudness_all_{k}": whole[k] for k in WHOLE}
    y = sp.centred(clip)
    out["level"] = float(10 * np.log10(max(float(y @ y) / len(y), 1e-12)))
    return out


WHOLE = ("mean", "std", "p20", "p50", "p80", "range", "rise_mean", "rise_std", "fall_mean", "fall_std")
RELATIVE = ("std", "p20", "p80", "range", "max", "rise_mean", "rise_std", "fall_mean", "fall_std", "slope", "change",
            "begin", "middle", "end")  # fmt: skip


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
    return _turning_points(x, SWING * float(np.ptp(x)))[1]


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
        "flux": ("1", 0, INF, "Change of the spectrum from 20 ms to the next"),
        **{name: ("1", -INF, INF, f"Cepstral coefficient {name[-1]}") for name in CEPSTRA},
        "flux_relative": ("1", 0, 2**0.5, "Distance of neighbouring normalised spectra"),
    }
    out = []
    for name, (unit, low, high, what) in quantities.items():
        out += _pair(f"{name}_voiced", unit, low, high, f"{what}, voiced frames")
        out.append(Column(f"{name}_unvoiced_mean", unit, low, high, f"{what}, unvoiced frames with sound: mean", PAPER))
        if name in BALANCE:
            what += ", frames without voice, pauses too"
            out.append(Column(f"{name}_unvoiced_all_mean", unit, low, high, f"{what}: mean", PAPER))
    for name in SHAPE[4:9]:
        unit, low, high, what = quantities[name]
        out += _pair(f"{name}_all", unit, low, high, f"{what}, whole clip")
    return out


COLUMNS: tuple[Column, ...] = (
    *_contour_columns("f0", "Pitch", "semitone re 27.5 Hz", list(CONTOUR_STATISTICS), 0),
    *_pair("f0_hz", "Hz", *F0_RANGE, "Fundamental frequency", BOERSMA),
    Column("f0_hz_median", "Hz", *F0_RANGE, "Fundamental frequency: median", BOERSMA),
    *_contour_columns("loudness", "Loudness", "1", list(CONTOUR_STATISTICS), 0),
    *_contour_columns("loudness_relative", "Loudness over the clip's mean", "1", RELATIVE, 0),
    *_contour_columns("loudness_all", "Loudness, whole clip", "1", WHOLE, 0),
    Column("level", "dB re full scale", -120, 20, "Equivalent sound level of the whole clip", PAPER),
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
    version = "3"
    parameters: Mapping[str, object] = {
        **sp.SETTINGS, **_pitch.SETTINGS, **_cycles.SETTINGS, **_formants.SETTINGS, "shortest_pause": SHORTEST_PAUSE,
        "dip": DIP, "swing": SWING, "smallest": SMALLEST,
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
