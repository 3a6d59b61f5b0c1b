"""Buckets of S3, Google and Azure, by the library that the store's own tables go through too (object_store)."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.remote.addresses import common_folder
from affectlake.data.remote.objects import FolderSink, Object, Refused, Sink, Unreachable, folder_of

if TYPE_CHECKING:
    from obstore import ObjectMeta

PAGE = 1000
"""Keys that one request lists."""

_AT_ONCE = 16
_PER_LISTING = 20_000  # keys that one thread looks for
_LISTINGS = 4
_BLOCK = 1 << 20
_TRIES = 3

T = TypeVar("T")

_RETRY: Any = {
    "max_retries": 8,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=15), "base": 2},
}
_ODD = re.compile(r"^/|/$|//|(^|/)\.{1,2}(/|$)|[\x00-\x1f\x7f]")
_MD5 = re.compile(r"[0-9a-f]{32}(-\d+)?")
_STATUS, _CODE = re.compile(r"status code: (\d{3})"), re.compile(r"<Code>(\w{1,60})</Code>")
_NOBODY = "169.254.169.254"  # where machines of a cloud ask who they are, once nothing else says so
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true for a public bucket",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true for a public one",
}


class _BrokeOff(Unreachable):
    """A list that ended too soon, which the library does not ask for again."""


def _whole(action: Callable[[], T]) -> T:
    """What an action gives, tried again where a list broke off."""
    for attempt in range(_TRIES):
        try:
            return action()
        except _BrokeOff:
            time.sleep(0.2 * 2**attempt)
    return action()


class Bucket:
    """One bucket; raises `Unreachable` where it does not exist, does not answer or lets nobody in.

    Parameters
    ----------
    root : str
        Its address, such as ``s3://calls``. Region, endpoint and credentials come by the environment.
    """

    def __init__(self, root: str):
        self.root, self.kind = root, root.partition("://")[0]
        if "@" in root:
            raise UsageError(f"{self.kind}:// takes no user or password, set {_VARIABLES[self.kind]}")
        try:
            from obstore.store import from_url
        except ModuleNotFoundError:
            raise AffectlakeError(f"{root} needs obstore: pip install 'affectlake[remote]'") from None
        # The library gives up a body after 30 s as it is delivered; options of its client count instead of variables.
        client: Any = {"timeout": "2h", "read_timeout": "60s", "connect_timeout": "20s", "allow_http": _plain()}
        with self._said(None):
            self._store = from_url(root, retry_config=_RETRY, client_options=client)

    def states(self, keys: Sequence[str]) -> dict[str, Object]:
        """What is there of ``keys``: found by listing, and where it is of use from key to key, never one by one.

        A request lists `PAGE` keys and begins at one that is wanted, so that there are never more requests than keys,
        nor many more than pages between the first and the last.
        """
        wanted = sorted({k for k in keys if k and not _ODD.search(k)}, key=str.encode)
        if not wanted:
            return {}
        folder = common_folder(wanted)
        count = min(_LISTINGS, 1 + len(wanted) // _PER_LISTING) if self._jumps else 1
        parts = [wanted[i * len(wanted) // count : (i + 1) * len(wanted) // count] for i in range(count)]
        with ThreadPoolExecutor(count) as pool:
            found = list(pool.map(lambda part: self._listed(part, folder), parts))
        return {key: one for part in found for key, one in part.items()}

    @property
    def _jumps(self) -> bool:
        # The others list from the beginning of a folder, wherever one wants to begin.
        return self.kind == "s3"

    def _listed(self, wanted: Sequence[str], folder: str) -> dict[str, Object]:
        from obstore.exceptions import InvalidPathError

        found: dict[str, Object] = {}
        at = 0
        while at < len(wanted):
            try:
                at = _whole(partial(self._some, wanted, at, folder, found))
            except InvalidPathError:
                # Some key there, such as "a//b", is none to the library, and spoils its page.
                found |= self._asked(wanted[at : at + PAGE])
                at += PAGE
        return found

    def _some(self, wanted: Sequence[str], at: int, folder: str, found: dict[str, Object]) -> int:
        """List until something is to be skipped; the position of the first key that is still to be looked for."""
        import obstore

        begin = wanted[at][:-1] if self._jumps else ""
        with self._said(None):
            for page in obstore.list(self._store, folder or None, offset=begin or None, chunk_size=PAGE):
                here = {meta["path"]: meta for meta in page}
                last = page[-1]["path"].encode()
                while at < len(wanted) and wanted[at].encode() <= last:
                    if meta := here.get(wanted[at]):
                        found[wanted[at]] = self._object(meta)
                    at += 1
                if at == len(wanted) or (self._jumps and wanted[at][:-1].encode() > last):
                    return at
        return len(wanted)

    def _asked(self, keys: Sequence[str]) -> dict[str, Object]:
        import obstore

        def one(key: str) -> Object | None:
            try:
                with self._said(key):
                    return self._object(obstore.head(self._store, key))
            except Refused:
                return None

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return {key: state for key, state in zip(keys, pool.map(one, keys), strict=True) if state}

    def folders(self, keys: Sequence[str]) -> dict[str, dict[str, Object]]:
        """The objects right below each of some keys, which end with ``/``, by name; listed as `states` does.

        Raises
        ------
        AffectlakeError
            As `below`.
        """
        wanted = sorted(set(keys), key=str.encode)
        found: dict[str, dict[str, Object]] = {key: {} for key in wanted}
        at = 0
        while at < len(wanted):
            at = _whole(partial(self._some_folders, wanted, at, common_folder(wanted), found))
        return {key: files for key, files in found.items() if files}

    def _some_folders(self, wanted: Sequence[str], at: int, folder: str, found: dict[str, dict[str, Object]]) -> int:
        """List until something is to be skipped; the position of the first folder that is still to be looked for."""
        begin = wanted[at][:-1] if self._jumps else ""
        for page in self._pages(folder, begin):
            for meta in page:
                parent, slash, name = meta["path"].rpartition("/")
                if (files := found.get(parent + slash)) is not None:
                    files[name] = self._object(meta)
            last = page[-1]["path"].encode()
            # After all that is below a folder comes what has another sign in place of its slash.
            while at < len(wanted) and wanted[at][:-1].encode() + b"0" <= last:
                at += 1
            if at == len(wanted) or (self._jumps and wanted[at].encode() > last):
                return at
        return len(wanted)

    def _pages(self, folder: str, begin: str) -> Iterator[Sequence["ObjectMeta"]]:
        import obstore
        from obstore.exceptions import InvalidPathError

        try:
            with self._said(None):
                yield from obstore.list(self._store, folder.strip("/") or None, offset=begin or None, chunk_size=PAGE)
        except InvalidPathError:
            raise AffectlakeError(
                f"{self.root}/{folder} holds a key with an empty folder name or a dot for one (a//b, a/./b), which "
                "cannot be listed: name the media in a manifest"
            ) from None

    def below(self, folder: str) -> list[tuple[str, Object]]:
        """Keys below a folder, in their order, with what they are.

        Raises
        ------
        AffectlakeError
            One of them is none to the library, such as ``a//b``.
        """
        return _whole(lambda: [(meta["path"], self._object(meta)) for page in self._pages(folder, "") for meta in page])

    def fetch(self, key: str, sink: Sink, part: tuple[int, int] | None = None) -> Object:
        """Copy an object, or the bytes of it from one to before another; a body that ends too soon is asked for again.

        Raises
        ------
        Refused
            It is not there, may not be read, or did not arrive whole.
        """
        import obstore

        if not key or _ODD.search(key):
            raise Refused("no key that can be asked for: it is empty, or holds an empty folder name, a dot for one, …")
        with self._said(key):
            answer = obstore.get(self._store, key, options={"range": part} if part else None)
            state = self._object(answer.meta)
            first, last = answer.range
            sink.begin(last - first)
            length = sum(sink.write(block) for block in answer.stream(min_chunk_size=_BLOCK))
        if length != last - first or (first, last) != (part or (0, state.size)):
            raise Refused(f"{length} of {(part[1] - part[0]) if part else state.size} bytes arrived")
        return state

    def fetch_folder(self, key: str, sink: FolderSink) -> Object:
        """Copy the objects right below a key that ends with ``/``.

        Raises
        ------
        Refused
            None is there, or one of them cannot be had.
        """
        files = self.folders([key]).get(key)
        if not files:
            raise Refused("no such folder")

        def one(name: str) -> tuple[str, Object]:
            with sink.file(name) as file:
                return name, self.fetch(key + name, file)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return folder_of(dict(pool.map(one, files)))

    def _object(self, meta: "ObjectMeta") -> Object:
        # Not the version besides: S3 tells it with an object, but not in a list.
        modified = int(meta["last_modified"].timestamp()) * 10**9
        tag = (meta["e_tag"] or "").strip('"') or meta["version"] or str(modified)
        # What is made of the content is the same wherever that lies; other tags tell versions of one object apart.
        of = "" if _MD5.fullmatch(tag) else f"{self.root}/{meta['path']} "
        return Object(meta["size"], modified, f"{of}{tag} {meta['size']}")

    @contextmanager
    def _said(self, key: str | None) -> Iterator[None]:
        """Turn what the library raises into one line: it quotes servers, which quote who asked and how it was signed.

        ``key`` is the object that is asked for; None: the bucket itself.
        """
        from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except InvalidPathError:
            raise
        except (BaseError, OSError, ValueError) as error:
            if getattr(error, "errno", None):  # of this machine's disk
                raise
            text = str(error)
            status, code = (found[1] if (found := p.search(text)) else "" for p in (_STATUS, _CODE))
            short = " ".join(filter(None, (status, code)))
            if _NOBODY in text:
                reason = f"nobody is logged in, set {_VARIABLES[self.kind]}"
            elif isinstance(error, FileNotFoundError) and key and code != "NoSuchBucket":
                raise Refused(f"no such object ({short or 404})") from None
            elif isinstance(error, FileNotFoundError) or status == "404":
                reason = f"no such bucket ({short or 404})"
            elif isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in ("401", "403"):
                reason = f"may not be {'read' if key else 'listed'} ({short or 403})"
                if not key:
                    reason += f"; are these right: {_VARIABLES[self.kind]}?"
            elif status in ("301", "307", "400"):
                reason = f"the server refuses the request ({short}): is the region right (AWS_REGION)?"
            elif status:
                reason = f"the server failed again and again ({short})"
            elif isinstance(error, ValueError):
                reason = "the name or the environment's settings are not understood"
            else:
                reason = "no answer, or it broke off again and again"
                if not key and "retries" not in text:
                    raise _BrokeOff(f"{self.root}: {reason}") from None
            if key:
                raise Refused(reason) from None
            raise Unreachable(f"{self.root}: {reason}") from None


def _plain() -> bool:
    """Whether a variable allows requests without encryption, as to a server of one's own."""
    names = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP", "ALLOW_HTTP")
    return any(os.environ.get(name, "").lower() in ("true", "1", "yes", "on") for name in names)


def bucket(root: str) -> Bucket:
    """The one `Bucket` of an address, whose connections are used again while the environment stays the same."""
    return _bucket(
        root, frozenset((k, v) for k, v in os.environ.items() if k.startswith(("AWS_", "AZURE_", "GOOGLE_")))
    )


@cache
def _bucket(root: str, environment: frozenset[tuple[str, str]]) -> Bucket:
    return Bucket(root)


def by_bucket(addresses: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Keys by bucket, of pairs of both."""
    ordered = sorted(set(addresses))
    return [(root, [key for _, key in pairs]) for root, pairs in groupby(ordered, key=itemgetter(0))]
