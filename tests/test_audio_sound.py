"""Decoding: many formats to the same mono 16 kHz, and a plain reason for what cannot be heard."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest

from affectlake.data import sound
from affectlake.data.errors import BadMedia, NotApplicable
from affectlake.data.sound import RATE, AudioClip, read_audio

soundfile = pytest.importorskip("soundfile")
av = pytest.importorskip("av")


def tone(rate: int = RATE, seconds: float = 1.0, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def written(path: Path, y: np.ndarray, rate: int = RATE, **options) -> Path:
    soundfile.write(path, y, rate, **options)
    return path


def film(path: Path, seconds: float = 2.0, audible: bool = True) -> Path:
    """MP4 of black pictures; its sound rises from 300 Hz in the first second to 900 Hz in the second."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=25, width=64, height=64)
        track = container.add_stream("aac", rate=48_000, layout="stereo") if audible else None
        for _ in range(round(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        if track is not None:
            y = np.concatenate([tone(48_000, 1.0, 300.0), tone(48_000, seconds - 1, 900.0)])
            frame = av.AudioFrame.from_ndarray(np.stack([y, y]), format="fltp", layout="stereo")
            frame.sample_rate = 48_000
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


def dominant(y: np.ndarray) -> float:
    """Hz of the strongest component."""
    return float(np.argmax(np.abs(np.fft.rfft(y * np.hanning(len(y))))) * RATE / len(y))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 192_000])
def test_any_rate_becomes_16_khz(tmp_path, rate):
    clip = read_audio(written(tmp_path / "a.wav", tone(rate), rate))
    assert clip.sr == RATE and len(clip.y) == RATE and clip.y.dtype == np.float32
    np.testing.assert_allclose(clip.y[800:-800], tone()[800:-800], atol=2e-3)


def test_channels_are_averaged(tmp_path):
    gains = np.arange(1, 9) / 8
    clip = read_audio(written(tmp_path / "a.wav", tone()[:, None] * gains, subtype="FLOAT"))
    np.testing.assert_allclose(clip.y, tone() * gains.mean(), atol=1e-6)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3", "a.aiff", "a.W64"])
def test_formats_of_libsndfile(tmp_path, name):
    clip = read_audio(written(tmp_path / name, tone()))
    assert clip.duration == pytest.approx(1, abs=0.1)
    assert dominant(clip.y) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_any_width_of_samples(tmp_path, subtype):
    clip = read_audio(written(tmp_path / "a.wav", tone(), subtype=subtype))
    np.testing.assert_allclose(clip.y, tone(), atol=2e-2 if subtype in ("PCM_U8", "ULAW") else 1e-6)


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.opus", "libopus"), ("a.mka", "aac")])
def test_formats_of_ffmpeg(tmp_path, name, codec):
    with av.open(str(tmp_path / name), "w") as container:
        track = container.add_stream(codec, rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(48_000)[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for packet in (*track.encode(frame), *track.encode(None)):
            container.mux(packet)
    clip = read_audio(tmp_path / name)
    assert clip.duration == pytest.approx(1, abs=0.1)
    assert dominant(clip.y) == pytest.approx(440, abs=2)


def test_the_name_of_a_file_says_nothing(tmp_path):
    path = written(tmp_path / "a.flac", tone())
    renamed = path.rename(tmp_path / "a.wav")
    assert len(read_audio(renamed).y) == RATE


def test_a_film_is_heard(tmp_path):
    path = film(tmp_path / "a.mp4")
    whole, second = read_audio(path), read_audio(path, 1.1, 1.9)
    assert whole.duration == pytest.approx(2, abs=0.1)
    assert dominant(second.y) == pytest.approx(900, abs=3)
    assert second.duration == pytest.approx(0.8, abs=0.01)


def test_a_silent_film_is_named(tmp_path):
    with pytest.raises(NotApplicable, match="a.mp4: has no sound track"):
        read_audio(film(tmp_path / "a.mp4", audible=False))


@pytest.mark.parametrize(("start", "end"), [(0.25, 0.75), (None, 0.5), (0.5, None), (0.9, 5.0)])
def test_a_segment_is_a_slice_of_the_whole(tmp_path, start, end):
    path = written(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, RATE))
    whole, part = read_audio(path), read_audio(path, start, end)
    begin, stop = round((start or 0) * RATE), round(min(end or 1, 1) * RATE)
    np.testing.assert_array_equal(part.y, whole.y[begin:stop])
    assert part.duration == pytest.approx((stop - begin) / RATE)


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (2.0, None, "segment starts at 2.0 s, the recording ends at 1.000 s"),
        (0.5, 0.5, "segment starts at 0.5 s but ends at 0.5 s"),
        (-1.0, None, "start=-1.0 is not a time"),
        (None, math.nan, "end=nan is not a time"),
    ],
)
def test_a_segment_outside_is_refused(tmp_path, start, end, reason):
    with pytest.raises(BadMedia, match=reason):
        read_audio(written(tmp_path / "a.wav", tone()), start, end)


