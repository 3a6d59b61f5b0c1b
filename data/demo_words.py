"""Short utterances: some say what the speaker feels, many could be said in any mood."""

import numpy as np

_SLOTS = {
    "who": "Anna Ben Carla David Emma Farid Grace Henry Ines Jonas Kim Leo Mona Nadia Omar Paula".split(),
    "when": ["yesterday", "this morning", "last night", "on Monday", "just now", "at noon", "again", "today"],
    "thing": ["the letter", "the kitchen", "my bag", "the garden", "the meeting", "the report", "the phone", "dinner"],
    "place": ["at the station", "in the office", "next door", "at school", "upstairs", "at the market", "in the park"],
}

WORDS = {
    "angry": [
        "I told {who} to leave {thing} alone and nobody listens!",
        "How dare you touch {thing} {when}?",
        "This is an outrage, {who} lied to me {when}.",
        "I am so sick of fighting about {thing}.",
        "Stop blaming me for what {who} did {place}!",
        "{who} insulted me {when}, I could scream.",
        "I hate it when {who} shouts {place}.",
    ],
    "disgust": [
        "There is something rotten {place}, it stinks.",
        "I feel sick, {who} was chewing with an open mouth {when}.",
        "That smell {place} is revolting.",
        "Somebody left mouldy food {place}, it is vile.",
        "{who} spat on the floor {when}, how gross.",
        "It makes my stomach turn to look at {thing}.",
        "Yuck, {thing} is covered in slime.",
    ],
    "fearful": [
        "Somebody is following {who} {place}, I am scared.",
        "Please do not leave me alone {place}.",
        "I heard a strange noise {place} {when}, I am terrified.",
        "What if something happened to {who}?",
        "I am afraid to open the door {place}.",
        "{who} is in danger, hide {thing}!",
        "My hands are shaking, there is a shadow {place}.",
    ],
    "happy": [
        "What a wonderful surprise, {who} came {when}!",
        "I love how {thing} turned out.",
        "We won {place} {when}, hooray!",
        "I am so glad that {who} is back.",
        "{who} made me laugh {when}, it was great fun.",
        "This is the best day ever {place}.",
        "I could dance, {who} said yes!",
    ],
    "sad": [
        "I miss {who} so much {when}.",
        "Nobody came {place}, I was all alone.",
        "I cried {when} because of {thing}.",
        "{who} is gone and will not come back.",
        "I lost {thing} that my mother gave me.",
        "It hurts to think of {who}.",
        "There is no hope left for {who} and me.",
    ],
    "neutral": [
        "{who} put {thing} on the table.",
        "The bus stops {place} every hour.",
        "I read about {thing} {when}.",
        "{who} works {place} on weekdays.",
        "We will talk about {thing} tomorrow.",
        "It is about ten minutes from here.",
        "{who} called {when} about {thing}.",
    ],
}
_ANY_MOOD = [
    "Did you see {who} {place}?",
    "I cannot believe what {who} did {when}.",
    "Look at {thing}, {who}.",
    "So {who} was {place} {when}.",
    "Well, that was {who} on the phone.",
    "You will not guess who was {place}.",
    "{who} is here.",
    "What did {who} do with {thing}?",
    "I was {place} when {who} told me.",
    "They talked about {thing} {when}.",
]


def say(rng: np.random.Generator, emotion: str, telling: float) -> str:
    """An utterance that names the emotion with probability ``telling``, and else fits any mood."""
    templates = WORDS[emotion] if rng.random() < telling else _ANY_MOOD
    chosen = {slot: values[rng.integers(len(values))] for slot, values in _SLOTS.items()}
    sentence = templates[rng.integers(len(templates))].format(**chosen)
    return sentence[0].upper() + sentence[1:]


def syllables(sentence: str) -> int:
    """Groups of vowels: about as many as the sentence has syllables."""
    vowel = np.array([c in "aeiouy" for c in sentence.lower()])
    return max(1, int((vowel[1:] & ~vowel[:-1]).sum()))
