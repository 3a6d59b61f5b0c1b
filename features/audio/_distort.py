"""Spoils a clip as a channel would, where the setting ``audio.distort`` asks for it.

To ask what a model of clean sound makes of worse sound, the same recordings go through a telephone, noise or a codec
before anything is computed. Every distortion is a function of the samples alone, so that it can be repeated.
"""

import io
import zlib
from typing import Any

import numpy as np

from affectlake.data.sound import AudioClip
from affectlake.features.audio import _spectrum as sp

PASSED = (300.0, 3400.0)  # Hz of a telephone, ITU-T G.712
LINE = 8000  # samples per second of its line
MU = 255.0  # of its companding, ITU-T G.711
CODECS = {"opus": ("libopus", "ogg", 16_000), "mp3": ("libmp3lame", "mp3", 32_000)}
"""Encoder, container and bits per second: what calls over the internet and voice memos are kept at."""


def distorted(clip: AudioClip, how: str) -> AudioClip:
    """The clip, as many samples long, after ``telephone``, ``noise:DB`` or ``codec:NAME``."""
    kind, _, rest = how.partition(":")
    if kind == "telephone":
        return _like(clip, _telephone(clip), LINE)
    return _like(clip, _noisy(clip, float(rest)) if kind == "noise" else _coded(clip, rest), clip.stored_rate)


def _like(clip: AudioClip, y: np.ndarray, rate: int) -> AudioClip:
    same = np.zeros_like(clip.y)
    same[: len(y)] = y[: len(same)]
    return AudioClip(same, clip.sr, clip.duration, clip.note, min(rate, clip.stored_rate), clip.apart)


def _telephone(clip: AudioClip) -> np.ndarray:
    """Band of a telephone, eight bits a sample by the mu law."""
    import soxr
    from scipy.signal import butter, sosfiltfilt

    line = soxr.resample(clip.y, clip.sr, LINE, quality="HQ")
    # Forwards and backwards: nothing is delayed. Such a filter needs some samples to begin with.
    if len(line) > 64:
        line = sosfiltfilt(butter(4, PASSED, "bandpass", fs=LINE, output="sos"), line, padlen=63)
    line = np.clip(line, -1, 1)
    companded = np.sign(line) * np.log1p(MU * np.abs(line)) / np.log1p(MU)
    steps = np.round(companded * 127) / 127
    heard = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(MU)) / MU
    return np.asarray(soxr.resample(heard.astype(np.float32), LINE, clip.sr, quality="HQ"))


def _noisy(clip: AudioClip, decibels: float) -> np.ndarray:
    """White noise ``decibels`` below the frames with sound."""
    level = float(np.sqrt(np.mean(np.square(sp.rms(clip)[sp.active(clip)], dtype=np.float64))))
    noise = np.random.default_rng(zlib.crc32(clip.y.tobytes())).normal(size=len(clip.y))
    return np.asarray(clip.y + level * 10 ** (-decibels / 20) * noise, dtype=np.float32)


def _coded(clip: AudioClip, name: str) -> np.ndarray:
    """Encoded and decoded again."""
    import av

    codec, container, bits = CODECS[name]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=clip.sr)
        stream.bit_rate, stream.layout = bits, "mono"
        resampler = av.AudioResampler(stream.format, "mono", clip.sr)
        frame = av.AudioFrame.from_ndarray(np.clip(clip.y, -1, 1)[None], format="fltp", layout="mono")
        frame.sample_rate = clip.sr
        for ready in resampler.resample(frame):
            out.mux(stream.encode(ready))
        out.mux(stream.encode(None))
    file.seek(0)
    back = av.AudioResampler("fltp", "mono", clip.sr)
    pieces: list[np.ndarray] = []
    with av.open(file) as read:
        for frame in [*read.decode(audio=0), None]:
            pieces += [part.to_ndarray()[0] for part in back.resample(frame)]
    return np.concatenate(pieces)
