"""Which columns a benchmark takes where nobody names features."""

import pytest

from affectlake.features import registry
from affectlake.flows.columns import left_out, nuisances, usual


def columns(*extractors: str) -> list[str]:
    return [f"{name}.{c.name}" for name in extractors for c in registry.get(name).columns]


def test_what_follows_the_level_is_left_out_and_counted():
    every = [*columns("audio.prosody", "audio.spectral", "text.style"), "audio.mine.level"]
    kept = usual(every)
    assert "audio.prosody.loudness_mean" not in kept and "audio.spectral.mfcc_00_p90" not in kept
    assert {"audio.prosody.loudness_relative_p50", "audio.spectral.mfcc_00_std", "audio.mine.level"} < set(kept)
    counts = left_out(["audio.prosody", "audio.spectral", "text.style", "audio.mine"], set(kept))
    assert counts == {"level": {"audio.prosody": 34, "audio.spectral": 8}}
    assert len(every) - len(kept) == 42


def test_a_modality_that_has_nothing_else_keeps_its_levels():
    only = columns("audio.librosa", "text.style")
    assert usual(only) == only and not left_out(["audio.librosa"], set(only))
    assert not [c for c in usual(columns("audio.librosa", "audio.modulation")) if "librosa" in c]


@pytest.mark.parametrize("name", registry.extractors())
def test_what_is_no_sound_has_no_level(name):
    if not name.startswith("audio."):
        assert not nuisances([name])
