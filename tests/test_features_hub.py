"""Models that the user names: without one, or where it is not here, the listing says what to do."""

import pytest

from affectlake.features import registry

HUBS = [registry.get(f"{modality}.hub") for modality in ("audio", "image", "text")]


@pytest.mark.parametrize("hub", HUBS, ids=lambda hub: hub.name)
def test_without_a_name_it_says_how_to_name_one(hub, monkeypatch):
    monkeypatch.delenv(hub.variable, raising=False)
    reason = registry.unavailable(hub)
    assert reason.startswith(f"{hub.variable} names no model: ") and "hf download" in reason and "\n" not in reason


@pytest.mark.parametrize("name", ["someone/never-fetched", "a//b", "/no/such/folder"])
@pytest.mark.parametrize("hub", HUBS, ids=lambda hub: hub.name)
def test_a_model_that_is_not_here_is_unavailable_in_one_line(hub, name, monkeypatch):
    monkeypatch.setenv(hub.variable, name)
    reason = registry.unavailable(hub)
    assert name in reason and "neither a folder nor in the hub's cache" in reason
    assert "hf download" in reason and "\n" not in reason
