"""What is on disk now, and what each sample's content is: the first half of deciding what to compute."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd

from affectlake.data.store import positions
from affectlake.features.inputs import SOURCES
from affectlake.features.protocol import Reads, file_sha256

CONTEXT_TURNS = 8
"""Previous utterances of a dialogue that extractors may see."""

ABSENT = "absent"
"""Stands for the sha256 of a file that is not there, so that its arrival counts as a change."""

OUTAGE = {
    getattr(errno, name)
    for name in ("ESTALE", "ETIMEDOUT", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH", "ECONNRESET")
}
"""Errors of a share that does not answer: nothing is known of its files, least of all that they are gone."""

_STATS = ["uri", "size", "mtime_ns", "sha256"]


def local_path(uri: str) -> str:
    """Path of a local URI; other schemes are returned as they are and will not be found on disk."""
    return unquote(urlsplit(uri).path) if uri.startswith("file://") else uri


def media_uris(samples: pd.DataFrame) -> list[str]:
    """Distinct non-empty media URIs of a samples frame, in order of appearance."""
    columns = [samples[c].dropna() for c in ("audio", "image", "video")]
    return pd.unique(pd.concat(columns)).tolist() if columns else []


def scan(
    uris: Iterable[str],
    cached: pd.DataFrame,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Size, modification time and sha256 of every file.

    Parameters
    ----------
    uris : iterable of str
        Local files, or folders (whose identity is that of the files inside, in name order).
    cached : DataFrame [columns=(uri, size, mtime_ns, sha256)]
        Result of the scan before. A file whose size and time are unchanged is not read again.
    verify : bool
        Read every file regardless.
    progress : callable(done, total), optional
        Called while files are read.

    Returns
    -------
    DataFrame [columns=(uri, size, mtime_ns, sha256)]
        One row per URI, in order; a file that is not there has size -1 and the sha256 `ABSENT`.

    Raises
    ------
    OSError
        A share does not answer (`OUTAGE`).
    """
    uris = list(uris)
    sizes, times = _stat_all(uris)
    now = pd.DataFrame({"uri": pd.Series(uris, dtype="str"), "size": sizes, "mtime_ns": times})
    if verify or cached.empty:
        known = np.full(len(now), None, dtype=object)
    else:
        at = positions(now["uri"], cached["uri"])
        same = (at >= 0) & (cached["size"].to_numpy()[at] == sizes) & (cached["mtime_ns"].to_numpy()[at] == times)
        known = np.where(same, cached["sha256"].to_numpy(dtype=object)[at], None)
    known[sizes < 0] = ABSENT
    todo = np.flatnonzero(known == np.array(None))
    # Reading is bound by the disk and hashlib releases the GIL, so a few threads are enough.
    parts = [todo[i : i + _FILES] for i in range(0, len(todo), _FILES)]
    with ThreadPoolExecutor(4) as pool:
        done = 0
        for part, digests in zip(parts, pool.map(_hashes, ([uris[i] for i in p] for p in parts)), strict=True):
            known[part] = digests
            done += len(part)
            if progress:
                progress(done, len(todo))
    now["sha256"] = pd.Series(known, dtype="str", index=now.index)
    return now[_STATS]


def _stat_all(uris: list[str]) -> tuple[np.ndarray, np.ndarray]:
    parts = [uris[i : i + _STAT] for i in range(0, len(uris), _STAT)]
    # On a network every question waits for its answer: several at a time.
    with ThreadPoolExecutor(8) as pool:
        found = [pair for part in pool.map(_stats, parts) for pair in part]
    sizes, times = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return np.ascontiguousarray(sizes), np.ascontiguousarray(times)


_STAT = 1000


def _stats(uris: list[str]) -> list[tuple[int, int]]:
    return [_size_and_time(uri) for uri in uris]


def _size_and_time(uri: str) -> tuple[int, int]:
    try:
        found = os.stat(local_path(uri))
    except OSError as error:
        if error.errno in OUTAGE:
            raise
        return -1, 0
    except ValueError:
        return -1, 0
    if stat.S_ISDIR(found.st_mode):
        inside = [f.stat() for f in os.scandir(local_path(uri)) if f.is_file()]
        return sum(f.st_size for f in inside), max((f.st_mtime_ns for f in inside), default=0)
    return found.st_size, found.st_mtime_ns


