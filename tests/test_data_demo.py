"""The generated corpus: reproducible, labelled as synthetic, and flawed in exactly the ways that it states."""

import hashlib

import numpy as np
import pytest

from affectlake.data.demo import EMOTIONS, make_demo
from affectlake.data.demo_face import SIZE, draw, person_look
from affectlake.data.demo_voice import PROSODY, RATE, speak, speaker_voice
from affectlake.data.demo_words import WORDS, say, syllables
from affectlake.data.errors import BadMedia, UsageError
from affectlake.data.manifest import read_manifest
from affectlake.data.sound import AudioClip, read_audio
from affectlake.features.audio.prosody import extractor


def digests(root):
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    return root, read_manifest(make_demo(root, seed=3, samples=48, speakers=4), "demo")


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_demo(tmp_path / name, seed=seed, samples=12, speakers=3)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def test_files_that_are_right_are_left_alone(tmp_path):
    manifest = make_demo(tmp_path, samples=12, speakers=2)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    make_demo(tmp_path, samples=12, speakers=2)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert manifest in before


def test_everything_says_synthetic(corpus):
    root, samples = corpus
    assert samples["synthetic"].eq(1).all()
    assert "SYNTHETIC" in (root / "README.txt").read_text()


def test_speakers_and_emotions_are_balanced(corpus):
    _, samples = corpus
    assert samples["speaker"].value_counts().eq(12).all()
    assert set(samples["emotion"]) == set(EMOTIONS)
    assert samples.groupby("speaker")["emotion"].nunique().min() >= 5
    assert samples[["valence", "arousal"]].abs().max().max() <= 1


def test_some_samples_lack_a_modality_and_none_lacks_two(corpus):
    _, samples = corpus
    lacking = samples[["audio", "image", "text"]].isna().sum(axis=1)
    assert 1 <= lacking.sum() <= 16
    assert lacking.max() == 1


def test_one_sound_is_cut_off(corpus):
    _, samples = corpus
    reasons = []
    for uri in samples["audio"].dropna():
        try:
            clip = read_audio(uri)
            assert 0.8 < clip.duration < 10
            assert 0.005 < np.abs(clip.y).max() <= 1
        except BadMedia as reason:
            reasons.append(str(reason))
    assert len(reasons) == 1 and "truncated" in reasons[0]


def test_one_sample_is_a_copy_of_another_speakers(corpus):
    root, samples = corpus
    digest = digests(root)
    for column, folder in (("audio", "audio"), ("image", "face")):
        content = samples[column].dropna().map(lambda u, f=folder: digest[f"{f}/{u.rsplit('/', 1)[1]}"])
        twice = samples.loc[content[content.duplicated(keep=False)].index]
        assert len(twice) == 2
        assert twice["speaker"].nunique() == 2
        assert twice["emotion"].nunique() == twice["text"].nunique() == 1


@pytest.mark.parametrize("wrong", [{"samples": 11}, {"speakers": 1}, {"samples": 12, "speakers": 13}])
def test_too_small_a_corpus_is_refused(tmp_path, wrong):
    with pytest.raises(UsageError, match="at least 12 samples"):
        make_demo(tmp_path, **wrong)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_emotion_has_voice_face_and_words(emotion):
    rng = np.random.default_rng(0)
    sound = speak(rng, speaker_voice(rng, high=True), emotion, 1.0, 3)
    assert sound.dtype == np.int16 and len(sound) > RATE // 2 and np.abs(sound).max() > 300
    face = draw(rng, person_look(rng, 1), emotion, 1.0)
    assert face.shape == (SIZE, SIZE, 3) and face.dtype == np.uint8 and face.std() > 10
    assert "{" not in say(rng, emotion, 1.0)
    assert set(PROSODY) == set(WORDS)


def test_voices_are_as_high_as_stated():
    names = [c.name for c in extractor.columns]
    rng = np.random.default_rng(1)
    for high in (False, True):
        voice = speaker_voice(rng, high)
        sound = speak(rng, voice, "neutral", 0.0, 8).astype(np.float32) / 32768
        (values,) = extractor.extract([AudioClip(sound)])
        assert values[names.index("f0_hz_median")] == pytest.approx(voice.f0, rel=0.2)


@pytest.mark.parametrize(("word", "count"), [("cat", 1), ("window", 2), ("wonderful", 3), ("hm", 1)])
def test_syllables(word, count):
    assert syllables(word) == count
