"""A real browser without a window, by its own protocol (Chrome DevTools): enough to click, and to look at what came."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

_SECONDS = 60


class Tab:
    """A page in a browser; what it says on its console, and what it asks for, is kept."""

    def __init__(self, socket: ClientConnection):
        self._socket, self._number = socket, 0
        self.said: list[str] = []
        self.asked: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=_SECONDS))
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.asked.append(about["request"]["url"])
        elif event["method"] == "Page.javascriptDialogOpening":
            self.said.append(f"dialog: {about['message']}")
        elif event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.said.append(json.dumps(about))

    def value(self, script: str) -> Any:
        """What an expression of ours gives on the page, promises awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression of ours is true on the page."""
        end = time.monotonic() + _SECONDS
        while not self.value(script):
            assert time.monotonic() < end, script
            time.sleep(0.05)

    def go(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.until(f"document.readyState == 'complete' && location.href == {json.dumps(address)}")

    def press(self, selector: str) -> None:
        """Click in the middle of an element as a hand would."""
        spot = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=spot[0], y=spot[1], button="left", clickCount=1)

    def click(self, selector: str) -> str:
        """`press` what leads elsewhere; returns the address that comes then."""
        before = self.value("window.before = location.href")
        self.press(selector)
        self.until(f"document.readyState == 'complete' && location.href != {json.dumps(before)}")
        return self.value("location.href")


@contextmanager
def browser(program: str, folder: Path) -> Iterator[Tab]:
    """A tab of a browser that has never been anywhere."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--remote-debugging-port=0"]
    command = [program, *options, f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + _SECONDS
            told = folder / "DevToolsActivePort"
            while not told.exists() or "\n" not in told.read_text():
                assert time.monotonic() < end and process.poll() is None, "the browser did not start"
                time.sleep(0.1)
            port, path = told.read_text().split()[:2]
            with connect(f"ws://127.0.0.1:{port}{path}") as whole:
                whole.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
                targets = json.loads(whole.recv(timeout=_SECONDS))["result"]["targetInfos"]
            page = next(t["targetId"] for t in targets if t["type"] == "page")
            with connect(f"ws://127.0.0.1:{port}/devtools/page/{page}", max_size=None) as socket:
                yield Tab(socket)
        finally:
            process.terminate()
