"""A drawn face whose brows, eyes and mouth carry an emotion. No photograph of anybody."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

SIZE = 192  # pixels of the finished square picture
_DRAWN = 384  # drawn twice as large, then averaged: clean edges
_SHIFT = 4  # fractional bits of cv2's coordinates

# Inner and outer end of the brows up, brows together, eyes open, corners of the mouth up, mouth open, mouth wide,
# upper lip and nose drawn up; roughly the Action Units 1, 2, 4, 5-7, 12-15, 25-27, 20 and 9-10 (Ekman & Friesen 1978).
NEUTRAL = np.array([0.0, 0.0, 0.0, 1.00, 0.00, 0.02, 1.00, 0.0])
EXPRESSION = {
    "angry": np.array([-1.0, 0.3, 1.0, 0.80, -0.45, 0.18, 0.95, 0.2]),
    "disgust": np.array([-0.7, -0.3, 0.6, 0.60, -0.40, 0.12, 0.90, 1.0]),
    "fearful": np.array([1.0, 0.4, 0.4, 1.45, -0.25, 0.50, 1.10, 0.0]),
    "happy": np.array([0.2, 0.3, 0.0, 0.78, 1.00, 0.40, 1.28, 0.0]),
    "neutral": NEUTRAL,
    "sad": np.array([0.8, -0.7, 0.4, 0.72, -0.85, 0.04, 0.90, 0.0]),
}
# What one face varies from picture to picture, in the same units.
_SPREAD = np.array([0.28, 0.24, 0.22, 0.12, 0.22, 0.08, 0.07, 0.18])


@dataclass(frozen=True)
class Look:
    """What a person always looks like: RGB colours (0-255), and proportions around 1 (``style`` of hair: 0, 1 or 2)."""

    skin: np.ndarray
    hair: np.ndarray
    lips: np.ndarray
    iris: np.ndarray
    shirt: np.ndarray
    wall: np.ndarray
    width: float
    eyes: float
    brows: float
    nose: float
    style: int


def person_look(rng: np.random.Generator, style: int) -> Look:
    """A new person."""
    skins = np.array([[236, 200, 172], [222, 178, 142], [190, 140, 104], [150, 104, 74], [112, 76, 54]], float)
    hairs = np.array([[38, 28, 24], [58, 42, 34], [96, 92, 92], [132, 92, 52], [176, 142, 88]], float)
    irises = np.array([[74, 50, 32], [88, 110, 70], [86, 118, 150]], float)
    tone = rng.integers(len(skins))
    skin = skins[tone] * rng.uniform(0.94, 1.04)
    return Look(
        skin=skin,
        hair=hairs[rng.integers(len(hairs) - tone)] * rng.uniform(0.7, 1.05),
        lips=skin * [0.86, 0.58, 0.58],
        iris=irises[rng.integers(len(irises))],
        shirt=rng.uniform(40, 200, 3),
        wall=rng.uniform(110, 220, 3),
        width=rng.uniform(0.92, 1.08),
        eyes=rng.uniform(0.94, 1.08),
        brows=rng.uniform(0.75, 1.3),
        nose=rng.uniform(0.92, 1.1),
        style=style % 3,
    )


def draw(rng: np.random.Generator, look: Look, emotion: str, strength: float) -> np.ndarray:
    """One picture.

    Parameters
    ----------
    rng : np.random.Generator
    look : Look
    emotion : str
        A key of `EXPRESSION`.
    strength : float
        0 looks neutral, 1 like the emotion.

    Returns
    -------
    np.ndarray [shape=(SIZE, SIZE, 3)], uint8
        RGB.
    """
    import cv2

    shape = NEUTRAL + strength * (EXPRESSION[emotion] - NEUTRAL) + rng.normal(0, _SPREAD)
    canvas = _Canvas(look.wall)
    _behind(canvas, look)
    _head(canvas, look)
    for side in (-1, 1):
        _eye(canvas, look, side, shape)
        _brow(canvas, look, side, shape)
    _nose(canvas, look, shape)
    _mouth(canvas, look, shape)
    _fringe(canvas, look)
    picture = _posed(rng, canvas.pixels, look.wall)
    picture = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.clip(_lit(rng, picture) + rng.normal(0, rng.uniform(2, 6), (SIZE, SIZE, 1)), 0, 255).astype(np.uint8)


class _Canvas:
    """Float RGB with soft and hard shapes, in units of the head: x to the right, y down, (0, 0) between the eyes."""

    scale = 105.0  # pixels per unit, about the half width of a head
    centre = np.array([_DRAWN / 2, _DRAWN * 0.46])

    def __init__(self, colour: np.ndarray):
        fade = np.linspace(1.08, 0.88, _DRAWN)[:, None, None]
        self.pixels = np.clip(colour * fade * np.ones((1, _DRAWN, 1)), 0, 255).astype(np.float32)

    def fill(self, points: ArrayLike, colour: ArrayLike, soft: float = 0.0, strength: float = 1.0) -> None:
        """A polygon; ``soft`` is the width of its edge in units, ``strength`` its opacity."""
        import cv2

        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._pixels(points)], 255, cv2.LINE_AA, _SHIFT)
        self._blend(mask, colour, soft, strength)

    def line(
        self, points: ArrayLike, width: float, colour: ArrayLike, soft: float = 0.0, strength: float = 1.0
    ) -> None:
        """A stroke of the given width in units."""
        import cv2

        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        thick = max(1, round(width * self.scale))
        cv2.polylines(mask, [self._pixels(points)], False, 255, thick, cv2.LINE_AA, _SHIFT)
        self._blend(mask, colour, soft, strength)

    def _pixels(self, points: ArrayLike) -> np.ndarray:
        return np.round((self.centre + np.asarray(points) * self.scale) * 2**_SHIFT).astype(np.int32)

    def _blend(self, mask: np.ndarray, colour: ArrayLike, soft: float, strength: float) -> None:
        import cv2

        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return
        edge = int(3 * soft * self.scale)
        window = (
            slice(max(rows[0] - edge, 0), rows[-1] + edge + 1),
            slice(max(columns[0] - edge, 0), columns[-1] + edge + 1),
        )
        alpha = mask[window].astype(np.float32) * (strength / 255)
        if soft:
            alpha = cv2.GaussianBlur(alpha, (0, 0), soft * self.scale)
        self.pixels[window] += alpha[..., None] * (np.asarray(colour, np.float32) - self.pixels[window])


def _ellipse(x: float, y: float, rx: float, ry: float, begin: float = 0.0, end: float = 360.0) -> np.ndarray:
    angle = np.radians(np.linspace(begin, end, 60))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _arc(x0: float, x1: float, ends: float, middle: float, n: int = 21) -> np.ndarray:
    """A parabola from (x0, ends) over (centre, middle) to (x1, ends)."""
    u = np.linspace(-1, 1, n)
    return np.stack([(x0 + x1) / 2 + u * (x1 - x0) / 2, middle + (ends - middle) * u**2], axis=1)


def _behind(canvas: _Canvas, look: Look) -> None:
    w = look.width
    if look.style == 1:  # long hair
        canvas.fill(_ellipse(0, 0.35, 1.12 * w, 1.35), look.hair, soft=0.02)
    canvas.fill(_ellipse(0, 2.35, 1.75, 0.85), look.shirt, soft=0.02)
    canvas.fill([[-0.38, 0.9], [0.38, 0.9], [0.48, 1.75], [-0.48, 1.75]], look.skin * 0.78, soft=0.03)
    for side in (-1, 1):
        canvas.fill(_ellipse(side * 0.93 * w, 0.12, 0.12, 0.24), look.skin * 0.85, soft=0.01)


def _head(canvas: _Canvas, look: Look) -> None:
    w, skin = look.width, look.skin
    angle = np.linspace(0, 2 * np.pi, 120)
    jaw = 1 - 0.14 * np.clip(np.sin(angle), 0, 1) ** 2  # narrower towards the chin
    head = np.stack([0.92 * w * np.cos(angle) * jaw, 0.18 + 1.18 * np.sin(angle)], axis=1)
    canvas.fill(_ellipse(0, -0.28, 0.98 * w, 0.92), look.hair, soft=0.015)
    canvas.fill(head, skin * 0.82, soft=0.012)
    canvas.fill(head * [0.8, 0.84] + [0, 0.02], skin, soft=0.14)
    canvas.fill(_ellipse(0, -0.45, 0.5, 0.2), np.minimum(skin * 1.08, 255), soft=0.15, strength=0.8)
    for side in (-1, 1):
        canvas.fill(_ellipse(side * 0.48 * w, 0.42, 0.22, 0.16), np.minimum(skin * [1.1, 1.02, 1.0], 255), soft=0.1)
        canvas.fill(_ellipse(side * 0.38, -0.03, 0.26, 0.17), skin * 0.72, soft=0.07, strength=0.75)  # socket


def _eye(canvas: _Canvas, look: Look, side: int, shape: np.ndarray) -> None:
    x, half, opening = side * 0.38 * look.eyes, 0.19 * look.eyes, 0.088 * max(shape[3], 0.25)
    upper, lower = _arc(x - half, x + half, 0.01, -opening), _arc(x - half, x + half, 0.01, 0.01 + 0.75 * opening)
    canvas.fill(np.vstack([upper, lower[::-1]]), [238, 234, 230])
    iris = _ellipse(x, -0.005, 0.082, 0.082)
    inside = np.clip(iris[:, 1], np.interp(iris[:, 0], *upper.T), np.interp(iris[:, 0], *lower.T))
    canvas.fill(np.stack([iris[:, 0], inside], axis=1), look.iris)
    canvas.fill(_ellipse(x, 0.0, 0.038, min(0.038, 0.6 * opening)), [16, 12, 12])
    canvas.fill(_ellipse(x - 0.025, -0.02, 0.014, 0.014), [250, 250, 250])
    canvas.line(upper, 0.032, look.skin * 0.25, soft=0.004)
    canvas.line(upper - [0, 0.06], 0.018, look.skin * 0.6, soft=0.01, strength=0.7)  # fold of the lid
    canvas.line(lower, 0.012, look.skin * 0.55, soft=0.006, strength=0.8)


def _brow(canvas: _Canvas, look: Look, side: int, shape: np.ndarray) -> None:
    inner_up, outer_up, together = shape[:3]
    inner = np.array([0.17 - 0.06 * together, -0.25 - 0.085 * inner_up + 0.03 * together])
    outer = np.array([0.62, -0.25 - 0.085 * outer_up])
    u = np.linspace(0, 1, 15)[:, None]
    line = inner + (outer - inner) * u - [0, 0.055] * (4 * u * (1 - u)) ** 0.8
    colour = look.hair * 0.75
    canvas.line(line[:10] * [side, 1], 0.062 * look.brows, colour, soft=0.01)
    canvas.line(line[8:] * [side, 1], 0.04 * look.brows, colour, soft=0.01)
    if together > 0.4:
        crease = np.array([[0.06, -0.3], [0.05, -0.16]]) * [side, 1]
        canvas.line(crease, 0.02, look.skin * 0.6, soft=0.012, strength=min(together, 1.0))


def _nose(canvas: _Canvas, look: Look, shape: np.ndarray) -> None:
    up = 0.05 * max(shape[7], 0.0)
    tip = 0.46 * look.nose - up
    canvas.line([[0.0, -0.05], [0.0, tip - 0.08]], 0.1, np.minimum(look.skin * 1.1, 255), soft=0.04, strength=0.8)
    canvas.line([[0.09, 0.02], [0.12, tip - 0.06]], 0.03, look.skin * 0.72, soft=0.03, strength=0.7)
    canvas.line(_arc(-0.17, 0.17, tip - 0.04, tip + 0.04), 0.028, look.skin * 0.6, soft=0.015)
    for side in (-1, 1):
        canvas.fill(_ellipse(side * 0.075, tip + 0.005, 0.034, 0.02), look.skin * 0.35, soft=0.008)
        if shape[7] > 0.3:  # wrinkles beside the bridge
            for y in (0.06, 0.13, 0.2):
                wrinkle = [[side * 0.05, y], [side * 0.14, y - 0.05]]
                canvas.line(wrinkle, 0.018, look.skin * 0.6, soft=0.01, strength=min(shape[7], 1.0))
        cheek = np.array([[0.2, tip - 0.06], [0.34, tip + 0.14 - 0.04 * shape[4]]]) * [side, 1]
        deep = np.clip(0.25 + 0.5 * shape[4] + 0.6 * shape[7], 0.1, 1.0)
        canvas.line(cheek, 0.022, look.skin * 0.66, soft=0.015, strength=deep)


def _mouth(canvas: _Canvas, look: Look, shape: np.ndarray) -> None:
    curve, gape, wide, raised = shape[4], max(shape[5], 0.0), shape[6], max(shape[7], 0.0)
    half, y = 0.35 * wide, 0.80
    corner = y - 0.11 * curve
    middle = y + 0.07 * curve
    top, bottom = middle - 0.11 * gape - 0.05 * raised, middle + 0.24 * gape
    upper, lower = _arc(-half, half, corner, top), _arc(-half, half, corner, bottom)
    canvas.fill(np.vstack([upper - [0, 0.06], lower[::-1] + [0, 0.075]]), look.lips, soft=0.012)
    canvas.fill(np.vstack([upper, lower[::-1]]), [58, 22, 24], soft=0.004)
    if bottom - top > 0.05:
        teeth = np.stack([upper[3:-3, 0], np.minimum(upper[3:-3, 1] + 0.07, lower[3:-3, 1])], axis=1)
        canvas.fill(np.vstack([upper[3:-3], teeth[::-1]]), [236, 230, 220], soft=0.004)
    canvas.line(upper, 0.02, look.lips * 0.5, soft=0.006)
    canvas.fill(_ellipse(0, bottom + 0.15, 0.16, 0.03), look.skin * 0.75, soft=0.03, strength=0.7)


def _fringe(canvas: _Canvas, look: Look) -> None:
    w = look.width
    line = -0.58 if look.style == 2 else -0.72
    edge = _arc(-0.9 * w, 0.9 * w, -0.3, line - 0.08)
    canvas.fill(np.vstack([edge, _ellipse(0, -0.3, 0.98 * w, 0.92, 0, -180)]), look.hair, soft=0.012)


def _posed(rng: np.random.Generator, pixels: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """A little turned, nearer or farther, out of the middle, out of focus."""
    import cv2

    turn = cv2.getRotationMatrix2D((_DRAWN / 2, _DRAWN / 2), rng.normal(0, 4), rng.uniform(0.86, 1.04))
    turn[:, 2] += rng.normal(0, 8, 2)
    posed = cv2.warpAffine(pixels, turn, (_DRAWN, _DRAWN), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.GaussianBlur(posed, (0, 0), rng.uniform(0.6, 2.0))


def _lit(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Light from one side, brighter or darker, warmer or colder."""
    across = np.linspace(-1, 1, SIZE)[None, :, None] * rng.normal(0, 0.12)
    return picture * (1 + across) * rng.uniform(0.8, 1.12) * rng.normal(1, 0.025, 3)


def png(picture: np.ndarray) -> bytes:
    """PNG file of an RGB picture."""
    import cv2

    return cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes()
