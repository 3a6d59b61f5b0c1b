"""How long a sound is, and when: what is decoded decides, and everything counts from the container's zero."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affectlake.data import sound
from affectlake.data.errors import BadMedia, NotApplicable
from affectlake.data.sound import RATE, read_audio

soundfile = pytest.importorskip("soundfile")
av = pytest.importorskip("av")

SECONDS = 3.0


def steps(rate: int, seconds: float = SECONDS) -> np.ndarray:
    """A buzz whose pitch tells the time: 200 Hz in the first half second, 240 in the next, …"""
    hz = 200 + 40 * np.floor(np.arange(round(rate * seconds)) / rate * 2)
    return (0.3 * np.sin(2 * np.pi * np.cumsum(hz) / rate)).astype(np.float32)


def told(y: np.ndarray, at: float) -> float:
    """The time that the pitch around ``at`` tells, to half a second."""
    part = y[round((at - 0.1) * RATE) : round((at + 0.1) * RATE)]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), RATE * 2))
    return (float(np.argmax(spectrum)) / 2 - 200) / 40 / 2


def says_the_time(y: np.ndarray, begins: float = 0.0, seconds: float = SECONDS) -> None:
    for at in np.arange(0.25, seconds, 0.5):
        assert told(y, begins + at) == pytest.approx(at - 0.25, abs=0.1), at


def encoded(path: Path, codec: str, rate: int = 48_000, late: float = 0.0, film: float = 0.0, tracks: int = 1, **kind):
    """A file whose sound begins ``late``; with ``film`` seconds of pictures."""
    with av.open(str(path), "w", **kind) as out:
        packets = []
        if film:
            pictures = out.add_stream("mpeg4", rate=25, width=64, height=48)
            for i in range(round(25 * film)):
                black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                black.time_base, black.pts = Fraction(1, 25), i
                packets += pictures.encode(black)
            packets += pictures.encode(None)
        for number in range(tracks):
            track = out.add_stream(codec, rate=rate, layout="mono")
            y = steps(rate) * (1 if number == 0 else 0)
            frame = av.AudioFrame.from_ndarray(y[None], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(rate * late)
            packets += [*track.encode(frame), *track.encode(None)]
        out.mux(packets)
    return path


def wav(y: np.ndarray, rate: int = RATE, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, y, rate, **({"format": "WAV", "subtype": "PCM_16"} | options))
    return file.getvalue()


def put(data: bytes, at: int, form: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)


# Formats with a header: where the bytes of samples are stated, and what is counted besides them.
STATED = {
    "WAV": (b"data", 4, "<I", 0),
    "RF64": (b"ds64", 16, "<Q", 0),
    "W64": (b"data", 16, "<Q", 24),
    "AIFF": (b"SSND", 4, ">I", 8),
    "AU": (b".snd", 8, ">I", 0),
    "CAF": (b"data", 4, ">Q", 4),
}


def stating(kind: str, extra: int | None = None, size: int | None = None) -> bytes:
    """A file of that kind that states ``extra`` more bytes than it has, or ``size``."""
    data = wav(steps(RATE), format=kind)
    name, offset, form, more = STATED[kind]
    at = data.index(name) + offset
    stated = struct.unpack_from(form, data, at)[0]
    changed = put(data, at, form, stated + extra if size is None else size)
    if kind == "AIFF":
        frames = data.index(b"COMM") + 10
        known = len(steps(RATE)) + (extra or 0) // 2 if size is None else 0
        changed = put(changed, frames, ">I", known)
    return changed


KINDS = [*STATED, "NIST"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_was_cut_is_named(tmp_path, kind):
    whole = wav(steps(RATE), format=kind)
    path = tmp_path / "a"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(BadMedia, match=r"^a: truncated, holds 1\.[78]\d s of the 3\.00 s that it states$"):
        read_audio(path)
    # What is there is there.
    assert told(read_audio(path, 1.0, 1.5).y, 0.25) == pytest.approx(1.0, abs=0.1)
    with pytest.raises(BadMedia, match="truncated"):
        read_audio(path, 1.0, 2.5)


@pytest.mark.parametrize("kind", STATED)
@pytest.mark.parametrize("lie", [0, -1, "few more", "few less", "half"])
def test_a_size_that_is_wrong_costs_nothing(tmp_path, kind, lie):
    biggest = (1 << 8 * struct.calcsize(STATED[kind][2])) - 1
    changed = {
        0: lambda: stating(kind, size=0),  # a recorder that died
        -1: lambda: stating(kind, size=biggest),
        "few more": lambda: stating(kind, 44),
        "few less": lambda: stating(kind, -8),
        "half": lambda: stating(kind, -len(steps(RATE))),
    }[lie]()
    path = tmp_path / "a"
    path.write_bytes(changed)
    clip = read_audio(path)
    assert clip.duration == pytest.approx(SECONDS, abs=0.002)
    says_the_time(clip.y)


@pytest.mark.parametrize("kind", [*KINDS, "FLAC"])
def test_files_joined_end_to_end_are_heard_to_their_end(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(wav(steps(RATE), format=kind) * 2)
    clip = read_audio(path)
    assert clip.duration == 2 * SECONDS
    says_the_time(clip.y)
    says_the_time(clip.y, SECONDS)
    np.testing.assert_array_equal(read_audio(path, 2.0, 4.5).y, clip.y[2 * RATE : round(4.5 * RATE)])


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp3", "libmp3lame", 44_100),
        ("a.aac", "aac", 48_000),
        ("a.opus", "libopus", 48_000),
        ("a.ac3", "ac3", 48_000),
    ],
)
def test_compressed_files_joined_end_to_end(tmp_path, name, codec, rate):
    path = encoded(tmp_path / name, codec, rate)
    path.write_bytes(path.read_bytes() * 2)
    clip = read_audio(path)
    assert clip.duration == pytest.approx(2 * SECONDS, abs=0.12)
    says_the_time(clip.y)
    says_the_time(clip.y, clip.duration / 2)
    part = read_audio(path, 3.5, 4.5).y
    np.testing.assert_allclose(part, clip.y[round(3.5 * RATE) : round(4.5 * RATE)], atol=2e-3)


def test_joined_recordings_of_different_rates_are_named(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(steps(RATE)) + wav(steps(8_000), 8_000))
    with pytest.raises(BadMedia, match="different rates or channels"):
        read_audio(path)


def without_header(data: bytes) -> bytes:
    """An MP3 without its first frame, which states the length."""
    at = data.index(b"\xff\xfb")
    return data[data.index(b"\xff\xfb", at + 4) :]


def test_an_mp3_that_states_no_length_is_heard_to_its_end(tmp_path):
    path = encoded(tmp_path / "a.mp3", "libmp3lame", 44_100)
    said = path.read_bytes()
    assert read_audio(path).duration == pytest.approx(SECONDS, abs=0.001)
    path.write_bytes(without_header(said))
    clip = read_audio(path)
    assert clip.duration == pytest.approx(SECONDS, abs=0.08)
    says_the_time(clip.y)
    path.write_bytes(said[: len(said) * 6 // 10])
    with pytest.raises(BadMedia, match=r"truncated, holds 1\.[789]\d s of the 3\.\d\d s"):
        read_audio(path)
    path.write_bytes(without_header(said)[: len(said) * 6 // 10])
    assert read_audio(path).duration == pytest.approx(1.8, abs=0.1)  # nothing says that it was longer


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 48_000])
def test_an_mp3_of_any_rate_is_whole_and_a_cut_one_is_not(tmp_path, rate):
    path = encoded(tmp_path / "a.mp3", "libmp3lame", rate)
    assert len(read_audio(path).y) == pytest.approx(SECONDS * RATE, abs=0.01 * RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 8 // 10])
    with pytest.raises(BadMedia, match="truncated"):
        read_audio(path)


def test_a_long_mp3_without_header_is_heard_in_its_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "LIMIT", 1.0)
    path = encoded(tmp_path / "a.mp3", "libmp3lame", 44_100)
    path.write_bytes(without_header(path.read_bytes()))
    clip = read_audio(path)
    assert len(clip.y) == RATE and clip.duration == pytest.approx(SECONDS, abs=0.08)
    assert told(clip.y, 0.25) == pytest.approx(1.0, abs=0.1)


def test_mp3_in_wav(tmp_path):
    """Format tag 0x55, whose header is often wrong by some bytes."""
    mp3 = encoded(tmp_path / "a.mp3", "libmp3lame", 44_100).read_bytes()
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 44_100, 8_000, 1, 0, 12, 1, 2, 1152, 1, 1393)
    for size in (len(mp3), len(mp3) + 40, 0, 0xFFFFFFFF):
        path = tmp_path / "a.wav"
        chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size)
        path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(mp3)) + b"WAVE" + chunks + mp3)
        clip = read_audio(path)
        assert clip.duration == pytest.approx(SECONDS, abs=0.08), size
        says_the_time(clip.y)


@pytest.mark.parametrize("subtype", ["GSM610", "IMA_ADPCM", "MS_ADPCM", "ALAW", "ULAW", "DOUBLE", "PCM_24"])
def test_wav_of_codecs_that_cannot_seek_too(tmp_path, subtype):
    rate = 8_000
    path = tmp_path / "a.wav"
    path.write_bytes(wav(steps(rate), rate, subtype=subtype))
    clip = read_audio(path)
    assert clip.duration == pytest.approx(SECONDS, abs=0.1)
    says_the_time(clip.y)
    part = read_audio(path, 1.31, 2.47).y
    np.testing.assert_allclose(part, clip.y[round(1.31 * RATE) : round(2.47 * RATE)], atol=1e-4)


def test_chunks_around_the_samples(tmp_path):
    """What is no sample is not heard: chunks of odd size, without the byte that fills them up, tags."""
    data = wav(steps(RATE))
    head, samples = data[:36], data[36:]
    odd = b"LIST" + struct.pack("<I", 13) + b"INFOISFT\x01\0\0\0x"
    for changed in (
        head + odd + b"\0" + samples,
        data + odd,
        data + odd + b"\0" + b"id3 " + struct.pack("<I", 6) + b"ID3\4\0\0",
        data + b"own " + struct.pack("<I", 40_000) + bytes(range(250)) * 160,
        data + bytes(1000),
        data + b"TAG" + b"x" * 125,
    ):
        path = tmp_path / "a.wav"
        path.write_bytes(changed)
        np.testing.assert_array_equal(read_audio(path).y, read_audio(_as(tmp_path / "b.wav", data)).y)


def _as(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_tag_before_the_sound(tmp_path):
    tag = b"ID3\4\0\0\0\0\2\0" + b"TIT2" + bytes(252)
    for name, data in (
        ("a.flac", wav(steps(RATE), format="FLAC")),
        ("a.aac", encoded(tmp_path / "b.aac", "aac").read_bytes()),
        ("a.wav", wav(steps(RATE))),
    ):
        clip = read_audio(_as(tmp_path / name, tag + data))
        assert clip.duration == pytest.approx(SECONDS, abs=0.05), name
        says_the_time(clip.y)


def test_nothing_at_all(tmp_path):
    for kind in ("WAV", "AU", "CAF", "AIFF", "FLAC"):
        with pytest.raises(BadMedia, match="holds no samples|is empty|not a sound file"):
            read_audio(_as(tmp_path / "a", wav(np.zeros(0), format=kind)))


# One clock -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
def test_a_track_that_begins_late_is_silent_until_then(tmp_path, name):
    path = encoded(tmp_path / name, "aac", late=1.5, film=6.0)
    clip = read_audio(path)
    assert clip.duration == pytest.approx(4.5, abs=0.06)
    assert np.abs(clip.y[: round(1.4 * RATE)]).max() == 0
    says_the_time(clip.y, 1.5)
    part = read_audio(path, 2.6, 3.4)
    assert told(part.y, 0.2) == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(part.y, clip.y[round(2.6 * RATE) : round(3.4 * RATE)], atol=3e-3)
    assert not read_audio(path, 0.2, 1.0).y.any()


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.webm", "libopus")])
def test_tracks_of_unequal_length(tmp_path, name, codec):
    picture = {"a.webm": 0.0}.get(name, 5.0)
    path = encoded(tmp_path / name, codec, film=picture)
    clip = read_audio(path)
    assert clip.duration == pytest.approx(SECONDS, abs=0.05)
    says_the_time(clip.y)
    if picture:
        with pytest.raises(NotApplicable, match=f"^{name}: its sound ends at 3.0"):
            read_audio(path, 4.0, 4.5)
    with pytest.raises(BadMedia, match="segment starts at 9.0 s, the recording ends at 3.0"):
        read_audio(path, 9.0, None)


def test_a_matroska_file_that_was_cut_is_named(tmp_path):
    path = encoded(tmp_path / "a.mkv", "aac", film=3.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(BadMedia, match=r"truncated, holds \d\.\d\d s of the 3\.\d\d s"):
        read_audio(path)


@pytest.mark.parametrize(("name", "lossy"), [("a.mkv", False), ("a.mp4", True), ("a.ts", True), ("a.webm", True)])
def test_gaps_between_time_stamps_are_silence_of_that_length(tmp_path, name, lossy):
    """A recorder that stops while it is muted: packets from 1 to 2 s are not there, the others keep their times."""
    codec = {"a.mkv": "flac", "a.webm": "libopus"}.get(name, "aac")
    source = encoded(tmp_path / ("whole" + name[1:]), codec)
    path = tmp_path / name
    with av.open(str(source)) as read, av.open(str(path), "w") as out:
        track = out.add_stream_from_template(read.streams.audio[0])
        for packet in read.demux(read.streams.audio[0]):
            if packet.pts is not None and not 1.0 <= packet.pts * packet.time_base < 2.0:
                packet.stream = track
                out.mux(packet)
    clip = read_audio(path)
    assert clip.duration == pytest.approx(SECONDS, abs=0.06)
    assert np.abs(clip.y[round(1.2 * RATE) : round(1.8 * RATE)]).max() < 1e-3
    assert told(clip.y, 0.25) == pytest.approx(0.0, abs=0.1)
    assert told(clip.y, 2.25) == pytest.approx(2.0, abs=0.1)
    for start, end in ((0.4, 0.9), (0.5, 2.6), (1.5, 2.6), (2.2, 2.9)):
        part = read_audio(path, start, end).y
        np.testing.assert_allclose(part, clip.y[round(start * RATE) : round(end * RATE)], atol=3e-3)


def test_the_default_track_is_heard(tmp_path):
    path = encoded(tmp_path / "a.mkv", "aac", tracks=2)
    says_the_time(read_audio(path).y)


# Segments ------------------------------------------------------------------------------------------------------------

LAW = {
    "wav.wav": ("", 44_100, 1e-6),
    "flac.flac": ("flac", 48_000, 1e-6),
    "mp3.mp3": ("libmp3lame", 44_100, 1e-6),
    "aac.m4a": ("aac", 48_000, 2e-3),
    "aac.mka": ("aac", 44_100, 2e-3),
    "opus.webm": ("libopus", 48_000, 1e-5),
    "opus.opus": ("libopus", 48_000, 1e-5),
    "aac.ts": ("aac", 48_000, 2e-3),
}


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("law")
    found = {}
    for name, (codec, rate, close) in LAW.items():
        path = folder / name
        if codec:
            encoded(path, codec, rate)
        else:
            soundfile.write(path, steps(rate), rate)
        found[name] = path, read_audio(path).y, close
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(LAW)), st.floats(0, 2.8), st.floats(0.01, 3.5))
def test_a_segment_is_the_slice_of_the_whole(wholes, name, start, length):
    path, whole, close = wholes[name]
    part = read_audio(path, start, start + length).y
    expected = whole[round(start * RATE) : round((start + length) * RATE)]
    assert len(part) == len(expected)
    np.testing.assert_allclose(part, expected, atol=close)


# Channels and limits -------------------------------------------------------------------------------------------------


def test_channels_that_cancel_each_other_are_heard(tmp_path, caplog):
    y = steps(RATE)
    for right, loudest in ((-y, 1), (-0.8 * y, 1), (-1.2 * y, 2)):
        soundfile.write(tmp_path / "a.wav", np.stack([y, right], 1) * 0.5, RATE, subtype="FLOAT")
        clip = read_audio(tmp_path / "a.wav")
        np.testing.assert_allclose(clip.y, (y if loudest == 1 else right) * 0.5, atol=1e-6)
        assert clip.note == f"its channels cancel each other, the louder one is heard ({loudest} of 2)"
        assert "a.wav: its channels cancel each other" in caplog.text


def test_channels_that_differ_are_averaged(tmp_path):
    rng = np.random.default_rng(0)
    y, other = steps(RATE), 0.2 * rng.normal(size=(3, len(steps(RATE))))
    offset = np.stack([y + 0.1, y - 0.1])
    for channels in (np.stack([y, 0 * y]), np.stack([y, *other]), np.stack([y, 0.3 * y]), offset):
        soundfile.write(tmp_path / "a.wav", channels.T, RATE, subtype="FLOAT")
        clip = read_audio(tmp_path / "a.wav")
        np.testing.assert_allclose(clip.y, channels.mean(axis=0), atol=1e-6)
        assert not clip.note


@pytest.mark.parametrize(
    ("channels", "rate", "reason"), [(300, RATE, "300 channels, 1 to 256"), (1, 50, "50 samples per second, from 1000")]
)
def test_forms_that_cannot_be_heard(tmp_path, channels, rate, reason):
    soundfile.write(tmp_path / "a.wav", np.zeros((100, channels)), rate)
    with pytest.raises(BadMedia, match=reason):
        read_audio(tmp_path / "a.wav")


def test_damage_is_named(tmp_path):
    path = tmp_path / "a.flac"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE)
    soundfile.write(path, noise, RATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(BadMedia, match="^a.flac: .*damaged"):
        read_audio(path)
