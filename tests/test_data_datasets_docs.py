"""docs/datasets.md: complete, in agreement with the loaders, and its code runs."""

import re
from pathlib import Path

import pytest

from affectlake.data import datasets
from affectlake.data.manifest import read_manifest

PAGE = (Path(__file__).parents[1] / "docs" / "datasets.md").read_text(encoding="utf-8")
TABLE = {
    cells[0].strip("`"): cells
    for line in PAGE.splitlines()
    if line.startswith("| `") and len(cells := [c.strip() for c in line.strip("|").split("|")]) == 8
}


def code(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.S)[1]


def test_every_dataset_has_its_row():
    assert list(TABLE) == list(datasets.datasets())


@pytest.mark.parametrize("name", TABLE)
def test_a_row_says_what_the_loader_says(name):
    dataset = datasets.get(name)
    _, _, samples, _, labels, split, licence, where = TABLE[name]
    assert int(samples.split()[0]) == dataset.expected
    assert (split == "yes") == dataset.official_split
    assert dataset.licence.startswith(licence.split(";")[0])
    assert ("`download`" in where) == bool(dataset.downloads)
    if "emotion" in dataset.labels:
        assert f"{len(dataset.labels['emotion'])} emotions" in labels


def test_the_manifest_is_one(tmp_path):
    (tmp_path / "calls.csv").write_text(code("csv"), encoding="utf-8")
    samples = read_manifest(tmp_path / "calls.csv", "calls")
    assert samples["emotion"].tolist() == ["anger", "happiness"]


def test_the_loader_loads(tmp_path):
    for name in ("s1_joy_1.wav", "s2_anger_1.wav"):
        (tmp_path / name).touch()
    scope = {}
    exec(compile(code("python"), "docs/datasets.md", "exec"), scope)
    samples = scope["dataset"].load(tmp_path)
    assert samples["emotion7"].tolist() == ["happiness", "anger"]
