"""What the text extractors say about texts whose meaning is plain."""

import numpy as np
import pytest

from affectlake.data.errors import NotApplicable
from affectlake.features import registry
from affectlake.features.inputs import Request

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


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


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


def test_context_is_what_was_said_before():
    extractor = registry.get("text.context")
    request = Request("x", text="Yes.", context=("Are you angry?", "Tell me!"))
    row, alone = extractor.extract([request, Request("y", text="Yes.")])
    assert row[0] == 2 and isinstance(alone, NotApplicable)
    before = embedding("text.minilm", "Are you angry?", "Tell me!")
    np.testing.assert_allclose(row[2:], (before[0] * 0.5 + before[1]) / 1.5, atol=1e-5)


def test_requests_of_a_dialogue_never_look_ahead():
    import pandas as pd

    from affectlake.data.samples import samples_frame
    from affectlake.features.scan import requests

    table = pd.DataFrame(
        {"sample_id": list("cab"), "text": ["three", "one", "two"], "dialogue": "d", "turn": [3, 1, 2]}
    )
    rows = requests(samples_frame(table, "x"), pd.DataFrame(), "dialogue").set_index("sample_id")["context"]
    assert rows["a"] == () and rows["b"] == ("one",) and rows["c"] == ("one", "two")


@pytest.mark.parametrize("name", [n for n in NAMES if n != "text.context"])
def test_company_does_not_matter(name):
    texts = ["Short.", "A somewhat longer sentence, with a comma, that goes on for a while!", "好", "???", "Short."]
    together = embedding(name, *texts)
    alone = np.concatenate([embedding(name, t) for t in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(together[0], together[-1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_no_text_is_no_answer(name, text):
    assert isinstance(said(name, text, context=("Well?",))[0], NotApplicable)
