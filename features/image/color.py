"""Colours of a picture: how bright, saturated, colourful, warm and varied it is, and where."""

from collections.abc import Mapping, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.image._measures import PictureMeasures
from affectlake.features.protocol import Column

INF = float("inf")
SIDE = 256
"""Pixels of the longest side that colours are measured on: they do not depend on finer detail."""

HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
HUE_STARTS = (-15.0, 15.0, 45.0, 70.0, 160.0, 200.0, 260.0, 300.0)  # degrees; pink ends where red begins
TINTED = 0.12  # saturation from which a colour has a hue that people name
BINS = 8

HSV = "HSV, Smith (1978)"
LAB = "CIE 1976 L*a*b*, D65"
VALDEZ = "Valdez & Mehrabian (1994)"
MACHAJDIK = "after Machajdik & Hanbury (2010)"

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def _moments(name: str, unit: str, low: float, high: float, what: str, source: str) -> list[Column]:
    return [
        Column(f"{name}_mean", unit, low, high, f"{what}, mean over pixels", source),
        Column(f"{name}_std", unit, 0.0, high - low, f"{what}, standard deviation over pixels", source),
        Column(f"{name}_skew", "1", -INF, INF, f"{what}, skewness over pixels (0 where all are equal)", source),
    ]


def _share(name: str, what: str, source: str) -> Column:
    return Column(name, "1", 0.0, 1.0, what, source)


def _columns() -> list[Column]:
    return [
        *_moments("saturation", "1", 0.0, 1.0, "Saturation", HSV),
        *_moments("value", "1", 0.0, 1.0, "Value (the brightest of red, green and blue)", HSV),
        *_moments("lightness", "1", 0.0, 100.0, "Lightness", LAB),
        *_moments("green_red", "1", -128.0, 128.0, "From green (negative) to red (positive)", LAB),
        *_moments("blue_yellow", "1", -128.0, 128.0, "From blue (negative) to yellow (positive)", LAB),
        Column("chroma", "1", 0.0, 182.0, "Distance from grey, mean over pixels", LAB),
        Column("colourfulness", "1", 0.0, INF, "How colourful the picture looks", "Hasler & Süsstrunk (2003), M^(3)"),
        Column("brightness", "1", 0.0, 1.0, "Luma, mean over pixels", "ITU-R BT.601"),
        Column("contrast", "1", 0.0, 0.5, "Luma, standard deviation over pixels (RMS contrast)", "Peli (1990)"),
        Column("range", "1", 0.0, 1.0, "Luma between its 5th and 95th percentile", "percentiles"),
        Column("pleasure", "1", -INF, INF, "Pleasure that brightness and saturation predict", VALDEZ),
        Column("arousal", "1", -INF, INF, "Arousal that brightness and saturation predict", VALDEZ),
        Column("dominance", "1", -INF, INF, "Dominance that brightness and saturation predict", VALDEZ),
        _share("dark", "Share of pixels with a luma below 0.2", "count over pixels"),
        _share("bright", "Share of pixels with a luma above 0.8", "count over pixels"),
        _share("tinted", f"Share of pixels with a saturation of {TINTED} and more", "count over pixels"),
        _share("warm", "Share of warm hues (red to yellow, pink), weighted by chroma", MACHAJDIK),
        _share("cool", "Share of cool hues (green to purple), weighted by chroma", MACHAJDIK),
        *(_share(f"hue_{name}", f"Share of {name} hues, weighted by chroma", HSV) for name in HUES),
        _share("hue_spread", "Circular variance of hue, weighted by chroma: 0 one hue, 1 all round", "Fisher (1993)"),
        _share("hue_entropy", "Entropy of the shares of hues over that of equal shares", "Shannon (1948)"),
        *(_share(f"luma_bin_{i}", f"Share of pixels with a luma in part {i + 1} of {BINS}", "histogram")
          for i in range(BINS)),
        Column("centre_brightness", "1", -1.0, 1.0, "Luma of the middle half less that of the rest", MACHAJDIK),
        Column("centre_saturation", "1", -1.0, 1.0, "Saturation of the middle half less that of the rest", MACHAJDIK),
        Column("top_brightness", "1", -1.0, 1.0, "Luma of the upper third less that of the lower third", MACHAJDIK),
        _share("grey", "1 where the picture has no colour, as in black and white", "max chroma < 4"),
        Column("log_pixels", "1", 0.0, INF, "Size of the decoded picture on a logarithmic scale", "ln(width x height)"),
        Column("log_aspect", "1", -INF, INF, "Shape: negative upright, positive across", "ln(width / height)"),
    ]  # fmt: skip


