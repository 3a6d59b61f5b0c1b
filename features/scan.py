"""What is on disk now, and what each sample's content is: the first half of deciding what to compute."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from affectlake.data import remote, spill
from affectlake.data.lookup import Positions, distinct
from affectlake.data.samples import MEDIA, channel_number
from affectlake.features import _files
from affectlake.features._files import ABSENT, UNLEARNT, Read, State
from affectlake.features.excerpts import LISTED, in_parts
from affectlake.features.inputs import SOURCES
from affectlake.features.protocol import Reads

__all__ = ["ABSENT", "UNLEARNT", "UNREAD", "media_uris", "requests", "scan"]

CONTEXT_TURNS = 8
"""Previous utterances of a dialogue that extractors may see."""

UNREAD = "unread "
"""How the content of a sample begins whose file could not be read, its place following: no identity, for whatever is
said of it holds until the next refresh only."""


def media_uris(samples: pd.DataFrame) -> pd.Series:
    """Distinct non-empty media URIs of a samples frame, in order of appearance."""
    every = spill.Spill()
    for medium in MEDIA:
        for part in spill.parts(samples[[medium]].set_axis(["uri"], axis=1)):
            every.add(part.dropna())
    return distinct(every.frame(), "uri")["uri"]


def scan(
    uris: Iterable[str] | pd.Series,
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
    every = (uris if isinstance(uris, pd.Series) else pd.Series(list(uris), dtype="str")).to_frame("uri")
    known = Positions(cached["uri"]) if not verify and "stamp" in cached and len(cached) else None
    # Buckets are listed once for all that is in them.
    apart = [every] if any_remote(every["uri"]) else spill.parts(every)
    count = _Count(progress)
    return spill.spilled(_scanned(part["uri"], cached, known, verify, count, learn) for part in apart)


class _Count:
    """Says how many files were read of those that were found to need it so far."""

    def __init__(self, progress: Callable[[int, int], None] | None):
        self.progress, self.done, self.total = progress, 0, 0

    def add(self, done: int) -> None:
        self.done += done
        if self.progress:
            self.progress(self.done, self.total)


def any_remote(uris: pd.Series) -> bool:
    """Whether any of the files is elsewhere."""
    schemes = (part["uri"] for part in spill.parts(uris.to_frame("uri")))
    return any(map(remote.is_remote, (uri for part in schemes for uri in part[part.str.contains(":", regex=False)])))


def _scanned(
    given: pd.Series,
    cached: pd.DataFrame,
    index: Positions | None,
    verify: bool,
    count: _Count,
    learn: bool,
) -> pd.DataFrame:
    """Some files' part of `scan`; ``index`` tells where they are among those that are ``cached``."""
    uris = given.tolist()
    found = _states(uris)
    stamps = np.array([state.stamp for state in found], dtype=np.int64)
    known: np.ndarray = np.full(len(uris), None, dtype=object)
    if index is not None:
        at = index.of(given)
        was = spill.taken(cached[["stamp", "sha256"]], np.maximum(at, 0))
        sha256 = was["sha256"].to_numpy(dtype=object)
        same = (at >= 0) & (was["stamp"].to_numpy() == stamps) & (stamps != _files.UNSURE) & (sha256 != ABSENT)
        same &= ~(learn & (sha256 == UNLEARNT))
        known[same] = sha256[same]
    known[[state.size < 0 for state in found]] = ABSENT
    if not verify:
        _told_by_lists(uris, found, known, cached, learn)
    todo = np.flatnonzero([sha256 is None for sha256 in known])
    _files.settle([found[i].newest_ns for i in todo])
    count.total += len(todo)
    for part, results in _reads(uris, todo, stamps if not verify else np.zeros_like(stamps)):
        for i, result in zip(part, results, strict=True):
            found[i], known[i] = result.state, result.sha256
        count.add(len(part))
    stamp = [_files.UNSURE if k == ABSENT else state.stamp for state, k in zip(found, known, strict=True)]
    return pd.DataFrame(
        {
            "uri": given,
            "size": np.array([state.size for state in found], dtype=np.int64),
            "mtime_ns": np.array([state.mtime_ns for state in found], dtype=np.int64),
            "stamp": np.array(stamp, dtype=np.int64),
            "sha256": pd.Series(known, dtype="str", index=given.index),
        }
    )


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


def listed(stamp: int, size: int) -> str:
    """What stands for the content of an object of which only parts are read."""
    return LISTED + _sha256(f"{stamp} {size}")


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
    return spill.spilled(_with(part, rows) for part in spill.parts(stats))


