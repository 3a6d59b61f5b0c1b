"""What the text extractors say about texts whose meaning is plain."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from affectlake.data.errors import NotApplicable
from affectlake.features import registry
from affectlake.features.inputs import Request
from affectlake.features.text import _minilm
from affectlake.features.text._embedding import remembered

FROZEN = Path(__file__).with_name("test_text_frozen.npz")
NAMES = [n for n, e in registry.extractors().items() if n.startswith("text.") and not registry.unavailable(e)]


def said(name: str, *texts: str, **more) -> list[dict[str, float] | NotApplicable]:
    extractor = registry.get(name)
    rows = extractor.extract([Request(str(i), text=t, **more) for i, t in enumerate(texts)])
    names = [c.name for c in extractor.columns]
    return [dict(zip(names, r, strict=True)) if isinstance(r, np.ndarray) else r for r in rows]


def embedding(name: str, *texts: str, **more) -> np.ndarray:
    return np.array([list(r.values()) for r in said(name, *texts, **more)])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_negation_turns_valence_round():
    good, bad, very = said("text.style", "I am happy.", "I am not happy.", "I am extremely HAPPY!!!")
    assert good["valence"] > 0.3 > 0 > bad["valence"] and very["valence"] > good["valence"]


def test_style_counts_what_is_there():
    row = said("text.style", "NO way!! Are you sure you are sure?")[0]
    assert row["words"] == 8 and row["asks"] == 1 and row["exclaims"] == 0 and row["shouted"] == 1
    assert row["type_token_ratio"] == pytest.approx(5 / 8)


def test_lexicon_names_the_emotion_and_hears_its_denial():
    joy, denied, fear = said("text.lexicon", "What a joy!", "There is no joy.", "I am terrified of it.")
    assert joy["joy"] >= 1 and denied["joy"] == 0 and denied["denied_pleasant"] >= 1 and fear["fear"] >= 1


def test_lexicon_reads_chinese():
    happy, sad = said("text.lexicon", "我今天非常高兴！", "我很难过，想哭。")
    assert happy["chinese"] > 0.5
    assert happy["joy"] >= 1 and sad["sadness"] >= 1 and happy["sadness"] == 0


def test_emoji_count():
    pleasant, unpleasant = said("text.lexicon", "ok 😀", "ok 😢")
    assert pleasant["symbols_pleasant"] > 0 > unpleasant["symbols_unpleasant"]


@pytest.mark.parametrize("name", ["text.style", "text.minilm"])
def test_broken_encodings_mean_what_they_meant(name):
    whole, mojibake, control = embedding(name, "It’s a café", "It’s a café".encode().decode("cp1252"), "It\x92s a café")
    np.testing.assert_allclose(whole, mojibake, atol=1e-5)
    np.testing.assert_allclose(whole, control, atol=1e-5)


def test_links_and_handles_are_all_the_same():
    a, b = embedding("text.minilm", "@anna look at https://x.org/1", "@peter look at http://y.com/abc?d=e")
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_embeddings_know_what_is_alike():
    a, b, c = embedding("text.minilm", "I am so happy today", "What a wonderful day", "The printer is out of paper")
    assert cosine(a, b) > cosine(a, c) + 0.2


def test_multilingual_knows_what_is_alike_across_languages():
    a, b, c = embedding("text.multilingual", "I am very happy", "我非常高兴", "打印机没有纸了")
    assert cosine(a, b) > cosine(a, c) + 0.2


def test_what_is_all_in_capitals_is_read_as_if_it_were_not():
    """Transcripts without case; the tokenizers of the other models fold case themselves."""
    shouted, said_ = embedding("text.multilingual", "I REALLY LOVED THIS MOVIE", "i really loved this movie")
    np.testing.assert_allclose(shouted, said_, atol=1e-6)
    upper, lower = said("text.lexicon", "IT DIDNT MAKE ME HAPPY", "it didnt make me happy")
    assert upper == lower and upper["denied_pleasant"] == 1 and upper["valence"] < 0


def test_middle_layers_are_the_mean_over_layers_and_tokens():
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = _minilm.folder()
    read = AutoTokenizer.from_pretrained(folder)("We are not amused!", return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**read, output_hidden_states=True).hidden_states
    expected = torch.stack(states[2:5]).mean(dim=0)[0].mean(dim=0).numpy()
    np.testing.assert_allclose(embedding("text.minilm_middle", "We are not amused!")[0], expected, atol=1e-4)


def test_context_is_what_was_said_before():
    extractor = registry.get("text.context")
    request = Request("x", text="Yes.", context=("Are you angry?", "Tell me!"))
    row, alone = extractor.extract([request, Request("y", text="Yes.")])
    assert row[0] == 2 and isinstance(alone, NotApplicable)
    before = embedding("text.minilm", "Are you angry?", "Tell me!")
    np.testing.assert_allclose(row[2:], (before[0] * 0.5 + before[1]) / 1.5, atol=1e-5)


def test_what_is_remembered_is_what_was_encoded():
    asked = []

    def encode(texts):
        asked.extend(texts)
        return np.array([[len(t), ord(t[0])] for t in texts], dtype=np.float32)

    run = remembered(encode, most=3)
    for texts in (["a", "bb"], ["bb", "c"], ["c", "dd", "a"], ["dd", "bb"]):
        np.testing.assert_array_equal(run(texts), [[len(t), ord(t[0])] for t in texts])
    # bb was the one read longest ago when dd came.
    assert asked == ["a", "bb", "c", "dd", "bb"]


def test_requests_of_a_dialogue_never_look_ahead():
    import pandas as pd

    from affectlake.data.samples import samples_frame
    from affectlake.features.scan import requests

    table = pd.DataFrame(
        {"sample_id": list("cab"), "text": ["three", "one", "two"], "dialogue": "d", "turn": [3, 1, 2]}
    )
    rows = requests(samples_frame(table, "x"), pd.DataFrame(), "dialogue").set_index("sample_id")["context"]
    assert rows["a"] == () and rows["b"] == ("one",) and rows["c"] == ("one", "two")


def test_a_dialogue_goes_on_across_splits():
    import pandas as pd

    from affectlake.data.samples import samples_frame
    from affectlake.features.scan import requests

    def contexts(**columns):
        table = samples_frame(pd.DataFrame({"sample_id": list("abcd"), "text": list("ABCD"), **columns}), "x")
        return requests(table, pd.DataFrame(), "dialogue")["context"].tolist()

    split = ["train", "test", "train", None]
    one = [(), ("A",), ("A", "B"), ("A", "B", "C")]
    assert contexts(dialogue="d", turn=[1, 2, 3, 4], split=split) == one
    # Numbered anew in each split: the same turn is there twice.
    anew = contexts(dialogue="d", turn=[1, 1, 2, 2], split=["train", "test", "train", "test"])
    assert anew == [(), (), ("A",), ("B",)]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "text.context"])
def test_company_does_not_matter(name):
    texts = ["Short.", "A somewhat longer sentence, with a comma, that goes on for a while!", "好", "???", "Short."]
    together = embedding(name, *texts)
    alone = np.concatenate([embedding(name, t) for t in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(together[0], together[-1])


@pytest.mark.parametrize("text", ["We went.", "我们去了那里。"])
@pytest.mark.parametrize("column, more", [("joy", "so happy"), ("anger", "愤怒"), ("negative", "useless")])
def test_lexicon_hears_what_is_added(text, column, more):
    before, after = said("text.lexicon", text, f"{text} {more}")
    assert before[column] == 0 < after[column]


@pytest.mark.parametrize("name", ["text.style", "text.lexicon"])
def test_emphasis_strengthens_in_either_direction(name):
    texts = ("It is {}.", "It is very {}.", "It is very {}!!!", "It is very {cap}!!!")
    for word, sign in (("good", 1), ("awful", -1)):
        rows = said(name, *(t.format(word, cap=word.upper()) for t in texts))
        assert np.all(np.diff([sign * r["valence"] for r in rows]) > 0), word


def test_negation_turns_chinese_round():
    good, bad, doubly = said("text.lexicon", "我很高兴。", "我不是很高兴。", "我没有不高兴。")
    assert good["valence"] > 0 > bad["valence"] and bad["denied_pleasant"] == 1
    assert 0 < doubly["valence"] < good["valence"]


def test_style_of_a_post():
    row = said("text.style", "@anna soooo good?! 😂😂 :) see https://x.org/a #fun 3...")[0]
    expected = {"handles": 1, "links": 1, "hashtags": 1, "emoji": 2, "smiles": 1, "interrobangs": 1}
    expected |= {"elongations": 1, "ellipses": 1, "digits": 1, "frowns": 0}
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("name", ["text.style", "text.lexicon", "text.minilm", "text.multilingual"])
def test_whom_and_what_a_post_points_to_changes_nothing(name):
    a, b = embedding(name, "@anna look: https://x.org/1 great", "@peter99  look: www.y.com/abc?d=e great\n")
    np.testing.assert_array_equal(a, b)


def test_nothing_is_fetched(tmp_path):
    """No socket, an empty home and an empty NLTK_DATA: everything needed comes with the packages."""
    script = f"""
