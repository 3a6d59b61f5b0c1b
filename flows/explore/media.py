"""A sample's sound, film and pictures from where they lie: nothing else of this machine's files is ever sent."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from affectlake.data import remote
from affectlake.data.checksums import file_sha256
from affectlake.data.errors import AffectlakeError, BadMedia, UnknownName
from affectlake.data.media import check_file, kind_of, local_path
from affectlake.data.pictures import read_frames
from affectlake.data.samples import MEDIA, channel_number
from affectlake.data.sound import read_audio
from affectlake.features import _files

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.flows.explore.lake import Lake

# What browsers play by themselves; of all else the sound is decoded for them.
_TYPES = {
    **dict.fromkeys((".wav", ".wave"), "audio/wav"),
    **dict.fromkeys((".ogg", ".oga", ".opus"), "audio/ogg"),
    **dict.fromkeys((".m4a", ".m4b"), "audio/mp4"),
    **dict.fromkeys((".mp4", ".m4v", ".mov"), "video/mp4"),
    **dict.fromkeys((".webm", ".mkv"), "video/webm"),
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".aac": "audio/aac",
    ".weba": "audio/webm",
    ".ogv": "video/ogg",
}

LARGEST = 256 << 20
"""Bytes of an object elsewhere that is fetched because somebody looks at a page."""

FRAMES = 4
"""Pictures by which a film is shown."""

_SIDE = 640
"""Pixels of the longest side of a picture."""


def player(kind: str, sample: pd.Series) -> str:
    """How a medium is played: ``media`` as the file lies there, ``heard`` where only its sound can be decoded.

    Of a sample that is one channel of a recording the others are not to be heard.
    """
    plays = Path(str(sample[kind])).suffix.lower() in _TYPES
    return "media" if plays and not (kind == "audio" and _given(sample, "channel")) else "heard"


def file_of(lake: Lake, dataset: str, sample_id: str, kind: str) -> Path:
    """The file of a sample, if it still holds the bytes that the store's features were computed from.

    Of an object elsewhere a copy, which stays until there is no room for others.

    Raises
    ------
    UnknownName
        No such dataset, sample or kind of medium.
    BadMedia
        The file is not here, or holds something else by now, or nothing that can be seen or heard.
    """
    if kind not in MEDIA:
        raise UnknownName("kind of medium", kind, MEDIA)
    sample = lake.sample(dataset, sample_id)
    if not _given(sample, kind):
        raise BadMedia(f"sample {sample_id!r} has no {kind}")
    uri = str(sample[kind])
    if remote.is_remote(uri):
        path = _fetched(_noted(lake, dataset, uri), uri)
    else:
        path = local_path(uri)
        _check_same(_noted(lake, dataset, uri), path)
    if kind_of(path) is None:
        raise BadMedia(f"{path.name}: nothing in it can be seen or heard")
    return path


def media_type(path: Path) -> str:
    """Never one that a browser would take for a page or a script."""
    return _TYPES.get(path.suffix.lower(), "application/octet-stream")


def _noted(lake: Lake, dataset: str, uri: str) -> pd.DataFrame:
    """What a refresh found a file to be; no row of samples that were only imported, whose files nobody has read."""
    known = lake.once(dataset, ("files",), lambda: lake.store.files(dataset).drop_duplicates("uri").set_index("uri"))
    return known.loc[known.index == uri]


def _fetched(noted: pd.DataFrame, uri: str) -> Path:
    """A copy of an object elsewhere; raises BadMedia where it is large, another one by now, or was never read."""
    name = remote.name_of(remote.redacted(uri))
    if noted.empty:
        raise BadMedia(f"{name}: is elsewhere, and no refresh has read it")
    known = noted.iloc[0]
    if known["size"] > LARGEST:
        much = f"{known['size'] >> 20} MB elsewhere, for a page no more than {LARGEST >> 20} are fetched"
        raise BadMedia(f"{name}: {much}")

    def same(copy: remote.Copy) -> bool:
        return bool(copy.sha256 == known["sha256"]) or _files.is_at(int(known["stamp"]), copy.object)

    with remote.fetched(uri, same) as copy:
        if not same(copy):
            raise BadMedia(f"{name}: is no longer the object that was read; refresh the dataset")
        return copy.path


def _check_same(noted: pd.DataFrame, path: Path) -> None:
    """Raises BadMedia where a file is no longer what a refresh read, a link to another one for instance."""
    if path.is_dir():  # frames of a film, one by one; they have no sum of their own
        return
    check_file(path)
    if noted.empty:
        return
    known, found = noted.iloc[0], path.stat()
    if found.st_size == known["size"] and found.st_mtime_ns == known["mtime_ns"]:
        return
    if found.st_size != known["size"] or file_sha256(path) != known["sha256"]:
        raise BadMedia(f"{path.name}: is no longer the file that was read; refresh the dataset")


def heard(lake: Lake, dataset: str, sample_id: str) -> bytes:
    """The sound of a sample as extractors hear it: 16 kHz, one channel, as a WAV file."""
    import soundfile

    sample = lake.sample(dataset, sample_id)
    kind = "audio" if _given(sample, "audio") else "video"
    path = file_of(lake, dataset, sample_id, kind)
    channel = channel_number(str(sample["channel"])) if _given(sample, "channel") else None
    clip = read_audio(path, *_segment(sample), channel)
    out = BytesIO()
    soundfile.write(out, np.clip(clip.y, -1, 1), clip.sr, format="WAV", subtype="PCM_16")
    return out.getvalue()


def picture(lake: Lake, dataset: str, sample_id: str, kind: str, number: int) -> bytes:
    """A sample's picture, or a frame of its film, as a small JPEG; the file itself is never sent."""
    frames = _frames(lake, dataset, sample_id, kind)
    if number >= len(frames):
        raise BadMedia(f"sample {sample_id!r} has {len(frames)} frame(s) to show, not {number + 1}")
    return _jpeg(frames[number])


def face(lake: Lake, dataset: str, sample_id: str, kind: str) -> bytes:
    """The face as extractors see it, in each frame that shows one; raises NotApplicable where none does."""
    from affectlake.features.face.detect import find_faces

    crops = find_faces(_frames(lake, dataset, sample_id, kind)).crops
    return _jpeg(np.concatenate(list(crops), axis=1))


def _frames(lake: Lake, dataset: str, sample_id: str, kind: str) -> list[np.ndarray]:
    path = file_of(lake, dataset, sample_id, kind)
    start, end = _segment(lake.sample(dataset, sample_id)) if kind == "video" else (None, None)
    return read_frames(path, start, end, FRAMES)


def _segment(sample: pd.Series) -> tuple[float | None, float | None]:
    start, end = (float(sample[k]) if _given(sample, k) else None for k in ("start", "end"))
    return start, end


def fragment(sample: pd.Series) -> str:
    """What follows the address of a recording of which a sample is a part, so that this part is played."""
    start, end = _segment(sample)
    if start is None and end is None:
        return ""
    return f"#t={start or 0:g}" + ("" if end is None else f",{end:g}")


def _given(sample: pd.Series, name: str) -> bool:
    value = sample.get(name)
    return value is not None and value == value


def _jpeg(pixels: np.ndarray) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise AffectlakeError(f"pictures need {error.name}: pip install 'affectlake[vision]'") from None
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    out = BytesIO()
    image.save(out, "JPEG", quality=88)
    return out.getvalue()
