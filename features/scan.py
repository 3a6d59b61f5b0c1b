"""What is on disk now, and what each sample's content is: the first half of deciding what to compute."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from affectlake.data import remote
from affectlake.data.samples import channel_number
from affectlake.data.store import index_in
from affectlake.features import _files
from affectlake.features._files import ABSENT, UNLEARNT, Read, State
from affectlake.features.inputs import SOURCES
from affectlake.features.protocol import Reads

__all__ = ["ABSENT", "UNLEARNT", "UNREAD", "media_uris", "requests", "scan"]

CONTEXT_TURNS = 8
"""Previous utterances of a dialogue that extractors may see."""

UNREAD = "unread "
"""How the content of a sample begins whose file could not be read, its place following: no identity, for whatever is
said of it holds until the next refresh only."""

_STATS = ["uri", "size", "mtime_ns", "stamp", "sha256"]


def media_uris(samples: pd.DataFrame) -> list[str]:
    """Distinct non-empty media URIs of a samples frame, in order of appearance."""
    columns = [samples[c].dropna() for c in ("audio", "image", "video")]
    return pd.unique(pd.concat(columns)).tolist() if columns else []


def scan(
    uris: Iterable[str],
    cached: pd.DataFrame,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
    learn: bool = True,
) -> pd.DataFrame:
    """State and sha256 of every file.

    Parameters
    ----------
    uris : iterable of str
        Local files, or folders (whose identity is that of the files inside, in name order), and objects elsewhere
        (see `affectlake.data.remote`), whose buckets are listed.
    cached : DataFrame [columns=(uri, size, mtime_ns, stamp, sha256)]
        Result of the scan before. A file whose stamp is unchanged is not read again. Of stores that know no stamps yet
        every file is read once.
    verify : bool
        Read every file regardless.
    progress : callable(done, total), optional
        Called while files are read.
    learn : bool
        Read objects elsewhere that are not known; else their sha256 is `UNLEARNT`, for who computes them to learn.

    Returns
    -------
    DataFrame [columns=(uri, size, mtime_ns, stamp, sha256)]
        One row per URI, in order. ``stamp`` stands for size, times, inode and, in a folder, names; of an
        object for its ETag and size. A file that is not
        there has size -1; one that cannot be read, too, has the sha256 `ABSENT`, and is tried again by every scan.

    Raises
    ------
    OSError
        A share does not answer.
    affectlake.data.remote.Unreachable
        A bucket or server does not.
    """
    uris = list(uris)
    found = _states(uris)
    stamps = np.array([state.stamp for state in found], dtype=np.int64)
    known: np.ndarray = np.full(len(uris), None, dtype=object)
    if not verify and "stamp" in cached and len(cached):
        at = index_in(pd.Series(uris, dtype="str"), cached["uri"])
        same = (at >= 0) & (cached["stamp"].to_numpy()[at] == stamps) & (stamps != _files.UNSURE)
        sha256 = cached["sha256"].to_numpy(dtype=object)[at]
        known[same & (sha256 != ABSENT)] = sha256[same & (sha256 != ABSENT)]
    known[[state.size < 0 for state in found]] = ABSENT
    if not verify:
        _told_by_lists(uris, found, known, cached, learn)
    todo = np.flatnonzero([sha256 is None for sha256 in known])
    _files.settle([found[i].newest_ns for i in todo])
    done = 0
    for part, results in _reads(uris, todo):
        for i, result in zip(part, results, strict=True):
            found[i], known[i] = result.state, result.sha256
        done += len(part)
        if progress:
            progress(done, len(todo))
    stamp = [_files.UNSURE if k == ABSENT else state.stamp for state, k in zip(found, known, strict=True)]
    return pd.DataFrame(
        {
            "uri": pd.Series(uris, dtype="str"),
            "size": np.array([state.size for state in found], dtype=np.int64),
            "mtime_ns": np.array([state.mtime_ns for state in found], dtype=np.int64),
            "stamp": np.array(stamp, dtype=np.int64),
            "sha256": pd.Series(known, dtype="str"),
        }
    )[_STATS]


def _told_by_lists(uris: list[str], found: list[State], known: np.ndarray, cached: pd.DataFrame, learn: bool) -> None:
    """What is new here but was known under another address, and what is left to be learnt."""
    todo = [
        i
        for i, sha256 in enumerate(known)
        if sha256 is None and found[i].stamp != _files.UNSURE and remote.is_remote(uris[i])
    ]
    if not todo:
        return
    names = zip(cached["stamp"], cached["size"], strict=True) if "stamp" in cached else ()
    before = {unlearnt(*name): sha256 for name, sha256 in zip(names, cached.get("sha256", ()), strict=True)}
    for i in todo:
        sha256 = before.get(unlearnt(found[i].stamp, found[i].size), ABSENT)
        if len(sha256) == _DIGITS:
            known[i] = sha256
        elif not learn:
            known[i] = UNLEARNT


_DIGITS = 64


def unlearnt(stamp: int, size: int) -> str:
    """What stands for the content of an object that nobody has read yet: the same for equal ones, as far as told."""
    return f"{UNLEARNT} {stamp} {size}"


def content_of(name: str, learnt: Mapping[str, str]) -> str | None:
    """The content that a name made of `unlearnt` stands for, once the sha256 is learnt; None where it is not.

    Other names stay.
    """
    if not name.startswith(UNLEARNT):
        return name
    whole, *parts = name.split(_PART)
    content = learnt.get(whole)
    for part in parts if content else ():
        content = _sha256(f"{content}{part}")
    return content


_PART = "\x1f"


def rescan(stats: pd.DataFrame, uris: Iterable[str]) -> pd.DataFrame:
    """The result of a scan, some of its files read anew."""
    fresh = scan(uris, pd.DataFrame()).set_index("uri")
    return _replaced(stats, fresh)


def unread(stats: pd.DataFrame, uris: Iterable[str]) -> pd.DataFrame:
    """The result of a scan, some of its files as those that cannot be read."""
    gone = pd.Index(uris, name="uri")
    return _replaced(stats, pd.DataFrame({"stamp": _files.UNSURE, "sha256": ABSENT}, index=gone))


def _replaced(stats: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    stats, at = stats.copy(), np.flatnonzero(stats["uri"].isin(rows.index))
    for name in rows:
        column = stats[name].to_numpy(copy=True)
        column[at] = rows[name].reindex(stats["uri"].iloc[at]).to_numpy()
        stats[name] = pd.Series(column, dtype=stats[name].dtype, index=stats.index)
    return stats


def _reads(uris: list[str], todo: np.ndarray) -> Iterator[tuple[np.ndarray, list[Read]]]:
    """What was read, some positions at a time."""
    elsewhere = np.array([remote.is_remote(uris[i]) for i in todo], dtype=bool)
    # Reading is bound by the disk and hashlib releases the GIL, so a few threads are enough; on a network every answer
    # is waited for.
    for some, threads, size in ((todo[~elsewhere], 4, _FILES), (todo[elsewhere], 16, 1)):
        parts = [some[i : i + size] for i in range(0, len(some), size)]
        with ThreadPoolExecutor(threads) as pool:
            yield from zip(parts, pool.map(_read, ([uris[i] for i in p] for p in parts)), strict=True)


def _states(uris: list[str]) -> list[State]:
    elsewhere = [uri for uri in uris if remote.is_remote(uri)]
    if elsewhere:
        known = dict(zip(elsewhere, _files.states(elsewhere), strict=True))
        here = iter(_states([uri for uri in uris if uri not in known]))
        return [known[uri] if uri in known else next(here) for uri in uris]
    parts = [uris[i : i + _STAT] for i in range(0, len(uris), _STAT)]
    # On a network every question waits for its answer: several at a time.
    with ThreadPoolExecutor(8) as pool:
        return [state for part in pool.map(_some_states, parts) for state in part]


_STAT = 1000
_FILES = 32  # that a thread takes in one go: a future for each of a million would weigh more than all else


def _some_states(uris: list[str]) -> list[State]:
    return [_files.state(uri) for uri in uris]


def _read(uris: list[str]) -> list[Read]:
    return [_files.read(uri) for uri in uris]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def requests(samples: pd.DataFrame, stats: pd.DataFrame, reads: Reads) -> pd.DataFrame:
    """What extractors that read ``reads`` would be given: one row per sample that has it.

    Returns
    -------
    DataFrame [columns=(sample_id, content, uri, start, end, channel, text, context, language, sha256, stamp, size)]
        ``content`` is a sha256 over exactly what will be read, so that a file's name and place do not matter; of a
        file that cannot be read it begins with `UNREAD`. ``sha256``, ``stamp`` and ``size`` are those of the
        file.
    """
    if reads in ("text", "dialogue"):
        return _text_requests(samples, with_context=reads == "dialogue")
    uri = pd.Series(pd.NA, index=samples.index, dtype="str")
    for column in SOURCES[reads]:
        uri = uri.fillna(samples[column])
    wanted = uri.notna() & samples["text"].isna() if reads == "speech" else uri.notna()
    rows, uri = samples[wanted], uri[wanted]
    at = index_in(uri, stats["uri"])
    digest = stats["sha256"].take(at).set_axis(uri.index)
    stamped = "stamp" in stats  # by a scan, not by a caller who knows
    segmented = rows["start"].notna() | rows["end"].notna()
    content = digest.where(digest != ABSENT, UNREAD + uri)
    if (waiting := digest == UNLEARNT).any():
        objects = stats.take(at).set_axis(uri.index)[waiting]
        names = [unlearnt(*name) for name in zip(objects["stamp"], objects["size"], strict=True)]
        content = content.astype(object)
        content[waiting] = names
    # An image has no time, and the whole file is its own identity: no hash of a hash for the common case.
    if reads != "image":
        times = zip(rows["start"][segmented], rows["end"][segmented], strict=True)
        spans = [f" {start} {end}" for start, end in times]
        content = _refined(content, pd.Series(spans, index=rows.index[segmented], dtype="str"))
    channel = _channel(rows, reads)
    content = _refined(content, " channel " + channel.dropna().map(channel_number).astype("str"))
    if reads == "speech":
        content = _refined(content, " in " + rows["language"].dropna())
    return pd.DataFrame(
        {
            "sample_id": rows["sample_id"],
            "content": content.astype("str"),
            "uri": uri,
            "start": rows["start"],
            "end": rows["end"],
            "channel": channel,
            "text": "",
            "context": None,
            "language": rows["language"].fillna(""),
            "sha256": digest if stamped else "",
            "stamp": stats["stamp"].to_numpy()[at] if stamped else _files.UNSURE,
            "size": stats["size"].to_numpy()[at] if "size" in stats else 0,
        }
    ).reset_index(drop=True)


def _channel(rows: pd.DataFrame, reads: Reads) -> pd.Series:
    """The channel that is heard of each row, where one was asked for."""
    if reads in ("audio", "speech") and "channel" in rows:  # not in a store that was written before there were any
        return rows["channel"]
    return pd.Series(np.nan, index=rows.index, dtype="str")


def _refined(content: pd.Series, what: pd.Series) -> pd.Series:
    """Identities of a part of what ``content`` stands for, where ``what`` says which."""
    if what.empty:
        return content
    content = content.astype(object)
    parts = zip(content[what.index], what, strict=True)
    content[what.index] = [_part(c, of) for c, of in parts]
    return content


def _part(content: str, of: str) -> str:
    if content.startswith(UNLEARNT):
        return f"{content}{_PART}{of}"
    return f"{content}{of}" if content.startswith(UNREAD) else _sha256(f"{content}{of}")


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
            "channel": None,
            "text": rows["text"].to_numpy(),
            "context": pd.Series(context, dtype=object),
            "language": language.to_numpy(),
            "sha256": "",
            "stamp": _files.UNSURE,
            "size": 0,
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
