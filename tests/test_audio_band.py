"""Everything as a narrower channel would carry it, where that is set."""

import numpy as np
import pytest

from affectlake.data.errors import UsageError
from affectlake.data.sound import RATE, AudioClip
from affectlake.features import registry, settings
from affectlake.features.audio._band import narrowed
from affectlake.features.inputs import Request, decoding, read
from affectlake.features.protocol import fingerprint

pytest.importorskip("soxr")
soundfile = pytest.importorskip("soundfile")


def tones(*hz: float, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return sum(0.2 * np.sin(2 * np.pi * f * t) for f in hz).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "heard", "gone"), [(8000, (300, 1500, 3400), (4300, 7000)), (11_025, (5000,), (6000,))]
)
def test_what_the_channel_carries_stays_and_the_rest_goes(rate, heard, gone):
    middle = slice(RATE // 4, 3 * RATE // 4)
    both, kept = narrowed(AudioClip(tones(*heard, *gone)), rate).y[middle], tones(*heard)[middle]
    assert np.abs(both - kept).max() < 2e-3


@pytest.mark.parametrize("samples", [1, 2, 7, 161, 16_001])
def test_a_clip_keeps_its_length(samples):
    clip = AudioClip(np.full(samples, 0.1), duration=12.0)
    assert len(narrowed(clip, 8000).y) == samples and narrowed(clip, 8000).duration == 12.0
    assert narrowed(clip, RATE) is clip


def test_it_is_set_for_reading_and_is_part_of_the_fingerprint(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tones(500, 6000), RATE)
    prosody = registry.get("audio.prosody")
    plain, before = read("audio", Request("c", uri=path.as_uri())), fingerprint(prosody, decoding("audio"))
    with settings.use(settings.parsed(["audio.band=8000"])):
        narrow, after = read("audio", Request("c", uri=path.as_uri())), fingerprint(prosody, decoding("audio"))
    assert before != after
    assert np.std(narrow.y) == pytest.approx(np.std(plain.y) / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("value", ["telephone", "16000", "100", "-8000"])
def test_a_channel_that_cannot_be_is_refused(value):
    with pytest.raises(UsageError, match=r"audio.band cannot be .* expected 0 \(all that there is\) or 4000 to 15999"):
        settings.parsed([f"audio.band={value}"])
