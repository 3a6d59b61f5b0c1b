"""A synthetic voice: glottal pulses through formants, with a prosody that carries an emotion. Not a human recording.

Source-filter synthesis after Klatt (1980), JASA 67:971-995; prosody of emotions after Banse & Scherer (1996) and
Juslin & Laukka (2003), in rough strokes.
"""

from dataclasses import dataclass

import numpy as np

RATE = 16_000
_BLOCK = 320  # samples with the same formants
_BANDWIDTHS = np.array([80.0, 100.0, 140.0, 200.0])  # Hz
_VOWELS = np.array(  # Hz, F1-F4 of a, e, i, o, u (adult male, Peterson & Barney 1952, rounded)
    [
        [730, 1090, 2440, 3400],
        [530, 1840, 2480, 3500],
        [270, 2290, 3010, 3600],
        [570, 840, 2410, 3300],
        [300, 870, 2240, 3300],
    ]
)


@dataclass(frozen=True)
class Voice:
    """What a speaker always sounds like.

    ``f0`` in Hz, ``tract`` scales formants, ``rate`` in syllables/s, ``breath`` 0 to 1, ``gain`` in dB.
    """

    f0: float
    tract: float
    rate: float
    breath: float
    gain: float


# Semitones up, range (factor), rate (factor), dB, brightness 0-1, breath, jitter, tremor (semitones), final rise
# (semitones), smile (formant factor)
NEUTRAL = np.array([0.0, 1.0, 1.00, 0.0, 0.50, 0.05, 0.006, 0.0, -1.5, 1.00])
PROSODY = {
    "angry": np.array([2.5, 1.5, 1.12, 6.0, 0.95, 0.02, 0.016, 0.0, -3.0, 1.00]),
    "disgust": np.array([-1.5, 0.9, 0.82, 0.5, 0.45, 0.06, 0.026, 0.0, -3.0, 0.95]),
    "fearful": np.array([4.5, 0.8, 1.25, 0.5, 0.60, 0.22, 0.022, 0.7, 0.5, 1.01]),
    "happy": np.array([3.5, 1.9, 1.08, 3.5, 0.75, 0.04, 0.007, 0.0, 2.0, 1.06]),
    "neutral": NEUTRAL,
    "sad": np.array([-2.0, 0.5, 0.75, -5.0, 0.20, 0.18, 0.010, 0.2, -1.0, 0.98]),
}
# What one speaker varies from clip to clip, in the same units.
_SPREAD = np.array([0.9, 0.18, 0.06, 1.5, 0.08, 0.025, 0.003, 0.1, 0.9, 0.012])


def speaker_voice(rng: np.random.Generator, high: bool) -> Voice:
    """A new speaker, with a high or a low voice."""
    return Voice(
        f0=rng.uniform(175, 235) if high else rng.uniform(95, 140),
        tract=rng.uniform(1.10, 1.22) if high else rng.uniform(0.94, 1.05),
        rate=rng.uniform(3.8, 5.2),
        breath=rng.uniform(0.0, 0.08),
        gain=rng.normal(0, 2.0),
    )


def speak(rng: np.random.Generator, voice: Voice, emotion: str, strength: float, syllables: int) -> np.ndarray:
    """A nonsense utterance.

    Parameters
    ----------
    rng : np.random.Generator
    voice : Voice
    emotion : str
        A key of `PROSODY`.
    strength : float
        0 sounds neutral, 1 like the emotion.
    syllables : int > 0

    Returns
    -------
    np.ndarray [shape=(n,)], int16
        Mono at `RATE`.
    """
    prosody = NEUTRAL + strength * (PROSODY[emotion] - NEUTRAL) + rng.normal(0, _SPREAD)
    level, span, rate, loudness, bright, breath, jitter, tremor, rise, smile = prosody
    times, lengths = _rhythm(rng, syllables, voice.rate * max(rate, 0.4))
    n = int((times[-1] + lengths[-1] + 0.25) * RATE)
    t = np.arange(n) / RATE
    pitch = _contour(rng, t, times, lengths, level, max(span, 0.1), rise)
    pitch += tremor * np.sin(2 * np.pi * 6.5 * t)
    flow = _glottis(rng, voice.f0 * 2 ** (pitch / 12), max(jitter, 0.001), pressed=bright)
    noise = rng.normal(0, 1, n) * (0.3 + flow) * max(breath + voice.breath, 0.0)
    source = _tilted(np.diff(flow, prepend=0.0) * 6 + noise * 0.12, np.clip(bright, 0.02, 1.0))
    sound = _through_formants(source, _formants(rng, t, times, lengths, voice.tract * smile))
    sound = sound * _loudness(rng, t, times, lengths) / (np.sqrt(np.mean(sound**2)) + 1e-9)
    sound += _consonants(rng, t, times)
    sound = sound * 0.05 * 10 ** ((loudness + voice.gain) / 20) + rng.normal(0, 10 ** rng.uniform(-3.6, -2.9), n)
    return (np.clip(sound, -0.98, 0.98) * 32767).astype(np.int16)


