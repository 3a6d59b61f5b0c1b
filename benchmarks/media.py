"""What is heard of a known sound, by container, codec and encoder: length, place and samples; and by segments.

    python benchmarks/media.py               # the table of docs/measured/media.md
    python benchmarks/media.py --seconds 3   # of a sound of another length

Rows of Debian's ffmpeg and of sox are left out where they are not installed.
"""

import argparse
import io
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from affectlake.data import sound
from affectlake.data.errors import AffectlakeError
from affectlake.data.sound import RATE, read_audio

LENGTHS = (0.3, 1.0, 3.7, 20.0, 65.3)
"""Seconds of the sounds that go through real encoders."""


def known(seconds: float, rate: int = 48_000) -> np.ndarray:
    """Noise below 3 kHz whose level rises and falls: no two places are alike, and 8 kHz carry it."""
    n = round(seconds * rate)
    noise = np.random.default_rng(0).normal(0, 1, n + 2 * rate).astype(np.float32)
    low = soxr.resample(soxr.resample(noise, rate, 6_000), 6_000, rate)[rate : rate + n]
    swell = 0.6 + 0.4 * np.sin(np.arange(n) / rate * 2 * np.pi * 1.3)
    return (0.15 * low / low.std() * swell).astype(np.float32)


# Writers: (path, samples at 48 kHz) ----------------------------------------------------------------------------------


def by_soundfile(rate: int = 48_000, **options) -> Callable[[Path, np.ndarray], None]:
    def write(path: Path, y: np.ndarray) -> None:
        soundfile.write(path, y if rate == 48_000 else soxr.resample(y, 48_000, rate), rate, **options)

    return write


