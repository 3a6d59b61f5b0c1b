"""Options are written once: commands take the classes whole, and the configuration's keys are made from them."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from affectlake.data.errors import UsageError
from affectlake.flows.benchmark import BenchOptions
from affectlake.flows.config import ELSEWHERE, Bench, Config, Dataset
from affectlake.flows.nightly import refresh_options
from affectlake.flows.options import PredictOptions, RefreshOptions
from affectlake.flows.predict import answers


@pytest.mark.parametrize(("table", "options"), [(Bench, BenchOptions), (Dataset, RefreshOptions)])
def test_the_configuration_has_every_option_with_its_default(table, options):
    chosen = [f for f in fields(options) if f.name not in ELSEWHERE]
    assert {f.name for f in chosen} <= set(table.model_fields)
    differ = [f.name for f in chosen if f.name not in ("label", "settings") and _default(table, f.name) != f.default]
    assert differ == (["gate"] if options is RefreshOptions else [])  # at night nobody is there to be warned


def _default(table, name):
    return table.model_fields[name].get_default(call_default_factory=True)


def test_what_a_dataset_says_reaches_its_refresh():
    dataset = Dataset(name="d", manifest="m.csv", timeout=7, missing_values=["-"], settings={"video": {"frames": 4}})
    config = Config(store="s", workers=3, dataset=[dataset], settings={"audio.band": 8000, "video.frames": 2})
    assert refresh_options(dataset, config) == RefreshOptions(
        "d",
        manifest="m.csv",
        store="s",
        workers=3,
        timeout=7.0,
        missing_values=("-",),
        gate="fail",
        author="nightly",
        settings={"audio.band": 8000, "video.frames": 4},
    )


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"files": ("a.wav",), "manifest": "m.csv"},
        {"features": Path("f"), "dataset": "d"},
        {"files_from": Path("f"), "dataset": "d"},
    ],
    ids=str,
)
def test_exactly_one_thing_is_labelled(more):
    with pytest.raises(UsageError, match="name what to label"):
        answers(PredictOptions(Path("m"), **more))


def test_a_dataset_is_not_heard():
    options = PredictOptions(Path("m"), dataset="d", transcribe=True)
    with pytest.raises(UsageError, match="affectlake transcribe"):
        answers(options)
    with pytest.raises(UsageError, match="affectlake transcribe"):
        answers(replace(options, dataset=None, features=Path("f")))