def test_a_long_recording_is_heard_in_its_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "LIMIT", 1.0)
    y = np.concatenate([tone(hz=300), tone(hz=600), tone(hz=900)])
    clip = read_audio(written(tmp_path / "a.flac", y))
    assert len(clip.y) == RATE and clip.duration == 3
    assert dominant(clip.y) == pytest.approx(600, abs=2)


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])
    return path


@pytest.mark.parametrize("name", ["a.flac", "a.wav", "a.ogg", "a.mp3"])
def test_a_truncated_file_is_told_from_a_short_one(tmp_path, name):
    path = cut(written(tmp_path / name, np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE)), 0.6)
    with pytest.raises(BadMedia, match=rf"^{name}: truncated"):
        read_audio(path)


def test_a_truncated_film_is_refused(tmp_path):
    with pytest.raises(BadMedia, match="^a.mp4: "):
        read_audio(cut(film(tmp_path / "a.mp4"), 0.6))


def test_a_piped_wav_has_no_length_and_is_read(tmp_path):
    path = written(tmp_path / "a.wav", tone(), subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(data)
    assert len(read_audio(path).y) == RATE


BROKEN = {
    "empty": (b"", "file is empty"),
    "text": (b"I am very happy today.\n" * 20, "not a sound file"),
    "noise": (bytes(range(256)) * 8, "not a sound file"),
    "zeros": (bytes(4096), "not a sound file"),
    "head of a flac": (b"fLaC\x00\x00\x00\x22", "not a sound file"),
}


@pytest.mark.parametrize(("content", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_sound_is_named(tmp_path, content, reason):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(BadMedia, match=f"a.wav: .*{reason}") as error:
        read_audio(path)
    assert "\n" not in str(error.value)


def test_zero_seconds(tmp_path):
    with pytest.raises(BadMedia, match="holds no samples"):
        read_audio(written(tmp_path / "a.wav", np.zeros(0)))


def test_samples_that_are_no_numbers(tmp_path):
    y = tone()
    y[100] = np.nan
    with pytest.raises(BadMedia, match="not numbers"):
        read_audio(written(tmp_path / "a.wav", y, subtype="FLOAT"))


def test_what_is_not_there(tmp_path):
    with pytest.raises(BadMedia, match="no such file"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(BadMedia, match="not a file"):
        read_audio(tmp_path)
    (tmp_path / "0.png").touch()
    with pytest.raises(NotApplicable, match="folder of pictures has no sound"):
        read_audio(tmp_path)
    with pytest.raises(BadMedia, match="fetched first"):
        read_audio("s3://bucket/a.wav")


def test_file_addresses(tmp_path):
    path = written(tmp_path / "two words.wav", tone())
    assert len(read_audio(path.as_uri()).y) == RATE


@pytest.mark.parametrize("y", [np.zeros(0), np.zeros((2, 2)), np.array([0.0, np.inf])])
def test_a_clip_needs_finite_samples(y):
    with pytest.raises(BadMedia):
        AudioClip(y)


def test_an_analysis_runs_once():
    calls = []

    def analysis(clip):
        calls.append(clip)
        return len(clip.y)

    clip = AudioClip(tone())
    assert clip.once(analysis) == clip.once(analysis) == RATE
    assert len(calls) == 1
