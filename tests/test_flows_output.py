"""What came from data is shown on terminals, in logs, tables and pages; it is never an order to them."""

import csv
import io
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectlake.data.store import Store
from affectlake.features import registry
from affectlake.flows import report
from affectlake.flows.cli import output
from affectlake.flows.cli.app import run
from affectlake.flows.logs import to_stderr
from affectlake.flows.notify import notify
from affectlake.flows.shown import json_text, shown
from affectlake.flows.values import plain

HOSTILE = (
    "a\x1b[2Jb",
    "\x1b]52;c;cm0gLXJmIH4=\x07",
    "\x9b31mred",
    "a\rb",
    "a\n2026-01-01 00:00:00,000 INFO nightly: done",
    "\u202egnp.exe",
    "a\u2028b\u2066c",
    "[/b][red]x[/red] [link=http://x]y[/link] :heart:",
    "lone \ud800",
    "nul \0",
)
ORDERS = set("\x1b\x07\x9b\r\0\u202e\u2066\u2028\ud800")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_are_shown_not_sent(text, capsys):
    output.note(text)
    output.as_table([{text: text, "list": [text, 1.5]}], title=text)
    out, err = capsys.readouterr()
    assert not ORDERS.intersection(out + err) and err.count("\n") == 1
    assert "".join(shown(text).split()) in "".join(out.replace("│", "").replace("┃", "").split())


