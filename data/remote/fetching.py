"""Objects at hand: each is fetched once, into a temporary place of bounded size."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from affectlake.data.errors import BadMedia
from affectlake.data.remote import web
from affectlake.data.remote.addresses import BUCKETS, WEB, bucket_and_key, is_folder, name_of, redacted, scheme
from affectlake.data.remote.buckets import bucket, by_bucket
from affectlake.data.remote.objects import Object, Refused, folder_of
from affectlake.data.remote.spool import Copy, spool

__all__ = ["Copy", "at_hand", "fetch", "fetched", "held", "states"]


def states(uris: Sequence[str]) -> list[Object | None]:
    """What each address holds, in order; None where there is nothing, or nothing for us. Buckets are listed.

    Raises
    ------
    Unreachable
        A bucket or server does not exist, does not answer, or lets nobody in.
    """
    pairs = {uri: bucket_and_key(uri) for uri in uris if scheme(uri) in BUCKETS}
    found = {root: _told(root, keys) for root, keys in by_bucket(list(pairs.values()))}
    others = [uri for uri in dict.fromkeys(uris) if uri not in pairs]
    asked = dict(zip(others, web.states(others), strict=True))
    return [found[pairs[u][0]].get(pairs[u][1]) if u in pairs else asked[u] for u in uris]


def _told(root: str, keys: Sequence[str]) -> dict[str, Object]:
    folders = [key for key in keys if key.endswith("/")]
    files = bucket(root).folders(folders)
    return bucket(root).states(keys) | {key: folder_of(files[key]) for key in folders if key in files}


@contextmanager
def fetched(uri: str, fits: Callable[[Copy], bool] = lambda copy: False) -> Iterator[Copy]:
    """The object as a file of this machine, under its own name, for as long as the context lasts; a folder as one.

    Parameters
    ----------
    uri : str
        Address.
    fits : callable(copy) -> bool
        Whether a copy that is there already will do; default: never.

    Raises
    ------
    Refused
        It is not there, may not be read, did not arrive whole, or there is no room for it.
    """
    with spool().copy(uri, name_of(uri), lambda sink: fetch(uri, sink), fits, is_folder(uri)) as copy:
        yield copy


def held(uri: str, fits: Callable[[Copy], bool]) -> bool:
    """Whether a copy of the object that will do is there already."""
    return spool().holds(uri, fits)


_seen: dict[str, str] = {}


@contextmanager
def at_hand(uri: str) -> Iterator[str]:
    """A path under which a recording can be read, one elsewhere as a copy, which is the same one all the time."""
    if scheme(uri) not in (*BUCKETS, *WEB):
        yield uri
        return
    with fetched(uri, lambda copy: copy.sha256 == _seen.get(uri)) as copy:
        _seen[uri] = copy.sha256
        yield str(copy.path)


def fetch(uri: str, sink: Any, part: tuple[int, int] | None = None) -> Object:
    """Copy an object, a folder, or the bytes of an object from one to before another; raises Refused with its name."""
    try:
        if is_folder(uri):
            root, key = bucket_and_key(uri)
            return bucket(root).fetch_folder(key, sink)
        if scheme(uri) in BUCKETS:
            root, key = bucket_and_key(uri)
            return bucket(root).fetch(key, sink, part)
        return web.fetch(uri, sink, part)
    except BadMedia as error:
        name = name_of(redacted(uri))
        hint = "" if "." in name or scheme(uri) in WEB else "; a folder of frames ends with /"
        raise Refused(f"{name}: {error}{hint}") from None
