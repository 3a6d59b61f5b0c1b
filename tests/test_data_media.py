"""Opening media: ordinary files only, known by content, and nothing that they name is ever opened."""

import contextlib
import os
import socket
import stat
import threading
from fractions import Fraction

import numpy as np
import pytest

from affectlake.data import media
from affectlake.data.errors import BadMedia

soundfile = pytest.importorskip("soundfile")
av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A second of sound as WAV and in MP4, and one of pictures and sound, the sound half a second later."""
    folder = tmp_path_factory.mktemp("clips")
    y = np.float32(0.3) * np.sin(np.arange(48_000) / 20, dtype=np.float32)
    soundfile.write(folder / "sound.wav", y, 48_000)
    for name, begins, late in (("sound.m4a", 0, None), ("film.mp4", 0, 0.5), ("film.ts", 1.4, 0.5)):
        with av.open(str(folder / name), "w") as out:
            packets = []
            if late is not None:
                pictures = out.add_stream("mpeg4", rate=25, width=64, height=48)
                for i in range(25):
                    black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                    black.time_base, black.pts = Fraction(1, 25), round(25 * begins) + i
                    packets += pictures.encode(black)
                packets += pictures.encode(None)
            track = out.add_stream("aac", rate=48_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(y[None], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
            frame.pts = round(48_000 * (begins + (late or 0)))
            packets += [*track.encode(frame), *track.encode(None)]
            out.mux(packets)
    return folder


def test_every_suffix_stands_for_one_kind():
    every = [s for suffixes in media.SUFFIXES.values() for s in suffixes]
    assert len(every) == len(set(every)) and all(s == s.lower() and s.startswith(".") for s in every)


def test_playlists_and_lists_are_not_among_the_formats():
    names = set(media._OPTIONS["format_whitelist"].split(","))
    assert not names & {"hls", "dash", "concat", "ffconcat", "image2", "image2pipe", "sdp", "rtp", "rtsp", "sap", "imf"}
    assert names <= {part for name in av.formats_available for part in name.split(",")} | {"3gp", "3g2", "mov", "mp4"}


LISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nsound.wav\n#EXT-X-ENDLIST\n",
    "HLS after a mark": "\ufeff#EXTM3U\nsound.wav\n",
    "concat": "ffconcat version 1.0\nfile 'sound.wav'\n",
    "DASH": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>\n',
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 4000 RTP/AVP 0\n",
    "PLS": "[playlist]\nFile1=sound.wav\n",
}


@pytest.mark.parametrize("name", ["a.wav", "a.m3u8", "a.mp4"])
@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS.keys())
def test_a_list_of_files_is_named_and_not_followed(clips, text, name):
    path = clips / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadMedia, match=f"{name}: a list of other files"):
        with media.open_container(path):
            pass
    assert media.kind_of(path) is None


def test_a_list_that_hides_is_refused_by_its_format(clips):
    # 600 bytes of comments: beyond what is looked at first, within what FFmpeg probes.
    path = clips / "hidden.wav"
    path.write_text("#" * 600 + "\n#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nsound.wav\n")
    with pytest.raises((av.FFmpegError, ValueError)):
        with media.open_container(path):
            pass


def test_nothing_is_asked_of_the_network(clips):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, calls = server.getsockname()[1], []
        server.settimeout(0.3)

        def wait():
            with contextlib.suppress(TimeoutError):
                calls.append(server.accept())

        thread = threading.Thread(target=wait)
        thread.start()
        path = clips / "net.m3u8"
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n")
        assert media.kind_of(path) is None
        thread.join()
    assert not calls


@pytest.mark.parametrize("name", ["a%03d.mp4", "a*?[1].mp4", "a:b#c.mp4", "concat:a|b.mp4", "-.mp4", "文件 é.mp4"])
def test_a_name_is_only_a_name(clips, name):
    path = clips / name
    path.write_bytes((clips / "film.mp4").read_bytes())
    with media.open_container(path) as container:
        assert len(media.tracks(container, "audio")) == len(media.tracks(container, "video")) == 1


def test_a_name_that_is_not_utf_8(clips):
    path = clips / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes((clips / "film.mp4").read_bytes())
    assert media.kind_of(path) == "video"
    assert media.local_path("file://" + str(clips) + "/caf%E9.mp4") == path
    path.write_bytes(b"")
    with pytest.raises(BadMedia) as error:
        media.open_file(path)
    assert str(error.value).encode() and r"caf\udce9.mp4" in str(error.value)


def test_only_ordinary_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.wav"))
        for path in (tmp_path / "pipe.wav", tmp_path / "s.wav", tmp_path, media.Path("/dev/zero")):
            for attempt in (media.check_file, media.open_file):
                with pytest.raises(BadMedia, match="not a file|cannot be opened"):
                    attempt(path)
    with pytest.raises(BadMedia, match="0 bytes"):
        media.open_file(media.Path("/proc/version"))
    for missing in (tmp_path / "none.wav", tmp_path / "none" / "a.wav"):
        with pytest.raises(BadMedia, match="no such file"):
            media.check_file(missing)
        with pytest.raises(BadMedia, match="no such file"):
            media.open_file(missing)


def test_a_file_that_is_not_on_the_disk_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    assert stat.S_ISREG(path.stat().st_mode)
    with pytest.raises(BadMedia, match="says 1048576 MB, of which 0 MB are on the disk"):
        media.open_file(path)


def test_content_tells_the_kind(clips, tmp_path):
    cv2 = pytest.importorskip("cv2")
    for suffix in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm"):
        picture = cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes()
        (tmp_path / "picture").write_bytes(picture)
        assert media.kind_of(tmp_path / "picture") == "image", suffix
    (tmp_path / "sound").write_bytes((clips / "sound.wav").read_bytes())
    (tmp_path / "spoken").write_bytes((clips / "sound.m4a").read_bytes())
    (tmp_path / "film").write_bytes((clips / "film.ts").read_bytes())
    (tmp_path / "text").write_text("I am glad. " * 50)
    kinds = [media.kind_of(tmp_path / name) for name in ("sound", "spoken", "film", "text", "none", ".")]
    assert kinds == ["audio", "audio", "video", None, None, "video"]


def test_one_zero_for_sound_and_picture(clips):
    for name, first in (("film.mp4", 0.0), ("film.ts", 1.4), ("sound.m4a", 0.0)):
        with media.open_container(clips / name) as container:
            assert media.zero(container) == pytest.approx(first, abs=0.1), name
            frame = next(container.decode(media.tracks(container, "audio")[0]))
            assert frame.time - media.zero(container) == pytest.approx(0.5 if "film" in name else 0.0, abs=0.05), name


@pytest.mark.parametrize("name", ["a.wav", "a.png", "a.mp4"])
def test_what_git_lfs_has_not_fetched_is_called_that(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 12345\n")
    with pytest.raises(BadMedia, match="is a Git LFS pointer, not the file itself: git lfs pull fetches it"):
        media.open_file(path)
