"""Addresses of media elsewhere: which there are, how names are joined to them, and what of them may be shown.

After ``s3://bucket/``, ``gs://bucket/`` and ``az://container/`` comes a key, letter for letter: ``%`` and ``#`` are
themselves. An ``https://`` address is encoded as in a browser. Passwords and signatures in one are used, and are known
to this process and its workers alone: wherever addresses are kept or shown they stand without.
"""

import posixpath
import re
from collections.abc import Sequence
from itertools import takewhile
from urllib.parse import quote, urlsplit

from affectlake.data.errors import UsageError

BUCKETS = ("s3", "gs", "az")
WEB = ("https", "http")
_KNOWN = "s3://, gs://, az:// and https://"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_USER = re.compile(r"(?<=://)[^/?#]*@")
# Of AWS and its like, Google, Azure, Alibaba and Tencent, and what people call secrets of their own.
_SECRET = re.compile(
    r"x-(amz|goog|oss|cos|ms)-.*|awsaccesskeyid|googleaccessid|ossaccesskeyid|key-pair-id|policy|expires|"
    r"q-(ak|sign|signature|key|header|url).*|.*(sig|signature|token|secret|passw(or)?d|pwd|api.?key|access.?key|"
    r"credentials?|auth|authorization|jwt|sas)",
    re.IGNORECASE,
)
_SAS = re.compile(r"s[a-z]{1,4}", re.IGNORECASE)  # the parameters that an Azure signature is about
UNENCRYPTED = "http:// is read from this machine alone, use https://"
_LOCAL = ("localhost", "127.0.0.1", "::1")

_hidden: dict[str, str] = {}


def scheme(uri: str) -> str:
    """Scheme of an address in small letters; empty for a path."""
    found = _SCHEME.match(uri)
    return found[1].lower() if found else ""


def is_remote(uri: str) -> bool:
    """Whether it is the address of an object elsewhere, of a kind that is read.

    Examples
    --------
    >>> [is_remote(uri) for uri in ("s3://calls/a.wav", "https://example.org/a.wav", "a.wav", "file:///a.wav")]
    [True, True, False, False]
    """
    return scheme(uri) in (*BUCKETS, *WEB)


def is_folder(uri: str) -> bool:
    """Whether it is the address of a folder, whose objects are the frames of a film: in a bucket, with a ``/`` last."""
    return scheme(uri) in BUCKETS and uri.endswith("/")


def check(uri: str, what: str) -> None:
    """Refuse what ``what`` (``--manifest``) cannot be, before anything is done.

    Raises
    ------
    UsageError
        An unknown scheme, no bucket, plain http to another machine, or credentials in an address that is kept.
    """
    kind = scheme(uri)
    if kind in ("", "file"):
        return
    if not is_remote(uri):
        raise UsageError(f"{what} cannot be {redacted(uri)}: {kind}:// is not read, {_KNOWN} are")
    if redacted(uri) != uri:
        raise UsageError(
            f"{what} {redacted(uri)} came with a password or signature: a store keeps it, so give credentials by the "
            "environment (AWS_…, GOOGLE_…, AZURE_…, or ~/.netrc for https)"
        )
    if not encrypted(uri):
        raise UsageError(f"{what} cannot be {uri}: {UNENCRYPTED}")
    if not urlsplit(uri.split("#")[0]).netloc:
        raise UsageError(f"{what} cannot be {uri}: it names no bucket or server")


def encrypted(uri: str) -> bool:
    """Whether nobody between can read and change it: not so http to another machine."""
    return scheme(uri) != "http" or urlsplit(uri).hostname in _LOCAL


def redacted(uri: str) -> str:
    """The address without user, password and signature.

    Examples
    --------
    >>> redacted("https://ann:pw@example.org/a.wav?take=2&X-Amz-Signature=0f3a&X-Amz-Expires=60")
    'https://example.org/a.wav?take=2'
    """
    if "://" not in uri:
        return uri
    uri = _USER.sub("", uri, count=1)
    path, mark, query = uri.partition("?")
    if not mark:
        return uri
    query, hash_, fragment = query.partition("#")
    given = [(part.partition("=")[0], part) for part in query.split("&")]
    signed = any(name.lower() == "sig" for name, _ in given)
    kept = [part for name, part in given if not (_SECRET.fullmatch(name) or (signed and _SAS.fullmatch(name)))]
    return path + (mark + "&".join(kept) if kept else "") + hash_ + fragment


def hidden(uri: str) -> str:
    """`redacted`; what it came with is remembered by this process, for whoever fetches it."""
    shown = redacted(uri)
    if shown != uri:
        _hidden[shown] = uri
    return shown


def whole(uri: str) -> str:
    """The address with the credentials that it came with, for nobody's eyes."""
    return _hidden.get(uri, uri)


def credentials(uri: str) -> str:
    """What `know` is to be told elsewhere; empty where an address came without credentials."""
    return _hidden.get(uri, "")


def know(uri: str, with_credentials: str) -> None:
    """Remember in a worker what `credentials` said where its work was handed out; nothing where that is empty."""
    if with_credentials:
        _hidden[uri] = with_credentials


def bucket_and_key(uri: str) -> tuple[str, str]:
    """``s3://calls/2024/a b.wav`` as ``s3://calls`` and ``2024/a b.wav``."""
    kind, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{kind.lower()}://{bucket}", key


def name_of(uri: str) -> str:
    """What the last part of an address is called, as it is written there."""
    path = uri.split("#")[0].split("?")[0] if scheme(uri) in WEB else uri
    return path.rstrip("/").rsplit("/", 1)[-1]


def parent(uri: str) -> str:
    """Address of the folder in which an object lies."""
    path = uri.split("#")[0].split("?")[0] if scheme(uri) in WEB else uri
    return path.rsplit("/", 1)[0]


def common_folder(paths: Sequence[str]) -> str:
    """The longest folder that all paths lie below; empty where there is none.

    Examples
    --------
    >>> common_folder(["a/b/x.wav", "a/b/c/y.wav", "a/bc/z.wav"])
    'a'
    """
    folders = [p.split("/")[:-1] for p in paths]
    pairs = zip(min(folders), max(folders), strict=False)
    return "/".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def join(base: str, name: str) -> str:
    """Address of a file below a folder; ``name`` as it is, not encoded.

    Examples
    --------
    >>> join("s3://calls/2024", "a b#1.wav"), join("https://example.org/x", "../100%.wav")
    ('s3://calls/2024/a b#1.wav', 'https://example.org/100%25.wav')
    """
    head, path = re.fullmatch(r"([^:]+://[^/]*)(.*)", base, re.DOTALL).groups()  # type: ignore[union-attr]
    tail = quote(name, safe="/") if scheme(base) in WEB else name
    if re.search(r"(^|/)\.{1,2}(/|$)", tail):
        return head + posixpath.normpath(f"{path}/{tail}" if path else f"/{tail}") + "/" * tail.endswith("/")
    return f"{head}{path.rstrip('/')}/{tail}"