_FILES = 32  # that a thread takes in one go: a future for each of a million would weigh more than all else


def _hashes(uris: list[str]) -> list[str]:
    return [_hash(uri) for uri in uris]


def _hash(uri: str) -> str:
    path = Path(local_path(uri))
    try:
        if path.is_dir():
            names = sorted(f.name for f in path.iterdir() if f.is_file())
            return _sha256("\n".join(f"{n} {file_sha256(path / n)}" for n in names))
        return file_sha256(path)
    except OSError as error:
        if error.errno in OUTAGE:
            raise
        return ABSENT


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def requests(samples: pd.DataFrame, stats: pd.DataFrame, reads: Reads) -> pd.DataFrame:
    """What extractors that read ``reads`` would be given: one row per sample that has it.

    Returns
    -------
    DataFrame [columns=(sample_id, content, uri, start, end, text, context, language)]
        ``content`` is a sha256 over exactly what will be read, so that a file's name and place do not matter.
    """
    if reads in ("text", "dialogue"):
        return _text_requests(samples, with_context=reads == "dialogue")
    uri = pd.Series(pd.NA, index=samples.index, dtype="str")
    for column in SOURCES[reads]:
        uri = uri.fillna(samples[column])
    rows = samples[uri.notna()]
    uri = uri[uri.notna()]
    digest = stats["sha256"].take(positions(uri, stats["uri"])).set_axis(uri.index)
    segmented = rows["start"].notna() | rows["end"].notna()
    content = digest.where(digest != ABSENT, "absent " + uri)
    # An image has no time, and the whole file is its own identity: no hash of a hash for the common case.
    if reads != "image" and segmented.any():
        parts = zip(content[segmented], rows["start"][segmented], rows["end"][segmented], strict=True)
        content = content.astype(object)
        content[segmented] = [_sha256(f"{c} {s} {e}") for c, s, e in parts]
    return pd.DataFrame(
        {
            "sample_id": rows["sample_id"],
            "content": content.astype("str"),
            "uri": uri,
            "start": rows["start"],
            "end": rows["end"],
            "text": "",
            "context": None,
            "language": rows["language"].fillna(""),
        }
    ).reset_index(drop=True)


def _text_requests(samples: pd.DataFrame, with_context: bool) -> pd.DataFrame:
    rows = samples[samples["text"].notna()]
    language, texts = rows["language"].fillna(""), rows["text"].tolist()
    context = _contexts(rows) if with_context else [()] * len(rows)
    given = list(zip(language.tolist(), texts, context, strict=True))
    digests = {one: _sha256("\x00".join((*one[:2], *one[2]))) for one in dict.fromkeys(given)}
    content = [digests[one] for one in given]
    return pd.DataFrame(
        {
            "sample_id": rows["sample_id"].to_numpy(),
            "content": pd.Series(content, dtype="str"),
            "uri": "",
            "start": np.nan,
            "end": np.nan,
            "text": rows["text"].to_numpy(),
            "context": pd.Series(context, dtype=object),
            "language": language.to_numpy(),
        }
    )


def _contexts(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """The last `CONTEXT_TURNS` utterances before each row in its dialogue, oldest first, whatever their splits."""
    context: list[tuple[str, ...]] = [()] * len(rows)
    order = rows.assign(_position=np.arange(len(rows))).dropna(subset=["dialogue", "turn"])
    # Some number their dialogues anew in each split: then one has the same turn in several, and is several dialogues.
    per_turn = order.groupby(["dialogue", "turn"])["split"].transform("nunique")
    anew = order["dialogue"].isin(order.loc[per_turn > 1, "dialogue"])
    part = order["split"].where(anew)
    for _, turns in order.sort_values("turn", kind="stable").groupby([part, "dialogue"], dropna=False):
        texts = turns["text"].tolist()
        for i, position in enumerate(turns["_position"]):
            context[position] = tuple(texts[max(0, i - CONTEXT_TURNS) : i])
    return context
