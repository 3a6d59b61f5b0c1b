"""The demo shows what was planted in its corpus."""

import pandas as pd

from affectlake.data import Store
from affectlake.flows.cli import bench, demo, refresh


def test_the_planted_copy_is_shown_and_left_out(tmp_path, monkeypatch, capsys):
    ids = ["a", "b", "c", "d"]
    about = pd.DataFrame({"sample_id": ids, "emotion": ["joy", "fear", "joy", "fear"]})

    def refreshed(options, prefect):
        store = Store(options.store, create=True)
        store.put("demo", "audio", "spectral", pd.DataFrame({"v": [1.0, 2.0, 1.0]}, index=ids[:3]), samples=about)
        store.put("demo", "face", "expression", pd.DataFrame({"v": [1.0, 2.0, 3.0, 2.0]}, index=ids))

    asked = []
    monkeypatch.setattr(refresh, "refresh", refreshed)
    monkeypatch.setattr(bench, "bench", lambda options, **rest: asked.append(options) or 0)
    assert demo.demo(to=tmp_path, samples=12, speakers=2) == 0
    shown = capsys.readouterr().out
    assert "a, c" in shown and "b, d" in shown and "copy on purpose" in shown
    assert asked[0].without_duplicates and asked[0].protocol == "grouped"
