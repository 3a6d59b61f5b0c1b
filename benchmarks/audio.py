"""Speed, agreement with openSMILE and accuracy on RAVDESS of the audio extractors; one core.

    OMP_NUM_THREADS=1 python benchmarks/audio.py speed FOLDER
    OMP_NUM_THREADS=1 python benchmarks/audio.py agreement FOLDER
    OMP_NUM_THREADS=1 python benchmarks/audio.py accuracy FOLDER

FOLDER holds RAVDESS' speech, one sound file per clip below ``Actor_01`` to ``Actor_24``.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from affectlake.data.sound import AudioClip, read_audio
from affectlake.features import registry
from affectlake.features.audio import _spectrum as sp

# Ours and openSMILE's names of the same quantity. openSMILE's stddevNorm is a deviation over the mean, ours is not,
# so means and percentiles are compared.
SAME = {
    "f0_mean": "F0semitoneFrom27.5Hz_sma3nz_amean", "f0_p20": "F0semitoneFrom27.5Hz_sma3nz_percentile20.0",
    "f0_p50": "F0semitoneFrom27.5Hz_sma3nz_percentile50.0", "f0_p80": "F0semitoneFrom27.5Hz_sma3nz_percentile80.0",
    "loudness_mean": "loudness_sma3_amean", "loudness_p50": "loudness_sma3_percentile50.0",
    "loudness_p80": "loudness_sma3_percentile80.0", "loudness_range": "loudness_sma3_pctlrange0-2",
    "level": "equivalentSoundLevel_dBp",
    "jitter_mean": "jitterLocal_sma3nz_amean", "shimmer_mean": "shimmerLocaldB_sma3nz_amean",
    "hnr_mean": "HNRdBACF_sma3nz_amean",
    "h1_h2_mean": "logRelF0-H1-H2_sma3nz_amean", "h1_a3_mean": "logRelF0-H1-A3_sma3nz_amean",
    **{f"f{k}_mean": f"F{k}frequency_sma3nz_amean" for k in (1, 2, 3)},
    **{f"f{k}_bandwidth_mean": f"F{k}bandwidth_sma3nz_amean" for k in (1, 2, 3)},
    **{f"f{k}_amplitude_mean": f"F{k}amplitudeLogRelF0_sma3nz_amean" for k in (1, 2, 3)},
    "alpha_ratio_voiced_mean": "alphaRatioV_sma3nz_amean", "hammarberg_voiced_mean": "hammarbergIndexV_sma3nz_amean",
    "slope_0_500_voiced_mean": "slopeV0-500_sma3nz_amean", "slope_500_1500_voiced_mean": "slopeV500-1500_sma3nz_amean",
    "flux_voiced_mean": "spectralFluxV_sma3nz_amean",
    **{f"mfcc{k}_voiced_mean": f"mfcc{k}V_sma3nz_amean" for k in (1, 2, 3, 4)},
    "alpha_ratio_unvoiced_mean": "alphaRatioUV_sma3nz_amean",
    "hammarberg_unvoiced_mean": "hammarbergIndexUV_sma3nz_amean",
    "voiced_per_second": "VoicedSegmentsPerSec", "voiced_seconds_mean": "MeanVoicedSegmentLengthSec",
    "unvoiced_seconds_mean": "MeanUnvoicedSegmentLength", "loudness_peaks_per_second": "loudnessPeaksPerSec",
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
    runs |= {name: together(name) for name in (*OWN, *available("audio.ge2e", "audio.egemaps"))}
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
    print(f"{count} clips of {np.mean([c.duration for c in clips]):.2f} s; medians")
    for name, shares in spent.items():
        share = float(np.median(shares))
        print(f"{name:36s} {1 / share:7.1f} audio-seconds per core-second {3e3 * share:8.1f} ms per 3 s clip")


# Agreement -----------------------------------------------------------------------------------------------------------


def agreement(folder: Path, count: int) -> None:
    from scipy.stats import pearsonr, spearmanr

    from affectlake.features.audio import egemaps

    clips = chosen(folder, count)
    names = [c.name for c in registry.get("audio.prosody").columns]
    ours = np.stack(registry.get("audio.prosody").extract(clips)).astype(float)
    theirs = np.stack(registry.get("audio.egemaps").extract(clips)).astype(float)
    strength = []
    print(f"{count} clips: Pearson, Spearman")
    for name, other in SAME.items():
        a, b = ours[:, names.index(name)], theirs[:, egemaps.NAMES.index(other)]
        keep = np.isfinite(a) & np.isfinite(b)
        strength.append(pearsonr(a[keep], b[keep]).statistic)
        print(f"{name:28s} {strength[-1]:6.3f} {spearmanr(a[keep], b[keep]).statistic:6.3f}")
    print(f"{'median':28s} {np.median(strength):6.3f}")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "agreement", "accuracy"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=96, help="clips that speed and agreement take (default: 96)")
    given = parser.parse_args()
    if given.what == "accuracy":
        accuracy(given.folder)
    else:
        {"speed": speed, "agreement": agreement}[given.what](given.folder, given.clips)


if __name__ == "__main__":
    main()
