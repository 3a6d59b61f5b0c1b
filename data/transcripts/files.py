"""Which file is read how, and which one belongs to a recording."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from affectlake.data.encodings import decode
from affectlake.data.errors import BadManifest, UsageError
from affectlake.data.media import open_file
from affectlake.data.transcripts import annotations, machines
from affectlake.data.transcripts.subtitles import subtitles
from affectlake.data.transcripts.turns import Turn, in_order

FORMATS: dict[str, Callable[[str, Path], list[Turn]]] = {
    ".vtt": lambda text, path: subtitles(text, path, "vtt"),
    ".srt": lambda text, path: subtitles(text, path, "srt"),
    ".textgrid": annotations.textgrid,
    ".eaf": lambda text, path: annotations.eaf(path),
    ".rttm": machines.rttm,
    ".ctm": machines.ctm,
    ".json": machines.whisper,
}
"""How a transcript is read, by suffix."""

_NAMING = {".rttm": 1, ".ctm": 0}  # the field that names a recording
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def read_turns(path: Path, encoding: str | None = None, recording: Sequence[str] = ()) -> list[Turn]:
    """Turns of a transcript, in order.

    Parameters
    ----------
    path : Path
        A file of one of `FORMATS`. Beside an ``.rttm``, which tells only who speaks, the words come from the ``.ctm``
        of the same name. A language in the name, as in ``call.de.vtt``, is that of turns that have none.
    encoding : str, optional
        Of its text; default: it is found out.
    recording : sequence of str
        Names of the recording, for an RTTM or CTM file that tells of several; that of the file is another one.

    Raises
    ------
    BadManifest
        An unknown kind, or a file that is not what its suffix says.
    UsageError
        What reads such files is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise BadManifest(f"{path}: no transcript of a known kind; known are {', '.join(FORMATS)}")
    text = _text(path, encoding)
    names = (*recording, path.stem)
    if suffix in _NAMING:
        text = machines.of_recording(text, path, _NAMING[suffix], names)
    try:
        turns = FORMATS[suffix](text, path)
    except ModuleNotFoundError as error:
        raise UsageError(f"reading {suffix} needs {error.name}: pip install 'affectlake[turns]'") from None
    if suffix == ".rttm" and (words := path.with_suffix(".ctm")).is_file():
        said = machines.of_recording(_text(words, encoding), words, _NAMING[".ctm"], names)
        turns = machines.worded(turns, machines.ctm_words(said, words))
    spoken = path.with_suffix("").suffix.removeprefix(".")
    if _LANGUAGE.fullmatch(spoken):
        turns = [replace(turn, language=turn.language or spoken.lower()) for turn in turns]
    return in_order(turns, path)


def beside(media: Path) -> Path | None:
    """The transcript of a recording that lies beside it: ``call.vtt``, or ``call.de.vtt``, for ``call.wav``.

    Raises
    ------
    BadManifest
        There are several.
    """
    names: dict[str, list[Path]] = {}
    for path in sorted(media.parent.iterdir()):
        stem, suffix = path.name[: -len(path.suffix)], path.suffix.lower()
        plain = stem == media.stem
        spoken = stem.startswith(f"{media.stem}.") and _LANGUAGE.fullmatch(stem.removeprefix(f"{media.stem}."))
        if suffix in FORMATS and (plain or spoken):
            names[suffix] = [*names.get(suffix, ()), path]
    if ".rttm" in names:
        names.pop(".ctm", None)  # its words
    found = [path for paths in names.values() for path in paths]
    if len(found) > 1:
        names_found = ", ".join(path.name for path in found)
        raise BadManifest(
            f"{media}: several transcripts lie beside it ({names_found}): name one in a manifest's column 'transcript'"
        )
    return found[0] if found else None


def _text(path: Path, encoding: str | None) -> str:
    with open_file(path) as file:
        return decode(file.read(), path, encoding)