def _with(stats: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    stats, at = stats.copy(), np.flatnonzero(stats["uri"].isin(rows.index))
    for name in rows:
        column = stats[name].to_numpy(copy=True)
        column[at] = rows[name].reindex(stats["uri"].iloc[at]).to_numpy()
        stats[name] = pd.Series(column, dtype=stats[name].dtype, index=stats.index)
    return stats


def _reads(uris: list[str], todo: np.ndarray, stamps: np.ndarray) -> Iterator[tuple[np.ndarray, list[Read]]]:
    """What was read, some positions at a time; of what is at hand already with its stamp no more is fetched."""
    elsewhere = np.array([remote.is_remote(uris[i]) for i in todo], dtype=bool)
    # Reading is bound by the disk and hashlib releases the GIL, so a few threads are enough; on a network every answer
    # is waited for.
    for some, threads, size in ((todo[~elsewhere], 4, _FILES), (todo[elsewhere], 16, 1)):
        parts = [some[i : i + size] for i in range(0, len(some), size)]
        with ThreadPoolExecutor(threads) as pool:
            given = ([(uris[i], int(stamps[i])) for i in p] for p in parts)
            yield from zip(parts, pool.map(_read, given), strict=True)


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


def _read(files: list[tuple[str, int]]) -> list[Read]:
    return [_files.read(uri, stamp) for uri, stamp in files]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def requests(samples: pd.DataFrame, stats: pd.DataFrame, reads: Reads) -> pd.DataFrame:
    """What extractors that read ``reads`` would be given: one row per sample that has it.

    Parameters
    ----------
    samples : DataFrame
        Of dialogues all samples; else they may be some of many.
    stats : DataFrame
        Result of `scan` over the samples' media.
    reads : Reads

    Returns
    -------
    DataFrame [columns=(sample_id, content, uri, start, end, channel, text, context, language, sha256, stamp, size,
    in_parts)]
        ``content`` is a sha256 over exactly what will be read, so that a file's name and place do not matter; of a
        file that cannot be read it begins with `UNREAD`, of one that is never read whole with `LISTED`. ``sha256``,
        ``stamp`` and ``size`` are those of the file. ``in_parts`` as `affectlake.features.excerpts.in_parts` says.
    """
    return asked(samples, stats, reads, None, in_parts(samples, stats)).reset_index(drop=True)


def asked(
    samples: pd.DataFrame, stats: pd.DataFrame, reads: Reads, files: Positions | None, little: Set[str]
) -> pd.DataFrame:
    """`requests`, each under the index of its sample, for who asks about some of many several times.

    ``files`` tells where files are in ``stats``, ``little`` what `affectlake.features.excerpts.in_parts` says of all.
    """
    if reads in ("text", "dialogue"):
        return _text_requests(samples, with_context=reads == "dialogue")
    uri = pd.Series(pd.NA, index=samples.index, dtype="str")
    for column in SOURCES[reads]:
        uri = uri.fillna(samples[column])
    wanted = uri.notna() & samples["text"].isna() if reads == "speech" else uri.notna()
    rows, uri = samples[wanted], uri[wanted]
    at = (Positions(stats["uri"]) if files is None else files).of(uri)
    found = spill.taken(stats, at).set_axis(uri.index)
    digest = found["sha256"]
    stamped = "stamp" in stats  # by a scan, not by a caller who knows
    segmented = rows["start"].notna() | rows["end"].notna()
    content = digest.where(digest != ABSENT, UNREAD + uri)
    parts = uri.isin(little)
    if (waiting := digest == UNLEARNT).any():
        objects = found[waiting]
        told = zip(objects["stamp"], objects["size"], parts[waiting], strict=True)
        names = [listed(stamp, size) if part else unlearnt(stamp, size) for stamp, size, part in told]
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
            "stamp": found["stamp"] if stamped else _files.UNSURE,
            "size": found["size"] if "size" in stats else 0,
            "in_parts": parts,
        }
    )


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
    if content.startswith(LISTED):
        return LISTED + _sha256(f"{content}{of}")
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
            "sample_id": rows["sample_id"],
            "content": pd.Series(content, dtype="str", index=rows.index),
            "uri": pd.Series("", dtype="str", index=rows.index),
            "start": np.nan,
            "end": np.nan,
            "channel": None,
            "text": rows["text"],
            "context": pd.Series(context, dtype=object, index=rows.index),
            "language": language,
            "sha256": "",
            "stamp": _files.UNSURE,
            "size": 0,
            "in_parts": False,
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
