"""Valence is VADER's for English, and says the same of what means the same."""

import random

import pytest
from opencc import OpenCC
from vaderSentiment.vaderSentiment import BOOSTER_DICT, NEGATE, SentimentIntensityAnalyzer

from affectlake.features.text._clean import clean
from affectlake.features.text._reading import Reading
from affectlake.features.text._words import han_words, words
from affectlake.features.text.lexicon import extractor

# Compound values that the authors print for the examples of their package (vaderSentiment 3.3.2, README).
PUBLISHED = {
    "VADER is smart, handsome, and funny.": 0.8316,
    "VADER is smart, handsome, and funny!": 0.8439,
    "VADER is very smart, handsome, and funny.": 0.8545,
    "VADER is VERY SMART, handsome, and FUNNY.": 0.9227,
    "VADER is VERY SMART, handsome, and FUNNY!!!": 0.9342,
    "VADER is VERY SMART, uber handsome, and FRIGGIN FUNNY!!!": 0.9469,
    "VADER is not smart, handsome, nor funny.": -0.7424,
    "The book was good.": 0.4404,
    "At least it isn't a horrible book.": 0.431,
    "The book was only kind of good.": 0.3832,
    "The plot was good, but the characters are uncompelling and the dialog is not great.": -0.7042,
    "Today SUX!": -0.5461,
    "Today only kinda sux! But I'll get by, lol": 0.5249,
    "Make sure you :) or :D today!": 0.8633,
    "Catch utf-8 emoji such as 💘 and 💋 and 😁": 0.875,
    "Not bad at all": 0.431,
    "Sentiment analysis has never been good.": -0.3412,
    "Sentiment analysis has never been this good!": 0.5672,
    "With VADER, sentiment analysis is the shit!": 0.6476,
    "On the other hand, VADER is quite bad ass": 0.802,
    "Without a doubt, excellent idea.": 0.7013,
    "Without a doubt, an excellent idea.": 0.7013,
    "Roger Dodger is one of the most compelling variations on this theme.": 0.2944,
    "Roger Dodger is at least compelling as a variation on the theme.": 0.2263,
    "Roger Dodger is one of the least compelling variations on this theme.": -0.1695,
    "Not such a badass after all.": -0.2584,
}
vader = SentimentIntensityAnalyzer()


def valence(text: str) -> float:
    return Reading(clean(text)).compound


def column(name: str, text: str) -> float:
    at = [c.name for c in extractor.columns].index(name)
    return float(extractor._row(clean(text))[at])


@pytest.mark.parametrize("text, value", PUBLISHED.items())
def test_published_examples_have_their_published_value(text, value):
    assert valence(text) == value


def test_valence_is_vaders_for_any_english_words():
    """3,000 sentences out of its list, boosters, negations, and the words that its rules look for."""
    draw = random.Random(0)
    feeling = sorted(w for w in vader.lexicon if w.isalpha() and w.isascii())
    steering = [*BOOSTER_DICT, *NEGATE, *"but no nor at least very so this a the movie was doubt kind of only".split()]
    steering += "the shit the bomb bad ass yeah right bus stop kiss of death to die for".split()
    for _ in range(3000):
        parts = [draw.choice(feeling if draw.random() < 0.4 else steering) for _ in range(draw.randint(1, 9))]
        parts = [w.upper() if draw.random() < 0.1 else w for w in parts]
        parts = [w + draw.choice(",!?.") if draw.random() < 0.1 else w for w in parts]
        text = " ".join(parts)
        if "no doubt" not in text.lower() and text.lower().count("but") < 2:
            assert Reading(text).compound == vader.polarity_scores(text)["compound"], text


@pytest.mark.parametrize(
    "text, same",
    [
        ("#terrific", "terrific"),
        ("#NotHappy", "not happy"),
        ("#nothappy", "not happy"),
        ("#sosad #verysad", "so sad very sad"),
        ("I a\u00addo\u200bre it", "I adore it"),
        ("I don`t adore it", "I don't adore it"),
        ("I don\u00b4t adore it", "I don't adore it"),
        ("<div>I <em>adore</em> it</div>", "I adore it"),
        ("such fun,great...thanks", "such fun, great... thanks"),
        ("It was sooooo baaad", "It was so bad"),
        ("I 𝓪𝓭𝓸𝓻𝓮 it", "I adore it"),
        ("❤️\u200d🔥", "❤ 🔥"),
        ("我非常生氣", "我非常生气"),
    ],
)
def test_what_means_the_same_has_the_same_valence(text, same):
    assert valence(text) == valence(same) != 0


