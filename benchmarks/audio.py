"""What the audio extractors cost and are worth, on RAVDESS and on synthetic voices; one core.

    OMP_NUM_THREADS=1 python benchmarks/audio.py speed FOLDER
    OMP_NUM_THREADS=1 python benchmarks/audio.py files FOLDER
    OMP_NUM_THREADS=1 python benchmarks/audio.py agreement FOLDER
    OMP_NUM_THREADS=1 python benchmarks/audio.py truth FOLDER
    OMP_NUM_THREADS=1 python benchmarks/audio.py trim FOLDER
    OMP_NUM_THREADS=1 python benchmarks/audio.py memory FOLDER
    OMP_NUM_THREADS=1 python benchmarks/audio.py accuracy FOLDER

FOLDER holds RAVDESS' speech, one sound file per clip below ``Actor_01`` to ``Actor_24``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from affectlake.data.sound import RATE, AudioClip, read_audio
from affectlake.features import registry
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio.egemaps import column

# Our names and openSMILE's of the same quantity, for every parameter of eGeMAPSv02.
VOICED = {
    "jitter": "jitterLocal", "shimmer": "shimmerLocaldB", "hnr": "HNRdBACF", "h1_h2": "logRelF0-H1-H2",
    "h1_a3": "logRelF0-H1-A3", **{f"f{k}": f"F{k}frequency" for k in (1, 2, 3)},
    **{f"f{k}_bandwidth": f"F{k}bandwidth" for k in (1, 2, 3)},
    **{f"f{k}_amplitude": f"F{k}amplitudeLogRelF0" for k in (1, 2, 3)},
    "alpha_ratio_voiced": "alphaRatioV", "hammarberg_voiced": "hammarbergIndexV",
    "slope_0_500_voiced": "slopeV0-500", "slope_500_1500_voiced": "slopeV500-1500", "flux_voiced": "spectralFluxV",
    **{f"mfcc{k}_voiced": f"mfcc{k}V" for k in (1, 2, 3, 4)},
}  # fmt: skip
WHOLE = {"flux_all": "spectralFlux", **{f"mfcc{k}_all": f"mfcc{k}" for k in (1, 2, 3, 4)}}
UNVOICED = {
    "alpha_ratio": "alphaRatioUV", "hammarberg": "hammarbergIndexUV", "slope_0_500": "slopeUV0-500",
    "slope_500_1500": "slopeUV500-1500", "flux": "spectralFluxUV",
}  # fmt: skip
CONTOUR = {
    "mean": "amean", "std": "stddevNorm", "p20": "percentile20.0", "p50": "percentile50.0", "p80": "percentile80.0",
    "range": "pctlrange0-2", "rise_mean": "meanRisingSlope", "rise_std": "stddevRisingSlope",
    "fall_mean": "meanFallingSlope", "fall_std": "stddevFallingSlope",
}  # fmt: skip
SAME = {
    **{f"f0_{ours}": f"F0semitoneFrom27.5Hz_sma3nz_{theirs}" for ours, theirs in CONTOUR.items()},
    **{f"loudness_all_{ours}": f"loudness_sma3_{theirs}" for ours, theirs in CONTOUR.items()},
    **{f"{ours}_mean": f"{theirs}_sma3_amean" for ours, theirs in WHOLE.items()},
    **{f"{ours}_std": f"{theirs}_sma3_stddevNorm" for ours, theirs in WHOLE.items()},
    **{f"{ours}_mean": f"{theirs}_sma3nz_amean" for ours, theirs in VOICED.items()},
    **{f"{ours}_std": f"{theirs}_sma3nz_stddevNorm" for ours, theirs in VOICED.items()},
    **{f"{ours}_unvoiced_all_mean": f"{theirs}_sma3nz_amean" for ours, theirs in UNVOICED.items()},
    "loudness_peaks_per_second_all": "loudnessPeaksPerSec", "voiced_per_second_all": "VoicedSegmentsPerSec",
    "voiced_seconds_mean": "MeanVoicedSegmentLengthSec", "voiced_seconds_std": "StddevVoicedSegmentLengthSec",
    "unvoiced_seconds_all_mean": "MeanUnvoicedSegmentLength", "unvoiced_seconds_all_std": "StddevUnvoicedSegmentLength",
    "level": "equivalentSoundLevel_dBp",
}  # fmt: skip


OWN = ("audio.spectral", "audio.prosody", "audio.modulation", "audio.coordination")


def files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob("Actor_*/*") if path.suffix in {".wav", ".flac"})
    if not found:
        raise SystemExit(f"no Actor_*/*.wav or *.flac in {folder}")
    return found


def chosen(folder: Path, count: int) -> list[AudioClip]:
    """Clips at even distances, so of all actors and emotions."""
    every = files(folder)
    return [read_audio(every[i]) for i in np.linspace(0, len(every) - 1, count).astype(int)]


def available(*names: str) -> Iterator[str]:
    for name in names:
        reason = registry.unavailable(registry.get(name))
        if reason:
            print(f"{name}: {reason}")
        else:
            yield name


# Speed ---------------------------------------------------------------------------------------------------------------


def plain_librosa(clip: AudioClip) -> None:
    """What a script of one librosa call per feature computes; every call transforms the sound again."""
    import librosa

    y, sr, f = clip.y, clip.sr, librosa.feature
    frame = {"n_fft": sp.N_FFT, "hop_length": sp.HOP, "win_length": sp.WINDOW}
    spectral = (
        f.melspectrogram, f.mfcc, f.chroma_stft, f.spectral_contrast, f.spectral_centroid, f.spectral_bandwidth,
        f.spectral_rolloff,
    )  # fmt: skip
    found = [compute(y=y, sr=sr, **frame) for compute in spectral]
    found += [f.spectral_flatness(y=y, **frame), f.tonnetz(y=y, sr=sr)]
    found += [compute(y=y, frame_length=sp.WINDOW, hop_length=sp.HOP) for compute in (f.rms, f.zero_crossing_rate)]
    found += [librosa.pyin(y, fmin=65, fmax=600, sr=sr)[0][None], librosa.feature.rms(y=librosa.effects.hpss(y)[0])]
    for x in found:
        np.nanmean(x, axis=1), np.nanstd(x, axis=1)


def together(*names: str) -> Callable[[AudioClip], None]:
    """The named extractors on one fresh clip: what they share is computed once."""
    extractors = [registry.get(name) for name in names]

    def run(clip: AudioClip) -> None:
        fresh = AudioClip(clip.y)
        for extractor in extractors:
            extractor.extract([fresh])

    return run


def speed(folder: Path, count: int) -> None:
    clips = chosen(folder, count)
    runs = {"spectral + prosody": together(*OWN[:2]), "those, modulation and coordination": together(*OWN)}
    runs |= {name: together(name) for name in (*OWN, *available("audio.ge2e", "audio.egemaps", "audio.librosa"))}
    runs["plain librosa"] = plain_librosa
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(clips[0])
    # Each clip by all in turn: a machine that slows down slows all of them.
    for clip in clips:
        for name, run in runs.items():
            begin = time.process_time()
            run(clip)
            spent[name].append((time.process_time() - begin) / clip.duration)
    print(f"{count} clips of {np.mean([c.duration for c in clips]):.2f} s: ms of processor time per 3 s clip, median")
    print("and fastest tenth; audio-seconds per core-second; times that of spectral + prosody on the same clip, median")
    first = np.array(spent["spectral + prosody"])
    for name, shares in spent.items():
        median, fast = np.percentile(shares, [50, 10])
        ratio = np.median(shares / first)
        print(f"{name:36s}{3e3 * median:8.1f}{3e3 * fast:8.1f}{1 / median:8.1f}{ratio:8.2f}", flush=True)


def one_by_one(folder: Path, count: int) -> None:
    """What a user pays who calls `affectlake.features.extract` on files, beside openSMILE's ``process_file``."""
    import opensmile

    from affectlake.features import extract

    paths = files(folder)[:: max(1, len(files(folder)) // count)][:count]
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    calls: dict[str, Callable[[list[Path]], object]] = {
        "openSMILE, eGeMAPSv02": lambda some: [smile.process_file(str(path)) for path in some]
    }
    sets = [(name,) for name in (*OWN, *available("audio.recording", "audio.egemaps", "audio.ge2e", "audio.whisper"))]
    for names in (OWN[:2], *sets):
        calls[" + ".join(names)] = lambda some, names=names: extract(some, names)
    first = {name: clocked(call, paths[:1]) for name, call in calls.items()}
    single: dict[str, list[float]] = {name: [] for name in calls}
    for path in paths:
        for name, call in calls.items():
            single[name].append(clocked(call, [path]))
    at_once = {name: clocked(call, paths) / len(paths) for name, call in calls.items()}
    print(f"{len(paths)} files: s of processor time for the first file with what it loads; ms per file, one call each,")
    print(f"median; in one call of {len(paths)}; times that of openSMILE on the same file, median")
    smiled = np.array(single["openSMILE, eGeMAPSv02"])
    for name, spent in single.items():
        ratio = np.median(np.array(spent) / smiled)
        print(f"{name:36s}{first[name]:7.2f}{1e3 * np.median(spent):8.1f}{1e3 * at_once[name]:8.1f}{ratio:7.2f}")


def clocked(call: Callable[[list[Path]], object], some: list[Path]) -> float:
    """Processor time that a call takes, s."""
    begin = time.process_time()
    call(some)
    return time.process_time() - begin


# Agreement -----------------------------------------------------------------------------------------------------------


def agreement(folder: Path, count: int) -> None:
    """Over the clips as they are and at full scale: openSMILE calls what is quieter than -60 dB unvoiced."""
    from scipy.stats import pearsonr, spearmanr

    clips = chosen(folder, count)
    loud = [AudioClip(clip.y * (0.9 / np.abs(clip.y).max())) for clip in clips]
    tables = [(measured("audio.prosody", some), measured("audio.egemaps", some)) for some in (clips, loud)]
    names = [c.name for c in registry.get("audio.egemaps").columns]
    assert sorted(map(column, SAME.values())) == sorted(names)
    strength = []
    print(f"{count} clips as they are: Pearson, Spearman; at full scale: Pearson, Spearman")
    for name, other in SAME.items():
        found = []
        for ours, theirs in tables:
            a, b = ours[name], theirs[column(other)]
            if other.endswith("stddevNorm"):  # a deviation over the mean, which is next to 0 here and there
                b = b * theirs[column(other.replace("stddevNorm", "amean"))]
            keep = np.isfinite(a) & np.isfinite(b)
            found += [pearsonr(a[keep], b[keep]).statistic, spearmanr(a[keep], b[keep]).statistic]
        strength.append(found)
        print(f"{name:30s}" + "".join(f"{r:7.3f}" for r in found))
    print(f"{'median':30s}" + "".join(f"{r:7.3f}" for r in np.median(strength, axis=0)))


def measured(name: str, clips: list[AudioClip]) -> dict[str, np.ndarray]:
    rows = np.stack(registry.get(name).extract(clips)).astype(float)
    return {c.name: rows[:, i] for i, c in enumerate(registry.get(name).columns)}


# Truth ---------------------------------------------------------------------------------------------------------------

KNOWN = {
    "f1_mean": "F1frequency_sma3nz_amean", "f2_mean": "F2frequency_sma3nz_amean", "f3_mean": "F3frequency_sma3nz_amean",
    "h1_h2_mean": "logRelF0-H1-H2_sma3nz_amean", "jitter_mean": "jitterLocal_sma3nz_amean",
    "shimmer_mean": "shimmerLocaldB_sma3nz_amean", "f0_p50": "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
}  # fmt: skip


def synthetic(rng: np.random.Generator) -> tuple[AudioClip, dict[str, float]]:
    """1.5 s of a vowel made of pulses, each with its own period and amplitude, and what is true of it."""
    hz, tilt, jitter, shimmer = (rng.uniform(*span) for span in ((90, 280), (1, 2), (0, 0.02), (0, 1)))
    formants = np.array([rng.uniform(300, 800), rng.uniform(900, 2300), rng.uniform(2400, 3200)])
    onset = np.cumsum((1 + jitter * rng.standard_normal(int(1.4 * hz))) / hz)
    onset = onset[onset < 1.45]
    gain = 10 ** (shimmer * rng.standard_normal(len(onset)) / 20)
    f = np.fft.rfftfreq(3 * RATE // 2, 1 / RATE)
    pulses = sum(a * np.exp(-2j * np.pi * f * t) for t, a in zip(onset, gain, strict=True))
    heard = (f > 40) & (f < 7500)
    y = np.fft.irfft(np.where(heard, pulses * response(np.maximum(f, 40), tilt, formants), 0))
    first, second = np.abs(response(hz * np.array([1, 2]), tilt, formants))
    period = np.diff(onset)
    return AudioClip(y * (0.5 / np.abs(y).max())), {
        **{f"f{k}_mean": formants[k - 1] for k in (1, 2, 3)},
        "h1_h2_mean": 20 * np.log10(first / second),
        "jitter_mean": np.mean(np.abs(np.diff(period))) / period.mean(),
        "shimmer_mean": np.mean(np.abs(np.diff(20 * np.log10(gain)))),
        "f0_p50": 12 * np.log2(1 / np.median(period) / 27.5),
    }


def response(hz: np.ndarray, tilt: float, formants: np.ndarray) -> np.ndarray:
    """A glottal slope of ``6 tilt`` dB per octave through three resonances."""
    out = (hz / 100.0) ** -tilt + 0j
    z = np.exp(-2j * np.pi * hz / RATE)
    for formant, width in zip(formants, (80, 100, 120), strict=True):
        pole = np.exp(-np.pi * width / RATE)
        out *= (1 - pole) / (1 - 2 * pole * np.cos(2 * np.pi * formant / RATE) * z + pole**2 * z * z)
    return out


def truth(folder: Path, count: int) -> None:
    """Ours and openSMILE's values of synthetic vowels, beside the true ones."""
    rng = np.random.default_rng(0)
    clips, facts = zip(*(synthetic(rng) for _ in range(count)), strict=True)
    ours, theirs = measured("audio.prosody", list(clips)), measured("audio.egemaps", list(clips))
    print(f"{count} vowels: median absolute error and correlation with the truth, ours; openSMILE's")
    for name, other in KNOWN.items():
        true = np.array([fact[name] for fact in facts])
        shown = []
        for x in (ours[name], theirs[column(other)]):
            keep = np.isfinite(x)
            shown.append(f"{np.median(np.abs(x - true)[keep]):9.4f} {np.corrcoef(x[keep], true[keep])[0, 1]:6.3f}")
        print(f"{name:14s} {'; '.join(shown)}")


# Trimming ------------------------------------------------------------------------------------------------------------


def trim(folder: Path, count: int) -> None:
    """Speech and pauses kept of clips between 2 s of silence in white noise, by the level of the clean clip."""
    from affectlake.features.audio._trim import REACH, speech

    rng, pad = np.random.default_rng(0), np.zeros(2 * RATE, np.float32)
    print(f"{count} clips: share kept of what is within 30 dB of the loud frames (least), and of the rest")
    for ratio in (np.inf, 20, 10, 5):
        shares = []
        for clip in chosen(folder, count):
            y = np.concatenate([pad, clip.y / np.abs(clip.y).max(), pad])
            level = sp.level(AudioClip(y))
            loud = np.repeat(
                level > np.percentile(sp.level(clip) - sp.level(clip).max(), 95) + level.max() - 30, sp.HOP
            )
            loud = loud[: len(y)]
            gain = np.sqrt(np.mean(y[loud] ** 2) * 10 ** (-ratio / 10))
            noisy = AudioClip(y + gain * rng.standard_normal(len(y)))
            kept = np.zeros(len(y), bool)
            kept[sp.near(np.arange(len(y)), speech(noisy), REACH)] = True
            shares.append((kept[loud].mean(), kept[~loud].mean()))
        speaking, rest = np.array(shares).T
        print(f"{ratio:5.0f} dB over the noise: {speaking.mean():.3f} ({speaking.min():.2f}), {rest.mean():.3f}")


# Memory --------------------------------------------------------------------------------------------------------------


def memory(folder: Path, count: int) -> None:
    """Peak of a fresh process that reads a recording of two hours and runs every extractor that is at hand."""
    import soundfile

    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "long.flac")
        y = np.concatenate([clip.y for clip in chosen(folder, count)])
        with soundfile.SoundFile(path, "w", RATE, 1) as file:
            for _ in range(-(-7200 * RATE // len(y))):
                file.write(y)
        subprocess.run([sys.executable, "-c", MEASURE, str(path)], check=True)


MEASURE = """
import resource, sys
from affectlake.features import registry
from affectlake.features.inputs import READERS, Request

clip = READERS["audio"](Request("", sys.argv[1]))
names = [e.name for e in registry.select(["audio.*"]) if not registry.unavailable(e)]
for name in ["", *names]:
    if name:
        registry.get(name).extract([clip])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{name or 'reading':20s} peak of the process so far {peak:6.0f} MiB", flush=True)
"""


# Accuracy ------------------------------------------------------------------------------------------------------------


SETS = (("audio.egemaps",), OWN[:2], OWN, (*OWN, "audio.ge2e"))


def accuracy(folder: Path) -> None:
    every = files(folder)
    code = np.array([path.stem.split("-") for path in every])
    emotion, actor = code[:, 2], code[:, 6]
    sets = [list(available(*names)) for names in SETS]
    blocks = table(every, sorted({name for names in sets for name in names}))
    for kept in filter(None, sets):
        x = np.hstack([blocks[name] for name in kept])
        for title, share in grouped(x, emotion, actor):
            print(f"{' '.join(kept)} ({x.shape[1]} columns), {title}: {share:.3f}", flush=True)


def table(every: list[Path], names: list[str]) -> dict[str, np.ndarray]:
    """Values of every extractor, each [shape=(files, columns)]."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for path in every:
        clip = read_audio(path)
        for name in names:
            rows[name] += registry.get(name).extract([clip])
    return {name: np.stack(found) for name, found in rows.items()}


def grouped(x: np.ndarray, emotion: np.ndarray, actor: np.ndarray) -> Iterator[tuple[str, float]]:
    """Accuracy over 5 folds of unseen speakers; C is chosen inside the training folds, by speaker too."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    models = {
        "logistic regression": (LogisticRegression(max_iter=300), [0.001, 0.01]),
        "RBF-SVM": (SVC(gamma=0.3 / x.shape[1]), [1, 3, 10]),
    }
    for title, (model, strengths) in models.items():
        said = np.empty_like(emotion)
        for train, test in GroupKFold(5).split(x, groups=actor):
            clean = make_pipeline(SimpleImputer(), StandardScaler()).fit(x[train])
            search = GridSearchCV(model, {"C": strengths}, cv=GroupKFold(3))
            search.fit(clean.transform(x[train]), emotion[train], groups=actor[train])
            said[test] = search.predict(clean.transform(x[test]))
        yield title, float(np.mean(said == emotion))


KINDS = {"speed": speed, "files": one_by_one, "agreement": agreement, "truth": truth, "trim": trim, "memory": memory}


def main() -> None:
    # librosa's compiled functions are cached in its own folder by default: two processes that write there at once
    # leave files behind that crash every later one.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir(), f"numba-{os.getpid()}")))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*KINDS, "accuracy"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=96, help="clips that all but accuracy take (default: 96)")
    given = parser.parse_args()
    if given.what == "accuracy":
        accuracy(given.folder)
    else:
        KINDS[given.what](given.folder, given.clips)


if __name__ == "__main__":
    main()
