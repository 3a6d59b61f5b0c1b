"""What a user sets changes fingerprints, reaches workers, and is checked."""

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import UnknownName, UsageError
from affectlake.features import registry, settings
from affectlake.features.compute import compute
from affectlake.features.inputs import decoding
from affectlake.features.plan import plan
from affectlake.features.protocol import fingerprint


def test_words_and_mappings_are_read_alike():
    assert settings.parsed(["video.frames=8"]) == settings.parsed({"video.frames": 8}) == {"video.frames": 8}
    assert settings.parsed([]) == {}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["video.frame=8"], UnknownName, "did you mean 'video.frames'"),
        (["video.frames"], UsageError, "expected NAME=VALUE"),
        (["video.frames=many"], UsageError, "whole number from 1 to 1000"),
        ({"video.frames": 0}, UsageError, "whole number from 1 to 1000"),
    ],
)
def test_what_is_wrong_is_said(given, error, message):
    with pytest.raises(error, match=message):
        settings.parsed(given)


def test_a_setting_holds_until_its_block_ends(monkeypatch):
    monkeypatch.setenv("AFFECTLAKE_TEXT_MODEL", "from-the-environment")
    assert settings.get("text.model") == "from-the-environment"
    with settings.use({"text.model": "given"}), settings.use({"video.frames": 8}):
        assert settings.changed() == {"text.model": "given", "video.frames": 8}
        assert settings.of_decoding("face") == {"video.frames": 8} and settings.of_decoding("audio") == {}
    assert settings.changed() == {"text.model": "from-the-environment"}


def test_what_is_read_otherwise_has_another_fingerprint():
    face, style = registry.get("face.geometry"), registry.get("text.style")
    before = [fingerprint(e, decoding(e.reads)) for e in (face, style)]
    with settings.use({"video.frames": 8}):
        after = [fingerprint(e, decoding(e.reads)) for e in (face, style)]
    assert before[0] != after[0] and before[1] == after[1]


def test_settings_travel_with_the_work(tmp_path, monkeypatch):
    """A chunk computed elsewhere, where nothing is set, is read as it was planned."""
    import affectlake.data.pictures as pictures
    from affectlake.data.samples import samples_frame

    counts = []
    monkeypatch.setattr(pictures, "read_frames", lambda *given: counts.append(given[-1]) or [np.zeros((9, 9, 3), "u1")])
    (tmp_path / "a.mp4").write_bytes(b"x")
    samples = samples_frame(pd.DataFrame({"sample_id": ["a"], "video": [str(tmp_path / "a.mp4")]}), "d")
    stats = pd.DataFrame({"uri": samples["video"], "size": 1, "mtime_ns": 1, "sha256": "s"})
    nothing = pd.DataFrame({"content": [], "outcome": []})
    with settings.use({"video.frames": 3}):
        chunks = plan(samples, stats, [registry.get("face.geometry")], lambda *_: nothing).chunks
    assert compute(chunks[0])["face.geometry"]["outcome"].to_pylist() == ["not_applicable"]
    assert counts == [3]