@pytest.mark.parametrize(
    "text, joy, denied",
    [
        ("I have never been so happy", 1, 0),
        ("She was never happier in her life", 0, 1),  # VADER's reading of "never", which we leave
        ("We have never been happier", 1, 0),
        ("I couldn't be happier", 1, 0),
        ("Without a doubt a happy end", 1, 0),
        ("No doubt they are happy", 1, 0),
        ("Not only happy but rich", 1, 0),
        ("I can't help laughing", 1, 0),
        ("No, I am happy", 1, 0),
        ("I said no. Happy now", 1, 0),
        ("I am not happy", 0, 1),
        ("Nothing here is happy", 0, 1),
        ("the least happy of us", 0, 1),
        ("at least happy", 1, 0),
        ("从来没有这么开心", 1, 0),
        ("毫无疑问很开心", 1, 0),
        ("我不但开心", 1, 0),
        ("别人很开心", 1, 0),
        ("不，我很开心", 1, 0),
        ("我不太开心", 0, 1),
        ("我从来不高兴", 0, 1),
    ],
)
def test_idioms_deny_nothing(text, joy, denied):
    assert (column("joy", text), column("denied_pleasant", text)) == (joy, denied)
    assert (valence(text) > 0) == (joy > 0)


def test_kind_of_is_nothing_kind():
    assert column("positive", "It is kind of boring") == 0 < column("positive", "He is kind")
    assert column("negative_weight", "It is kind of boring") < column("negative_weight", "It is truly kindless boring")


@pytest.mark.parametrize(
    "text, group",
    [
        ("我好嬲呀", "anger"), ("激氣到死", "anger"), ("靠北喔", "anger"), ("我好鍾意你", "love"),
        ("唔開心", "sadness"),
        ("今日心塞塞", "sadness"), ("好爽", "joy"), ("好療癒", "joy"), ("小確幸", "joy"), ("囧", "negative"),
        ("好攰", "negative"), ("無言", "negative"), ("嚇死人", "fear"), ("好驚", "fear"), ("核突", "disgust"),
        ("好噁心", "disgust"), ("傻眼", "surprise"), ("冇問題", "positive"), ("讚", "positive"),
    ],
)  # fmt: skip
def test_words_of_hong_kong_and_taiwan(text, group):
    assert column(group, text) >= 1
    assert group == "surprise" or (valence(text) > 0) == (group in ("joy", "love", "positive"))


@pytest.mark.parametrize("script", ["s2t", "s2tw", "s2hk"])
def test_every_chinese_word_is_known_in_traditional_characters(script):
    there, back = OpenCC(script), OpenCC("t2s")
    lost = {w for w in han_words() if back.convert(there.convert(w)) not in han_words()}
    assert not lost and all(back.convert(w) == w for w in han_words())


@pytest.mark.parametrize(
    "text", ["他们今天都很难过，但是我不怕。", "我从来没有这么开心过！", "太恶心了，气死我了", "没关系，谢谢你"]
)
@pytest.mark.parametrize("script", ["s2t", "s2tw", "s2hk"])
def test_both_scripts_are_read_alike(text, script):
    there = Reading(clean(OpenCC(script).convert(text)))
    here = Reading(clean(text))
    assert there.text != here.text and (there.lower, there.felt) == (here.lower, here.felt)


@pytest.mark.parametrize(
    "emoji, sign", [("💔", -1), ("🔥", 1), ("😂", 1), ("😥", -1), ("👨\u200d👩\u200d👧", 0), ("😮\u200d💨", 1)]
)
def test_emoji_are_worth_what_they_show(emoji, sign):
    assert (valence(emoji) > 0) - (valence(emoji) < 0) == sign
    assert words().valence("😁") == vader.lexicon["smiling"]


def test_an_emoji_of_several_characters_is_one():
    from affectlake.features.text.style import extractor as style

    at = [c.name for c in style.columns].index("emoji")
    text = "👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥 👍🏽 🇨🇦 😂😂"
    assert style._row(clean(text))[at] == 6
