"""The command that cuts recordings into a manifest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from affectlake.features.cutting import By, Cutting
from affectlake.flows.cli.options import Json
from affectlake.flows.cli.output import as_frame, check_out, note

if TYPE_CHECKING:
    import pandas as pd


def segment(
    sources: tuple[str, ...],
    /,
    *,
    by: By = "speech",
    window: float = 3.0,
    hop: float = 1.0,
    longest: float = 30.0,
    each_channel: Annotated[bool, Parameter(negative=())] = False,
    speakers: Literal["auto"] | int | None = None,
    link: Annotated[bool, Parameter(negative=())] = False,
    encoding: str | None = None,
    out: Path | None = None,
    json: Json = False,
) -> int:
    """Cut recordings into segments, a row each of a manifest that `affectlake refresh --manifest` takes.

    Exit code 3: some recordings could not be cut; each is listed on stderr.

    Parameters
    ----------
    sources
        Sound files and films, or one manifest whose rows are recordings.
    by
        speech: a voice activity detector; silence: pauses, by level; windows: of equal length; transcript: the turns of
        the SRT, WebVTT, TextGrid, ELAN, RTTM (with CTM) or Whisper file beside each recording, or of its manifest's
        column transcript.
    window
        Seconds of a window.
    hop
        Seconds from a window's beginning to the next one's.
    longest
        Seconds of speech beyond which a stretch is cut at a pause.
    each_channel
        Cut every channel for itself, as of two people on a telephone.
    speakers
        Tell apart who speaks, by the voice, where nobody is named: how many there are, or auto. Stretches of speech are
        cut where the voice changes.
    link
        The same voice in several recordings is one speaker.
    encoding
        Of transcripts, such as cp1252; default: it is found out.
    out
        .csv or .parquet file to write instead of stdout.
    json
        A JSON list of records on stdout.
    """
    from affectlake.features.segmentation import segments
    from affectlake.flows.cli.app import DONE, FAILED, QUARANTINED
    from affectlake.flows.progress import to_stderr

    check_out(out, False, json)
    cutting = Cutting(by, window, hop, longest, each_channel, encoding, speakers, link)
    recordings = _recordings(sources)
    note(f"{len(recordings)} recordings, cut by {by}")
    frame, uncut = segments(recordings, cutting, to_stderr())
    for one in uncut:
        note(f"{one.sample_id}: {one.reason}")
    if frame.empty:
        return FAILED
    as_frame(frame.set_index("sample_id"), out, False, json)
    note(f"{len(frame)} segments of {len(recordings) - len(uncut)} recordings")
    return QUARANTINED if uncut else DONE


def _recordings(sources: tuple[str, ...]) -> "pd.DataFrame":
    from affectlake.data import remote
    from affectlake.data.errors import UsageError
    from affectlake.data.manifest import load_manifest
    from affectlake.data.tables import PACKED, SUFFIXES, kind_of_name
    from affectlake.features.segmentation import recordings_of

    tables = [
        s for s in sources if kind_of_name(n := remote.name_of(s)) in SUFFIXES or Path(n).suffix.lower() in PACKED
    ]
    if not tables:
        return recordings_of(list(sources))
    if len(sources) > 1:
        raise UsageError(f"name one manifest, or sound and films: {tables[0]} is a table")
    samples = load_manifest(tables[0], "recordings").samples
    if "transcript" in samples:
        named = samples["transcript"].map(lambda name: _beside(tables[0], name), na_action="ignore")
        samples = samples.assign(transcript=named)
    return samples


def _beside(manifest: str, name: str) -> str:
    from affectlake.data import remote

    if remote.is_remote(name):
        return name
    if remote.is_remote(manifest):
        return remote.join(remote.parent(manifest), name)
    return str(Path(manifest).absolute().parent / name)