def test_people_write_more_than_ascii():
    for text in ("الأب می\u200cخواهم", "👨\u200d👩\u200d👧", "情感 [1] é", "a\\b"):
        assert shown(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_the_same_value_without_orders(text, capsys):
    output.as_json({text: [text]})
    out = capsys.readouterr().out
    assert not ORDERS.intersection(out) and json.loads(out) == {text: [text]}


def test_json_is_whole_whatever_the_values(capsys):
    values = {"up": np.inf, "down": -np.inf, "nan": np.nan, "list": np.array([1.0, np.inf]), "no": pd.NA, "nat": pd.NaT}
    values |= {"bytes": b"\x00\xff", "when": pd.Timestamp(0), "int": np.int64(2**60), "deep": [{"x": np.array([[1]])}]}
    output.as_json(values)
    found = json.loads(capsys.readouterr().out, parse_constant=lambda c: pytest.fail(c))
    assert [found[k] for k in ("up", "down", "nan", "no", "nat")] == [None] * 5 and found["list"] == [1.0, None]
    assert found["bytes"] == "00ff" and found["int"] == 2**60 and found["deep"] == [{"x": [[1]]}]


def test_json_fits_a_stdout_of_ascii(monkeypatch):
    buffer = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", buffer)
    output.as_json({"é": "情😀"})
    buffer.flush()
    assert json.loads(buffer.buffer.getvalue()) == {"é": "情😀"}


def test_a_log_line_is_one_line(capsys):
    for kind in ("text", "json"):
        with to_stderr(kind, "run"):
            for text in HOSTILE:
                logging.getLogger("affectlake.x").info("file %s", text)
            try:
                raise ValueError("bad\n2026-01-01 INFO forged \x1b[2J")
            except ValueError:
                logging.getLogger("affectlake.x").exception("failed")
        lines = capsys.readouterr().err.splitlines()
        assert not ORDERS.intersection("".join(lines))
        if kind == "text":
            assert all(line[:2] == "20" and "INFO file" in line for line in lines[: len(HOSTILE)])
            assert all(line.startswith("    ") for line in lines[len(HOSTILE) + 1 :])
        else:
            assert [json.loads(line)["message"] for line in lines[:-1]] == [f"file {t}" for t in HOSTILE]


@pytest.fixture
def lake(tmp_path):
    frame = pd.DataFrame(
        {"v": [1.0, 2.0, -3.0], "w": [np.nan, 1.0, 2.0]},
        index=["=cmd|' /C calc'!A0", "\x1b[31m[red]a[/red]", "x;=1+1"],
    )
    samples = pd.DataFrame({"sample_id": frame.index, "label": ["-2+3", "@SUM(A1)", "fine"]})
    from affectlake.data.samples import samples_frame

    Store(tmp_path / "lake", create=True).put(
        "d", "face", "x", frame, samples=samples_frame(samples, "d", readable=False)
    )
    return str(tmp_path / "lake")


def test_csv_is_as_it_is_or_safe_for_spreadsheets(lake, capsys):
    words = ["load", "d", "--label", "label", "--store", lake]
    assert run(words) == 0
    exact = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert {r[0] for r in exact[1:]} == {"=cmd|' /C calc'!A0", "\x1b[31m[red]a[/red]", "x;=1+1"}
    assert run([*words, "--excel-safe"]) == 0
    out = capsys.readouterr().out
    safe = pd.read_csv(io.StringIO(out), index_col=0)
    assert safe["label"].to_dict()["'=cmd|' /C calc'!A0"] == "'-2+3" and safe["face.x.v"]["x;=1+1"] == -3.0
    assert safe["face.x.w"].isna().sum() == 1
    assert '"x;=1+1"' in out and '"\'@SUM(A1)"' in out
    assert run([*words, "--excel-safe", "--json"]) == 2


def test_csv_on_a_terminal_shows_controls(lake, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert run(["load", "d", "--store", lake]) == 0
    assert "\\x1b[31m[red]a[/red]" in sys.stdout.getvalue() and "\x1b" not in sys.stdout.getvalue()


def test_sql_prints_lists_and_infinite_values(lake, capsys):
    query = "select [1, 2] as l, 'inf'::double as up, {'a': [1.5]} as s, '[/b]' as \"[b]\", null as n"
    assert run(["sql", query, "--store", lake]) == 0
    table = capsys.readouterr().out
    assert "1, 2" in table and "inf" in table and "[/b]" in table and "[b]" in table
    assert run(["sql", query, "--store", lake, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["l"] == [1, 2] and row["up"] is None and row["s"] == {"a": [1.5]}


def test_doctor_names_the_extras(capsys, monkeypatch):
    monkeypatch.setattr(registry, "unavailable", lambda e: "pip install 'affectlake[vision]'")
    assert run(["doctor"]) == 0
    assert "affectlake[vision]" in "".join(capsys.readouterr().out.split())


BROKEN = {
    "raises": "raise OSError('no\\nlicence \\x1b[2J')",
    "exits": "import sys; sys.exit('bye')",
    "syntax": "def",
    "stranger": "extractor = object()",
    "odd": "class E:\n    name = 'odd'; version = '1'; reads = 'text'; parameters = {}; columns = (); requires = ()\n"
    "    install = ''; cost = 1; licence = ''; summary = ''\n    def weights(self): return ()\n"
    "    def extract(self, batch): return []\nextractor = E()",
    "weightless": "class E:\n    name = 'text.weightless'; version = '1'; reads = 'text'; parameters = {}\n"
    "    columns = (); requires = ('no.such.module',); install = 'x'; cost = 1; licence = ''; summary = ''\n"
    "    def weights(self): raise RuntimeError('disk')\n    def extract(self, batch): return []\nextractor = E()",
}


def test_a_broken_plug_in_costs_itself(tmp_path, monkeypatch, capsys):
    about = tmp_path / "broken-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    lines = [f"{name} = broken_{name}:extractor" for name in [*BROKEN, "absent"]]
    (about / "entry_points.txt").write_text("\n".join(["[affectlake.extractors]", *lines]))
    for name, code in BROKEN.items():
        (tmp_path / f"broken_{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    registry.extractors.cache_clear()
    try:
        assert run(["extractors", "--json"]) == 0
        found = {e["name"]: e["unavailable"] for e in json.loads(capsys.readouterr().out)}
        assert "text.style" in found and "no.such.module" in found["text.weightless"]
        expected = {"raises": "no licence", "exits": "bye", "syntax": "SyntaxError", "stranger": "not an Extractor"}
        expected |= {"odd": "modality.name", "absent": "ModuleNotFoundError"}
        assert all(reason in found[f"plug-in {name}"] for name, reason in expected.items())
        for command in (["doctor"], ["extractors"], ["doctor", "--json"]):
            assert run(command) == 0
        assert "\x1b" not in capsys.readouterr().out
        assert run(["show", "text.odd"]) == 2
        with pytest.raises(Exception, match="plug-in raises: OSError: no licence"):
            registry.select(["text.od"])
    finally:
        registry.extractors.cache_clear()


def test_a_webhook_is_not_printed(tmp_path, monkeypatch, capsys):
    from affectlake.flows.config import load_config

    monkeypatch.setenv("HOOK", "https://user:pa55@127.0.0.1:9/services/T0/s3cret?token=t0ken")
    (tmp_path / "m.csv").write_text("sample_id,text\na,hi\n")
    config = tmp_path / "n.toml"
    config.write_text(
        '[[dataset]]\nname = "d"\nmanifest = "m.csv"\nonly = ["text.style"]\n'
        '[[notify]]\nwebhook = "$HOOK"\nattempts = 1\non = ["always"]\n'
    )
    assert run(["nightly", str(config), "--check"]) == 0
    out, err = capsys.readouterr()
    hook = load_config(config).notify[0]
    assert json.loads(out)["notify"][0]["webhook"] == "https://127.0.0.1/…" and hook.webhook.endswith("t0ken")
    told = notify([hook], {"datasets": [], "interrupted": False, "name": "n", "state": "done"})
    monkeypatch.setenv("HOOK", "s3cret")
    assert run(["nightly", str(config), "--check"]) == 2
    for text in (out, err, str(told), capsys.readouterr().err):
        assert not any(secret in text for secret in ("s3cret", "pa55", "t0ken"))


def test_pages_run_nothing_that_data_says():
    from affectlake.flows.report import template

    page = template("night.html").environment.from_string('<a title="{{ x }}">{{ x }}</a>')
    said = page.render(x="\"><script>alert(1)</script>\u202e\x1b' onload=")
    assert "<script>" not in said and '"">' not in said and "\u202e" not in said and "\\u202e" in said


@pytest.mark.parametrize("page", sorted(Path(report.__file__).parent.glob("templates/**/*.html")), ids=lambda p: p.stem)
def test_what_scrolls_by_itself_can_be_scrolled_by_keyboard_and_has_a_name(page):
    text = page.read_text(encoding="utf-8")
    for scrolled in re.findall(r'<div class="wide"[^>]*>', text):
        assert 'tabindex="0"' in scrolled and 'role="region"' in scrolled and "aria-label=" in scrolled
    if "<body" in text:
        assert text.count("<main") == 1, "all that is said stands in a landmark"


def test_the_process_says_hostile_arguments_safely(tmp_path):
    words = [sys.executable, "-m", "affectlake.flows.cli", "show", "\x1b]0;x\x07\nok"]
    code = "from affectlake.flows.cli import main; import sys; main(sys.argv[1:])"
    done = subprocess.run([words[0], "-c", code, *words[3:]], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "\x1b" not in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_plain_values_are_those_of_json():
    assert plain((1, {2: np.float32(0.5)}, {3})) == [1, {"2": 0.5}, [3]]
    assert json_text({"a": float("inf")}) == '{"a": null}'


def test_headings_of_the_reports_columns_say_what_they_head():
    template = (Path(report.__file__).parent / "templates" / "report.html").read_text(encoding="utf-8")
    heads = re.findall(r"<thead>.*?</thead>", template, re.S)
    assert heads and not [h for h in heads if re.search(r"<th(?! scope=\"col\")[ >]", h)]
    # What a phone leaves out of the leaderboard is left out whole: heading and cells.
    [board] = [h for h in heads if 'class="num more"' in h]
    assert board.count("more") == template.count('<td class="num more">') == 3