class Color(PictureMeasures):
    """See `affectlake.features.protocol.Extractor`; a formula for every column, nothing learned."""

    name = "image.color"
    version = "1"
    parameters: Mapping[str, object] = {"side": SIDE, "tinted": TINTED, "bins": BINS}
    columns: Sequence[Column] = tuple(_columns())
    cost = 5.0
    summary = "Brightness, contrast, colourfulness, hues, warm and cool shares of the picture"

    def measure(self, picture: np.ndarray) -> np.ndarray | NotApplicable:
        return _row(picture)


def _row(picture: np.ndarray) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    rgb = _small(picture).astype(np.float32) / 255
    hue, saturation, value = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV))
    lightness, a, b = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab))
    luma, chroma = rgb @ np.array(_GREY, np.float32), np.hypot(a, b)
    tinted = saturation >= TINTED
    hues = _hues(hue[tinted], chroma[tinted])
    dark, light = np.percentile(luma, [5, 95])
    shade, tint = float(value.mean()), float(saturation.mean())
    values = [
        *(m for channel in (saturation, value, lightness, a, b) for m in _moments_of(channel)),
        chroma.mean(),
        _colourfulness(255 * rgb),
        luma.mean(),
        luma.std(),
        light - dark,
        0.69 * shade + 0.22 * tint,
        -0.31 * shade + 0.60 * tint,
        -0.76 * shade + 0.32 * tint,
        (luma < 0.2).mean(),
        (luma > 0.8).mean(),
        tinted.mean(),
        hues[[0, 1, 2, 7]].sum(),
        hues[3:7].sum(),
        *hues,
        _circular_variance(hue[tinted], chroma[tinted]),
        -(hues[hues > 0] * np.log(hues[hues > 0])).sum() / np.log(len(hues)),
        *(np.histogram(luma, BINS, (0, 1 + 1e-6))[0] / luma.size),
        _centre_less_rest(luma),
        _centre_less_rest(saturation),
        _upper_less_lower(luma),
        float(chroma.max() < 4),
        np.log(width * height),
        np.log(width / height),
    ]
    return np.array(values, dtype=np.float32)


def _small(picture: np.ndarray) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _moments_of(channel: np.ndarray) -> tuple[float, float, float]:
    mean, std = float(channel.mean(dtype=np.float64)), float(channel.std(dtype=np.float64))
    # Rounding leaves a flat channel with a tiny spread, whose shape means nothing.
    if std <= 1e-4 * max(1.0, abs(mean)):
        return mean, std, 0.0
    z = (channel - mean) / std
    return mean, std, float((z * z * z).mean(dtype=np.float64))


def _colourfulness(rgb: np.ndarray) -> float:
    """M^(3) of Hasler & Süsstrunk (2003); about 0 for grey, 109 for extremely colourful."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    rg, yb = red - green, 0.5 * (red + green) - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def _hues(hue: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Shares of `HUES`; all 0 without any colour."""
    edges = np.array([*HUE_STARTS, 345.0]) + 15
    total = np.bincount(np.searchsorted(edges, (hue + 15) % 360, side="right") - 1, weight, len(HUES))
    return total / total.sum() if total.sum() > 0 else np.zeros(len(HUES))


def _circular_variance(hue: np.ndarray, weight: np.ndarray) -> float:
    if not weight.sum() > 0:
        return 0.0
    angle = np.radians(hue)
    return float(1 - np.hypot((weight * np.cos(angle)).sum(), (weight * np.sin(angle)).sum()) / weight.sum())


def _centre_less_rest(channel: np.ndarray) -> float:
    height, width = channel.shape
    inside = np.zeros(channel.shape, bool)
    inside[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return float(channel[inside].mean() - channel[~inside].mean()) if not inside.all() else 0.0


def _upper_less_lower(channel: np.ndarray) -> float:
    third = max(1, len(channel) // 3)
    return float(channel[:third].mean() - channel[-third:].mean())


extractor = Color()
