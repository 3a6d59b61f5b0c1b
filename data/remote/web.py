"""Objects behind ``https://``: asked for one by one, several at a time."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from affectlake.data.errors import AffectlakeError
from affectlake.data.remote.addresses import UNENCRYPTED, encrypted, redacted, whole
from affectlake.data.remote.objects import Object, Refused, Sink, Unreachable

if TYPE_CHECKING:
    from requests import Response, Session

T = TypeVar("T")


class _Short(Exception):
    """A body that ended too soon."""


AT_ONCE = 16
"""Requests that are on their way at a time."""

_TRIES = 5
_TIMEOUT = (20.0, 60.0)  # s, to connect and between two pieces of a body
_BLOCK = 1 << 20
_PLAIN = {"Accept-Encoding": "identity"}  # packed for the way, a body has another length than the object
_NO_HEAD = (400, 403, 405, 501)  # what is signed for reading alone may not be asked about
_mine = threading.local()


def states(uris: Sequence[str]) -> list[Object | None]:
    """What each address holds; None where there is nothing, or nothing for us.

    Raises
    ------
    Unreachable
        A server does not answer.
    """
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        return list(pool.map(_state, uris))
    finally:
        pool.shutdown(cancel_futures=True)


def _state(uri: str) -> Object | None:
    try:
        return _again(uri, _asked)
    except Refused:
        return None


def _asked(uri: str) -> Object:
    answer = _session().head(whole(uri), timeout=_TIMEOUT, headers=_PLAIN, allow_redirects=True)
    if answer.status_code in _NO_HEAD:
        with _session().get(whole(uri), timeout=_TIMEOUT, headers=_PLAIN, stream=True) as answer:
            return _object(uri, answer)
    return _object(uri, answer)


def fetch(uri: str, sink: Sink, part: tuple[int, int] | None = None) -> Object:
    """Copy what an address holds, or the bytes of it from one to before another.

    Raises
    ------
    Refused
        It is not there, may not be read, did not arrive whole, or the server gives no parts.
    """
    asked = _PLAIN | ({"Range": f"bytes={part[0]}-{part[1] - 1}"} if part else {})

    def once(uri: str) -> Object:
        with _session().get(whole(uri), timeout=_TIMEOUT, headers=asked, stream=True) as answer:
            state = _object(uri, answer, part)
            expected = part[1] - part[0] if part else state.size
            sink.begin(expected)
            length = sum(sink.write(block) for block in answer.iter_content(_BLOCK))
        if expected >= 0 and length != expected:
            raise _Short(f"{length} of {expected} bytes arrived")
        return state if state.size >= 0 else Object(length, state.modified_ns, state.identity)

    try:
        return _again(uri, once)
    except Unreachable as error:
        raise Refused(str(error)) from None


def _again(uri: str, action: Callable[[str], T]) -> T:
    """What an action gives, tried again where a connection is refused or breaks: its messages quote whole addresses."""
    from requests import RequestException

    if not encrypted(uri):
        raise Refused(UNENCRYPTED)
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(0.2 * 2**attempt)
        try:
            return action(uri)
        except (RequestException, _Short) as error:
            if isinstance(error, ValueError):
                raise Refused("no address that can be asked") from None
            last = type(error).__name__
    server = "/".join(redacted(uri).split("/")[:3])
    raise Unreachable(f"{server}: no answer, or it broke off again and again ({last})")


def _object(uri: str, answer: "Response", part: tuple[int, int] | None = None) -> Object:
    if not all(encrypted(str(step.url)) for step in (*answer.history, answer)):
        raise Refused(f"one is sent on to another address: {UNENCRYPTED}")
    if answer.status_code in (404, 410):
        raise Refused(f"no such object ({answer.status_code})")
    if answer.status_code in (401, 403):
        raise Refused(f"may not be read ({answer.status_code})")
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Refused(f"the server failed again and again ({answer.status_code})")
    if part and answer.status_code == 200:
        raise Refused("the server gives no parts")
    if answer.status_code != (206 if part else 200):
        raise Refused(f"the server answers {answer.status_code}")
    length, tag = answer.headers.get("Content-Length", ""), answer.headers.get("ETag", "")
    if part:
        given, _, length = answer.headers.get("Content-Range", "").partition("/")
        if given != f"bytes {part[0]}-{part[1] - 1}":
            raise Refused(f"the server gives another part: {given}")
    written = answer.headers.get("Last-Modified", "")
    size = int(length) if length.isdigit() and not answer.headers.get("Content-Encoding") else -1
    identity = f"{uri} {tag} {written} {size}" if tag or written else ""
    return Object(size, _nanoseconds(written), identity)


def _nanoseconds(date: str) -> int:
    try:
        return int(parsedate_to_datetime(date).timestamp()) * 10**9
    except (ValueError, TypeError):
        return 0


def _session() -> "Session":
    """Connections of this thread; throttling and failures of a server are tried again by the library."""
    if not hasattr(_mine, "session"):
        try:
            from requests import Session
            from requests.adapters import HTTPAdapter
            from urllib3.util import Retry
        except ModuleNotFoundError:
            raise AffectlakeError("https:// needs requests: pip install 'affectlake[remote]'") from None
        retry = Retry(
            6,
            connect=0,  # these are ours, see `_again`
            read=0,
            status_forcelist=(408, 429, 500, 502, 503, 504),
            backoff_factor=0.2,
            backoff_max=15,
            backoff_jitter=0.2,
            retry_after_max=60,
            raise_on_status=False,
        )
        _mine.session = Session()
        for prefix in ("https://", "http://"):
            _mine.session.mount(prefix, HTTPAdapter(max_retries=retry))
    session: Session = _mine.session
    return session
