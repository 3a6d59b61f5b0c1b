"""Long work is never silent: a bar moves by itself on a terminal, elsewhere lines come, and stdout is left alone."""

import os
import pty
import subprocess
import sys
import threading
import time

import pytest

from affectlake.flows import progress

WORK = """
import logging, sys, time
from affectlake.flows.progress import to_stderr
with to_stderr()("computing [red]") as report:
    time.sleep(1.4)
    report(1, 2)
    logging.getLogger("affectlake").warning("a word")
    time.sleep(0.3)
print("data")
"""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.02)
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.02)


def test_a_stage_that_takes_long_is_told_in_lines_with_how_far_it_is(quick, capsys):
    with progress.lines("computing\x1b") as report:
        time.sleep(0.1)
        report(1, 3)
        time.sleep(0.1)
    shown = capsys.readouterr()
    assert shown.out == "" and "\x1b" not in shown.err
    first, *_, last = shown.err.splitlines()
    assert first.endswith(": 0 s") and ": 1 of 3, 0 s" in last


def test_a_stage_that_ends_soon_is_not_told(capsys):
    with progress.lines("computing") as report:
        report(1, 1)
    assert capsys.readouterr().err == ""


def test_a_stage_is_over_when_its_work_fails(quick, capsys):
    before = threading.active_count()
    with pytest.raises(ValueError), progress.lines("computing"):
        raise ValueError
    assert threading.active_count() == before


def on_a_terminal(**environment: str) -> tuple[list[tuple[float, bytes]], bytes]:
    """What WORK shows, each with its time, and what it gives to a pipe."""
    screen, end = pty.openpty()
    env = {**os.environ, "COLUMNS": "100", **environment}
    with subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE, stderr=end, env=env) as process:
        os.close(end)
        shown = []
        while True:
            try:
                some = os.read(screen, 1 << 16)
            except OSError:  # the other end is closed
                break
            shown.append((time.monotonic(), some))
        os.close(screen)
        assert process.stdout is not None
        return shown, process.stdout.read()


def test_a_bar_moves_by_itself_and_leaves_stdout_and_log_lines_whole():
    shown, piped = on_a_terminal(TERM="xterm")
    times, text = [t for t, _ in shown], b"".join(some for _, some in shown).decode()
    assert piped == b"data\n"
    assert "computing [red]" in text and "1/2" in text
    assert len(times) > 5, "one second of work is shown to go on"
    assert "a word\r\n" in text or "a word \r\n" in text, "a line of its own"


def test_a_terminal_that_cannot_move_a_cursor_gets_lines():
    shown, piped = on_a_terminal(TERM="dumb")
    text = b"".join(some for _, some in shown).decode()
    assert piped == b"data\n" and "\x1b" not in text
    assert text.splitlines() == ["computing [red]: 1 s", "a word"]
