"""What features/audio measures itself although librosa has it: both on one shared spectrum, time and difference.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/spectra.py FOLDER

FOLDER holds RAVDESS' speech, one sound file per clip below ``Actor_01`` to ``Actor_24``.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from audio import chosen

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _functionals, _pitch, spectral
from affectlake.features.audio import _spectrum as sp

FRAME = {"frame_length": sp.WINDOW, "hop_length": sp.HOP}


@dataclass(frozen=True)
class Place:
    """One quantity, frames first: as written here, and by librosa of the very same input.

    Attributes
    ----------
    ours, theirs : function of a clip to np.ndarray [shape=(frames,) or (frames, d)]
    scale : float
        Of the difference that is shown; 0 takes the largest value.
    """

    name: str
    ours: Callable[[AudioClip], np.ndarray]
    theirs: Callable[[AudioClip], np.ndarray]
    same: bool = True


def places() -> list[Place]:
    import librosa
    from librosa import feature

    def transform(clip: AudioClip) -> np.ndarray:
        spectrum = librosa.stft(sp.centred(clip), n_fft=sp.N_FFT, win_length=sp.WINDOW, hop_length=sp.HOP)
        return (np.abs(spectrum) ** 2).T

    def magnitude(clip: AudioClip) -> np.ndarray:
        return np.sqrt(sp.power(clip)).T

    def flatness(clip: AudioClip) -> np.ndarray:
        power = sp.power(clip)
        nothing = power.max() * np.float32(spectral.NOTHING)
        return 10 * np.log10(feature.spectral_flatness(S=power.T, amin=nothing, power=1.0)[0])

    def centre_and_spread(clip: AudioClip) -> np.ndarray:
        heard = magnitude(clip)
        centre = feature.spectral_centroid(S=heard, sr=RATE)
        return np.vstack([centre, feature.spectral_bandwidth(S=heard, sr=RATE, centroid=centre)]).T

    def own_centre_and_spread(clip: AudioClip) -> np.ndarray:
        _, centre, square = spectral._moments(clip).T
        return np.column_stack([centre, np.sqrt(np.maximum(square - centre**2, 0))])

    def yin(clip: AudioClip) -> np.ndarray:
        return librosa.yin(clip.y, fmin=_pitch.LOWEST, fmax=_pitch.HIGHEST, sr=RATE, frame_length=1024, hop_length=160)

    def pyin(clip: AudioClip) -> np.ndarray:
        return librosa.pyin(
            clip.y, fmin=_pitch.LOWEST, fmax=_pitch.HIGHEST, sr=RATE, frame_length=1024, hop_length=160
        )[0]

    tiny = np.finfo(np.float32).tiny
    return [
        Place("transform", sp._power, transform),
        Place(
            "decibels of 40 bands",
            lambda clip: sp.decibels(sp.power(clip) @ sp.mel_bank(sp.BANDS)),
            lambda clip: librosa.power_to_db(sp.power(clip) @ sp.mel_bank(sp.BANDS), amin=tiny, top_db=sp.TOP_DB),
        ),
        Place(
            "mel bands",
            sp._mel,
            lambda clip: (
                librosa.power_to_db(
                    feature.melspectrogram(S=sp.power(clip).T, sr=RATE, n_mels=sp.BANDS), amin=tiny, top_db=sp.TOP_DB
                ).T
            ),
        ),
        Place("cepstra", sp._mfcc, lambda clip: feature.mfcc(S=sp.mel(clip).T, n_mfcc=sp.CEPSTRA).T),
        Place(
            "delta",
            lambda clip: _functionals.delta(sp.mfcc(clip)),
            lambda clip: feature.delta(sp.mfcc(clip).T, mode="nearest").T,
        ),
        Place("chroma", spectral.chroma, lambda clip: feature.chroma_stft(S=sp.power(clip).T, sr=RATE, tuning=0.0).T),
        Place(
            "chroma, librosa's norm",
            spectral.chroma,
            lambda clip: librosa.util.normalize(sp.power(clip) @ sp.chroma_bank(), norm=np.inf, axis=1),
        ),
        Place("contrast", spectral.contrast, lambda clip: feature.spectral_contrast(S=magnitude(clip), sr=RATE).T),
        Place("centroid, bandwidth", own_centre_and_spread, centre_and_spread),
        Place("rolloff", spectral.rolloff, lambda clip: feature.spectral_rolloff(S=magnitude(clip), sr=RATE)[0]),
        Place("flatness", spectral.flatness, flatness),
        Place(
            "zero crossings",
            spectral.zero_crossings,
            lambda clip: feature.zero_crossing_rate(sp.centred(clip), **FRAME, threshold=0, zero_pos=True)[0],
        ),
        Place("RMS", sp._rms, lambda clip: feature.rms(y=sp.centred(clip), **FRAME, pad_mode="constant")[0]),
        Place("pitch, yin", lambda clip: _pitch._pitch(clip).hz, yin, same=False),
        Place("pitch, pyin", lambda clip: _pitch._pitch(clip).hz, pyin, same=False),
    ]


def seconds(compute: Callable[[AudioClip], np.ndarray], clip: AudioClip) -> tuple[float, np.ndarray]:
    """Processor time, and what came of it."""
    begin = time.process_time()
    found = compute(clip)
    return time.process_time() - begin, found


def main() -> None:
    # Two processes that write to librosa's own cache of compiled functions at once leave files behind that crash.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir(), f"numba-{os.getpid()}")))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=48)
    given = parser.parse_args()
    clips = chosen(given.folder, given.clips)
    for clip in clips:  # what both sides share is there before either is timed
        sp.power(clip), sp.mfcc(clip), sp.rms(clip), sp.centred(clip)
    print(
        f"{len(clips)} clips; ms per 3 s clip, medians: ours, librosa's, ratio; largest difference over largest value"
    )
    for place in places():
        place.ours(clips[0]), place.theirs(clips[0])
        shares, off = [], 0.0
        for clip in clips:
            (ours, a), (theirs, b) = seconds(place.ours, clip), seconds(place.theirs, clip)
            shares.append((3e3 * ours / clip.duration, 3e3 * theirs / clip.duration, theirs / max(ours, 1e-9)))
            if place.same:
                off = max(off, float(np.abs(a - b).max() / np.abs(b).max()))
        ours, theirs, ratio = np.median(shares, axis=0)
        print(
            f"{place.name:24s}{ours:8.3f}{theirs:9.3f}{ratio:8.2f}   {f'{off:.1e}' if place.same else '-'}", flush=True
        )


if __name__ == "__main__":
    main()