def by_pyav(codec: str, rate: int = 48_000, form: str | None = None, film: bool = False) -> Callable:
    def write(path: Path, y: np.ndarray) -> None:
        y = y if rate == 48_000 else soxr.resample(y, 48_000, rate)
        with av.open(str(path), "w", format=form) as out:
            packets = []
            if film:
                pictures = out.add_stream("mpeg4", rate=25, width=64, height=48)
                for _ in range(math.ceil(len(y) / rate * 25)):
                    black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                    packets += pictures.encode(black)
                packets += pictures.encode(None)
            track = out.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(y[None], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
            packets += [*track.encode(frame), *track.encode(None)]
            out.mux(packets)

    return write


def by_command(*command: str) -> Callable[[Path, np.ndarray], None] | None:
    """A program that reads WAV from its input; None where it is not installed."""
    if not shutil.which(command[0]):
        return None

    def write(path: Path, y: np.ndarray) -> None:
        wav = io.BytesIO()
        soundfile.write(wav, y, 48_000, format="WAV", subtype="PCM_16")
        filled = [str(path) if part == "OUT" else part for part in command]
        subprocess.run(filled, input=wav.getvalue(), check=True, capture_output=True)

    return write


def ffmpeg(*options: str) -> Callable | None:
    return by_command("ffmpeg", "-v", "error", "-y", "-i", "-", *options, "OUT")


def ffmpeg_film(*options: str) -> Callable | None:
    pictures = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25", "-shortest")
    return by_command("ffmpeg", "-v", "error", "-y", "-i", "-", *pictures, *options, "OUT")


def sox(*options: str) -> Callable | None:
    return by_command("sox", "-t", "wav", "-", *options, "OUT")


FORMATS: dict[str, tuple[str, Callable | None]] = {
    **{f"WAV, {s}": ("a.wav", by_soundfile(subtype=s)) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")},
    **{f"WAV, {s}": ("a.wav", by_soundfile(subtype=s)) for s in ("DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")},
    "WAV, GSM610": ("a.wav", by_soundfile(8_000, subtype="GSM610")),
    **{f"WAV, {r} Hz": ("a.wav", by_soundfile(r, subtype="FLOAT")) for r in (8_000, 16_000, 44_100, 192_000)},
    "WAVEX, PCM_24": ("a.wav", by_soundfile(format="WAVEX", subtype="PCM_24")),
    "RF64": ("a.rf64", by_soundfile(format="RF64")),
    "W64": ("a.w64", by_soundfile()),
    "AIFF": ("a.aiff", by_soundfile()),
    "AU": ("a.au", by_soundfile()),
    "CAF": ("a.caf", by_soundfile()),
    "SPHERE": ("a.sph", by_soundfile(format="NIST")),
    "VOC": ("a.voc", by_soundfile()),
    "IRCAM": ("a.sf", by_soundfile(format="IRCAM", subtype="PCM_16")),
    "FLAC": ("a.flac", by_soundfile()),
    "FLAC in Ogg": ("a.oga", by_pyav("flac", form="ogg")),
    "Vorbis": ("a.ogg", by_soundfile()),
    "Opus": ("a.opus", by_pyav("libopus")),
    "Speex (ffmpeg)": ("a.spx", ffmpeg("-ar", "16000", "-c:a", "libspeex")),
    "MP3 (libsndfile)": ("a.mp3", by_soundfile(44_100)),
    "MP3 (PyAV)": ("a.mp3", by_pyav("libmp3lame", 44_100)),
    "MP2": ("a.mp2", by_pyav("mp2")),
    "AAC, ADTS": ("a.aac", by_pyav("aac")),
    "AAC in MP4": ("a.m4a", by_pyav("aac")),
    "AAC in MPEG-TS": ("a.ts", by_pyav("aac")),
    "AAC in Matroska": ("a.mka", by_pyav("aac")),
    "ALAC in MP4": ("a.m4a", by_pyav("alac")),
    "Opus in WebM": ("a.webm", by_pyav("libopus")),
    "Vorbis in Matroska (ffmpeg)": ("a.mka", ffmpeg("-c:a", "libvorbis")),
    "FLAC in Matroska": ("a.mka", by_pyav("flac")),
    "AC-3": ("a.ac3", by_pyav("ac3")),
    "E-AC-3": ("a.eac3", by_pyav("eac3")),
    "AMR-NB": ("a.amr", by_pyav("libopencore_amrnb", 8_000)),
    "WMA (ffmpeg)": ("a.wma", ffmpeg("-ar", "44100", "-c:a", "wmav2")),
    "WavPack": ("a.wv", by_pyav("wavpack")),
    "TTA": ("a.tta", by_pyav("tta")),
    "PCM in QuickTime": ("a.mov", by_pyav("pcm_s16le")),
    "MP3 in AVI": ("a.avi", by_pyav("libmp3lame", 44_100, film=True)),
    "MP3 in FLV": ("a.flv", by_pyav("libmp3lame", 44_100)),
    "film, AAC in MP4": ("a.mp4", by_pyav("aac", film=True)),
    "film, AAC in MPEG-TS": ("a.ts", by_pyav("aac", film=True)),
    "film, AAC in Matroska": ("a.mkv", by_pyav("aac", film=True)),
    "film, Opus in WebM": ("a.mkv", by_pyav("libopus", film=True)),
    "MP3 in WAV (ffmpeg)": ("a.wav", ffmpeg("-ar", "44100", "-c:a", "libmp3lame", "-f", "wav")),
    "MP3, CBR, no header (ffmpeg)": ("a.mp3", ffmpeg("-ar", "44100", "-b:a", "64k", "-write_xing", "0")),
    "G.722 in WAV (ffmpeg)": ("a.wav", ffmpeg("-ar", "16000", "-c:a", "g722")),
    "fragmented MP4 (ffmpeg)": ("a.mp4", ffmpeg("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov")),
    "GSM (sox)": ("a.gsm", sox("-r", "8000")),
}

ENCODERS: dict[str, tuple[str, Callable | None]] = {
    "mp3: ffmpeg, libmp3lame VBR": ("a.mp3", ffmpeg("-ar", "44100", "-q:a", "4")),
    "mp3: ffmpeg, VBR without header": ("a.mp3", ffmpeg("-ar", "44100", "-q:a", "4", "-write_xing", "0")),
    "mp3: sox": ("a.mp3", sox("-r", "44100", "-C", "96")),
    "mp3: PyAV": ("a.mp3", by_pyav("libmp3lame", 44_100)),
    "webm: ffmpeg, libopus": ("a.webm", ffmpeg_film("-c:v", "libvpx", "-c:a", "libopus")),
    "webm: ffmpeg, libvorbis": ("a.webm", ffmpeg_film("-c:v", "libvpx", "-c:a", "libvorbis")),
    "webm: PyAV, libopus": ("a.webm", by_pyav("libopus")),
    "mkv: ffmpeg, AAC": ("a.mkv", ffmpeg_film("-c:v", "mpeg4", "-c:a", "aac")),
    "mkv: ffmpeg, libmp3lame": ("a.mkv", ffmpeg_film("-c:v", "mpeg4", "-ar", "44100", "-c:a", "libmp3lame")),
    "mkv: PyAV, AAC": ("a.mkv", by_pyav("aac", film=True)),
}


# Measures ------------------------------------------------------------------------------------------------------------


def lag(y: np.ndarray, truth: np.ndarray) -> float:
    """Milliseconds that ``y`` comes later than ``truth``, to a sixteenth of a sample's length."""
    n = 1 << (len(y) + len(truth)).bit_length()
    cross = np.fft.irfft(np.conj(np.fft.rfft(truth, n)) * np.fft.rfft(y, n), n)
    near = RATE // 4
    window = np.concatenate([cross[-near:], cross[: near + 1]])
    return float(np.argmax(window) - near) / RATE * 1000


def difference(y: np.ndarray, truth: np.ndarray, late: float) -> float:
    """RMS of what differs, over that of the truth, where both are and the lag is taken off."""
    shift = round(late * RATE / 1000)
    a, b = (y[shift:], truth) if shift >= 0 else (y, truth[-shift:])
    n = min(len(a), len(b))
    return float(np.sqrt(np.mean((a[:n] - b[:n]) ** 2) / np.mean(b[:n] ** 2)))


def by_segments(path: Path, whole: np.ndarray, seconds: float) -> float:
    """Largest difference between segments and slices of the whole, over its RMS."""
    worst, rms = 0.0, float(np.sqrt(np.mean(whole**2))) or 1.0
    for first, last in ((0.1, 0.5), (0.37, 0.69), (0.613, 0.987)):
        start, end = round(seconds * first, 4), round(seconds * last, 4)
        part = read_audio(path, start, end).y
        slice_ = whole[round(start * RATE) : round(end * RATE)]
        if len(part) != len(slice_):
            return math.nan
        worst = max(worst, float(np.abs(part - slice_).max()) / rms)
    return worst


def decoder(path: Path) -> str:
    """The one whose samples are heard."""
    for source in sound._sources(path):
        try:
            opened = source()
            next(opened.blocks(0, 1))
        except sound.GaveUp:
            continue
        opened.close()
        return {"Sndfile": "libsndfile", "Ffmpeg": "FFmpeg"}[type(opened).__name__]
    return "–"


def formats(folder: Path, seconds: float) -> None:
    y = known(seconds)
    truth = soxr.resample(y, 48_000, RATE)
    print("| container, codec | read by | length, ms | place, ms | difference | segments |")
    print("|---|---|---|---|---|---|")
    for name, (file, write) in FORMATS.items():
        path = folder / file
        if write is None:
            print(f"| {name} | not installed | | | | |")
            continue
        try:
            write(path, y)
        except (av.FFmpegError, ValueError, subprocess.CalledProcessError) as error:
            print(f"| {name} | no encoder here: {' '.join(str(error).split())[:60]} | | | | |")
            continue
        clip = read_audio(path)
        late = lag(clip.y, truth)
        print(
            f"| {name} | {decoder(path)} | {1000 * (len(clip.y) - len(truth)) / RATE:+.1f} | {late:+.2f} "
            f"| {difference(clip.y, truth, late):.4f} | {by_segments(path, clip.y, seconds):.1e} |"
        )
        path.unlink()


def encoders(folder: Path) -> None:
    print("\n| encoder | " + " | ".join(f"{s} s" for s in LENGTHS) + " |")
    print("|---|" + "---|" * len(LENGTHS))
    for name, (file, write) in ENCODERS.items():
        cells = []
        for seconds in LENGTHS:
            path = folder / file
            if write is None:
                cells.append("not installed")
                continue
            y = known(seconds)
            truth = soxr.resample(y, 48_000, RATE)
            write(path, y)
            try:
                clip = read_audio(path)
                late = lag(clip.y, truth)
                ends = 1000 * (len(clip.y) - len(truth)) / RATE
                cells.append(f"{ends:+.0f}, {late:+.1f}, {by_segments(path, clip.y, seconds):.0e}")
            except AffectlakeError as error:
                cells.append(str(error))
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        formats(Path(folder), arguments.seconds)
        encoders(Path(folder))


if __name__ == "__main__":
    main()