def _rhythm(rng: np.random.Generator, syllables: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of each syllable in seconds, with a pause now and then."""
    lengths = rng.uniform(0.7, 1.3, syllables) / rate
    lengths[-1] *= 1.5
    pauses = (rng.random(syllables) < 0.12) * rng.uniform(0.1, 0.35, syllables)
    return 0.15 + np.cumsum(lengths + pauses) - lengths - pauses, lengths


def _contour(
    rng: np.random.Generator,
    t: np.ndarray,
    times: np.ndarray,
    lengths: np.ndarray,
    level: float,
    span: float,
    rise: float,
) -> np.ndarray:
    """Semitones above the speaker's own pitch: declination, an accent on each syllable, and the ending."""
    accents = rng.normal(0, 1.6, len(times)) * span
    fall = np.linspace(1.0, -1.0, len(times)) * span
    knots = level + fall + accents
    knots[-1] += rise
    return np.interp(t, times + lengths / 2, knots)


def _glottis(rng: np.random.Generator, f0: np.ndarray, jitter: float, pressed: float) -> np.ndarray:
    """Glottal flow, 0 to 1 (Rosenberg's pulse): each cycle has its own length and height."""
    n, at, marks = len(f0), 0.0, [0.0]
    while at < n:
        at += RATE / f0[min(int(at), n - 1)] * max(1 + jitter * rng.normal(), 0.5)
        marks.append(at)
    cycle = np.interp(np.arange(n), marks, np.arange(len(marks)))
    phase = cycle % 1
    height = np.maximum(1 + 3 * jitter * rng.normal(0, 1, len(marks)), 0.2)[cycle.astype(int)]
    open_part = np.clip(0.72 - 0.25 * pressed, 0.3, 0.8)
    peak = 0.67 * open_part
    opening = 0.5 * (1 - np.cos(np.pi * phase / peak))
    closing = np.cos(np.pi / 2 * (phase - peak) / (open_part - peak))
    return height * np.where(phase < peak, opening, np.where(phase < open_part, closing, 0.0))


def _tilted(source: np.ndarray, bright: float) -> np.ndarray:
    """A soft voice loses its high partials."""
    from scipy.signal import lfilter

    pole = 0.85 * (1 - bright)
    return lfilter([1 - pole], [1, -pole], source)


def _formants(
    rng: np.random.Generator, t: np.ndarray, times: np.ndarray, lengths: np.ndarray, scale: float
) -> np.ndarray:
    """Hz per block [shape=(blocks, 4)], gliding from vowel to vowel."""
    vowels = _VOWELS[rng.integers(0, len(_VOWELS), len(times))] * scale * rng.normal(1, 0.03, (len(times), 4))
    centres = times + lengths / 2
    return np.stack([np.interp(t[::_BLOCK], centres, vowels[:, k]) for k in range(4)], axis=1)


def _through_formants(source: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """Four resonators in cascade, of unit gain at 0 Hz, held for one block each."""
    from scipy.signal import sosfilt

    radius = np.exp(-np.pi * _BANDWIDTHS / RATE)
    a1 = -2 * radius * np.cos(2 * np.pi * np.minimum(formants, 7000) / RATE)
    a2 = np.broadcast_to(radius**2, a1.shape)
    sections = np.zeros((*a1.shape, 6))
    sections[..., 0], sections[..., 3], sections[..., 4], sections[..., 5] = 1 + a1 + a2, 1, a1, a2
    out, state = np.empty_like(source), np.zeros((4, 2))
    for i, section in enumerate(sections):
        block = slice(i * _BLOCK, (i + 1) * _BLOCK)
        out[block], state = sosfilt(section, source[block], zi=state)
    return out


def _loudness(rng: np.random.Generator, t: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Envelope of voiced parts: one hump per syllable."""
    stress = 10 ** (rng.normal(0, 2.0, len(times)) / 20)
    envelope = np.zeros_like(t)
    for start, length, height in zip(times, lengths, stress, strict=True):
        x = (t - start - 0.12 * length) / (0.88 * length)
        inside = (x > 0) & (x < 1)
        envelope[inside] = np.maximum(envelope[inside], height * np.sin(np.pi * x[inside]) ** 0.6)
    return envelope


def _consonants(rng: np.random.Generator, t: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A short hiss before about half of the syllables."""
    hiss = np.diff(rng.normal(0, 1, len(t)), prepend=0.0)
    envelope = np.zeros_like(t)
    for start in times[rng.random(len(times)) < 0.5]:
        envelope += rng.uniform(0.1, 0.35) * np.exp(-(((t - start) / 0.018) ** 2))
    return hiss * envelope