import socket, sys
def refuse(*_, **__): raise SystemExit("reached for the network")
socket.socket.connect = socket.getaddrinfo = refuse
from affectlake.features import registry
from affectlake.features.inputs import Request
for name in {NAMES!r}:
    row = registry.get(name).extract([Request("x", text="We are not amused!", context=("Why?",))])[0]
    assert row.shape == (len(registry.get(name).columns),), name
"""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_", "SENTENCE_TRANSFORMERS_"))}
    env = own | {"HOME": str(tmp_path), "NLTK_DATA": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_no_text_is_no_answer(name, text):
    assert isinstance(said(name, text, context=("Well?",))[0], NotApplicable)


def reference(names: list[str]) -> dict[str, np.ndarray]:
    texts = (
        "I'm NOT happy at all, sorry...",
        "Oh my God, that is sooo great!!! :)",
        "我今天真的很难过。",
        "ok 😀 http://a.b",
    )
    return {name: embedding(name, *texts, context=("Where have you been?", "Tell me!")) for name in names}


FIXED = [n for n in NAMES if n != "text.hub"]


@pytest.mark.parametrize("name", FIXED)
def test_values_are_those_of_this_version(name):
    """Other values need another ``version``; then ``python tests/test_text_extractors.py`` freezes them anew."""
    with np.load(FROZEN) as frozen:
        assert str(frozen[f"{name}.version"]) == registry.get(name).version
        np.testing.assert_allclose(reference([name])[name], frozen[name], rtol=1e-3, atol=2e-5)


if __name__ == "__main__":
    versions = {f"{n}.version": np.array(registry.get(n).version) for n in FIXED}
    np.savez_compressed(FROZEN, **{n: v.astype(np.float32) for n, v in reference(FIXED).items()}, **versions)
