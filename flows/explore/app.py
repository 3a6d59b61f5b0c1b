"""The server of the pages: for this machine alone, and it only reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from affectlake.data.errors import AffectlakeError, BadMedia, NotApplicable, UnknownName, UsageError
from affectlake.data.store import Store
from affectlake.flows.explore import media
from affectlake.flows.explore.ask import Ask, Links
from affectlake.flows.explore.lake import Lake
from affectlake.flows.explore.page import page
from affectlake.flows.explore.peers import other_account
from affectlake.flows.explore.site import PAGES, Page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ["127.0.0.1", "localhost"]
"""Names by which a browser may ask: any other is a page elsewhere that has made its name mean this machine."""

ASSETS = Path(__file__).parents[1] / "templates" / "explore" / "assets"

_HEADERS = {
    # No script at all, nothing from elsewhere, and nobody frames it.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Served:
    """Addresses of pages behind the server; what data says goes into the query, where no character means anything."""

    static = False

    def __call__(self, page: str, /, **which: str | Sequence[str] | None) -> str:
        said = {k: v for k, v in which.items() if v is not None and v != ""}
        path = "/" if page == "index" else f"/{page}"
        return f"{path}?{urlencode(said, doseq=True)}" if said else path

    def asset(self, name: str) -> str:
        return f"/assets/{name}"


class _Headers:
    """Puts the headers on every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [(k.lower().encode(), v.encode()) for k, v in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *given]
            await send(message)

        await self.app(scope, receive, sent if scope["type"] == "http" else send)


class _OwnAccount:
    """Refuses connections of other accounts of this machine."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["client"] and other_account(*scope["client"]):
            await Response("These pages are another account's.", 403, media_type="text/plain")(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def application(store: Store, guarded: bool = False) -> Starlette:
    """The pages over a store.

    Parameters
    ----------
    store : Store
    guarded : bool
        Whether connections of other accounts of this machine are refused; see `affectlake.flows.explore.peers`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from starlette.testclient import TestClient
    >>> with TemporaryDirectory() as folder, TestClient(application(Store(folder)), "http://localhost") as client:
    ...     client.get("/").status_code, client.get("/", headers={"host": "elsewhere.example"}).status_code
    (200, 400)
    """
    lake, to = Lake(store), Served()
    pages = [Route("/" if name == "index" else f"/{name}", _page(show, lake, to)) for name, show in PAGES.items()]
    media_routes = [
        Route("/media", _answer(lake, _media, to)),
        Route("/heard", _answer(lake, _heard, to)),
        Route("/picture", _answer(lake, _picture, to)),
        Route("/face", _answer(lake, _face, to)),
    ]
    assets = Mount("/assets", StaticFiles(directory=ASSETS))
    return Starlette(
        routes=[*pages, *media_routes, assets],
        middleware=[
            Middleware(_Headers),
            *([Middleware(_OwnAccount)] if guarded else []),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        ],
        exception_handlers={404: _absent(to)},
    )


def _page(show: Page, lake: Lake, to: Links) -> Callable[[Request], Response]:
    return _answer(lake, lambda lake, ask: HTMLResponse(show(lake, ask, to)), to)


def _answer(lake: Lake, give: Callable[[Lake, Ask], Response], to: Links) -> Callable[[Request], Response]:
    """What is given, or a page that says in a line why it is not."""

    def answer(request: Request) -> Response:
        query = request.query_params
        try:
            return give(lake.afresh(), Ask({k: query.getlist(k) for k in query}))
        except (UnknownName, BadMedia, NotApplicable) as error:
            return _sorry(error, 404, to)
        except UsageError as error:
            return _sorry(error, 400, to)
        except AffectlakeError as error:
            return _sorry(error, 503, to)

    return answer


def _sorry(error: object, status: int, to: Links) -> Response:
    return HTMLResponse(page("sorry", to, "Not to be had", why=str(error)), status)


def _absent(to: Links) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def absent(request: Request, error: Exception) -> Response:
        return _sorry(f"there is no page {request.url.path!r}", 404, to)

    return absent


def _of(ask: Ask) -> tuple[str, str]:
    return ask.one("dataset"), ask.one("id")


def _media(lake: Lake, ask: Ask) -> Response:
    if ask.one("kind") not in ("audio", "video"):
        raise UnknownName("kind of medium", ask.one("kind"), ("audio", "video"))
    path = media.file_of(lake, *_of(ask), ask.one("kind"))
    if not path.is_file():
        raise BadMedia(f"{path.name}: a folder, which is shown picture by picture")
    return FileResponse(path, media_type=media.media_type(path))  # answers ranges, which players jump by


def _heard(lake: Lake, ask: Ask) -> Response:
    return Response(media.heard(lake, *_of(ask)), media_type="audio/wav")


def _picture(lake: Lake, ask: Ask) -> Response:
    said = ask.maybe("n") or "0"
    if not (said.isascii() and said.isdecimal() and len(said) < 4):
        raise UsageError(f"n={said!r} is no number of a frame")
    return Response(media.picture(lake, *_of(ask), ask.one("kind"), int(said)), media_type="image/jpeg")


def _face(lake: Lake, ask: Ask) -> Response:
    return Response(media.face(lake, *_of(ask), ask.one("kind")), media_type="image/jpeg")


def serve(store: Store, port: int, ready: Callable[[str], Any]) -> None:
    """Serve the pages until the process is told to end.

    Parameters
    ----------
    store : Store
    port : int
        0 takes one that is free.
    ready : callable(address)
        Told as soon as pages are answered.

    Raises
    ------
    UsageError
        The port is taken.
    """
    import socket

    import uvicorn

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOSTS[0], port))
        except OSError as error:
            raise UsageError(f"port {port} cannot be had ({error.strerror}): --port 0 takes a free one") from None
        listening.listen()
        ready(f"http://{HOSTS[0]}:{listening.getsockname()[1]}/")
        config = uvicorn.Config(
            application(store, guarded=True), log_level="warning", access_log=False, server_header=False
        )
        uvicorn.Server(config).run(sockets=[listening])
