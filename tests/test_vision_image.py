"""Colours and texture of whole pictures."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectlake.data.errors import NotApplicable
from affectlake.data.pictures import read_image
from affectlake.features import registry
from affectlake.features.image import _patterns
from affectlake.models.copies import LEAST

cv2 = pytest.importorskip("cv2")

IMAGE = ("image.color", "image.texture")


def values(name: str, picture: np.ndarray) -> pd.Series:
    extractor = registry.get(name)
    (row,) = extractor.extract([picture])
    return pd.Series(row, [c.name for c in extractor.columns])


def flat(colour: tuple[int, int, int], height: int = 40, width: int = 60) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def noise(seed: int = 0, height: int = 64, width: int = 96) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def stripes(period: int, upright: bool) -> np.ndarray:
    wave = (128 + 100 * np.sin(2 * np.pi * np.arange(128) / period)).astype(np.uint8)
    picture = np.repeat(np.tile(wave, (128, 1))[..., None], 3, axis=2)
    return picture if upright else picture.transpose(1, 0, 2).copy()


@pytest.mark.parametrize(
    "colour, hue", [((255, 0, 0), "red"), ((255, 128, 0), "orange"), ((255, 255, 0), "yellow"), ((0, 255, 0), "green"),
                    ((0, 255, 255), "cyan"), ((0, 0, 255), "blue"), ((150, 0, 255), "purple"), ((255, 0, 160), "pink")]
)  # fmt: skip
def test_hues_have_their_names(colour, hue):
    found = values("image.color", flat(colour))
    assert found[f"hue_{hue}"] == 1
    warm = hue in ("red", "orange", "yellow", "pink")
    assert (found["warm"], found["cool"]) == (float(warm), float(not warm))
    assert found["saturation_mean"] == pytest.approx(1) and found["hue_spread"] == pytest.approx(0, abs=1e-6)
    assert found["grey"] == 0


@pytest.mark.parametrize("level", [0, 127, 255])
def test_grey_has_no_colour(level):
    found = values("image.color", flat((level, level, level)))
    assert found["grey"] == 1 and found["colourfulness"] == pytest.approx(0, abs=1e-3)
    assert found["brightness"] == pytest.approx(level / 255, abs=1e-5)
    assert found[["warm", "cool", "contrast", "tinted", "hue_entropy"]].abs().max() < 1e-5


def test_colourfulness_is_that_of_the_paper():
    picture = noise()
    red, green, blue = (picture[..., i].astype(float) for i in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    expected = np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert values("image.color", picture)["colourfulness"] == pytest.approx(expected, rel=1e-4)


def test_light_has_a_place():
    picture = flat((20, 20, 20), 90, 90)
    picture[:30] = 240
    assert values("image.color", picture)["top_brightness"] == pytest.approx(220 / 255, abs=0.01)
    picture = flat((20, 20, 20), 80, 80)
    picture[20:60, 20:60] = 240
    assert values("image.color", picture)["centre_brightness"] == pytest.approx(220 / 255, abs=0.01)


@pytest.mark.parametrize("upright, expected", [(True, 0), (False, 4)])
def test_directions_of_edges(upright, expected):
    found = values("image.texture", stripes(16, upright))
    directions = found[[f"direction_{i}" for i in range(8)]].to_numpy()
    assert directions[expected] == pytest.approx(1, abs=1e-3)
    assert found["direction_entropy"] == pytest.approx(0, abs=1e-3)


def test_finer_texture_lies_in_finer_bands():
    def centre(period: int) -> float:
        bands = values("image.texture", stripes(period, True))[[f"band_{i}" for i in range(4)]].to_numpy()
        return float((bands * np.arange(4)).sum() / bands.sum())

    assert centre(3) < centre(8) < centre(24)


def test_a_flat_picture_has_no_texture():
    found = values("image.texture", flat((90, 120, 200)))
    assert (
        found[["gradient_mean", "edge_density", "log_sharpness", "entropy", "glcm_contrast_1", "glcm_entropy_1"]].max()
        == 0
    )
    assert found[["glcm_energy_1", "glcm_homogeneity_1", "glcm_correlation_1", "lbp_0"]].min() == 1


def test_noise_is_rougher_than_its_blur():
    import cv2

    rough, smooth = (values("image.texture", p) for p in (noise(), cv2.GaussianBlur(noise(), (0, 0), 3)))
    for column in ("gradient_mean", "edge_density", "log_sharpness", "glcm_contrast_1", "band_0"):
        assert rough[column] > smooth[column]
    assert smooth["glcm_correlation_1"] > rough["glcm_correlation_1"]


def test_a_mirrored_picture_has_the_same_symmetry():
    half = noise(width=48)
    assert values("image.texture", np.concatenate([half, half[:, ::-1]], axis=1))["symmetry"] == pytest.approx(
        1, abs=1e-4
    )
    picture = noise(3)
    there, mirrored = (values("image.texture", p)["symmetry"] for p in (picture, picture[:, ::-1].copy()))
    assert there == pytest.approx(mirrored, abs=1e-5)


def test_a_few_pixels_have_no_texture():
    (answer,) = registry.get("image.texture").extract([flat((1, 2, 3), 7, 300)])
    assert isinstance(answer, NotApplicable) and "300x7" in str(answer)


@settings(max_examples=25)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 255), st.integers(0, 2**16))
def test_values_are_finite_and_in_range(height, width, darkest, seed):
    picture = np.random.default_rng(seed).integers(darkest, 256, (height, width, 3), dtype=np.uint8)
    for name in IMAGE:
        extractor = registry.get(name)
        (row,) = extractor.extract([picture])
        if isinstance(row, NotApplicable):
            assert min(height, width) < 8
            continue
        assert np.isfinite(row).all()
        for column, value in zip(extractor.columns, row, strict=True):
            assert column.low - 1e-4 <= value <= column.high + 1e-4 * max(1.0, abs(value)), (column, value)


def test_uniform_patterns_are_counted_right():
    kinds = _patterns.rotated()
    assert np.bincount(kinds).tolist() == [1, 8, 8, 8, 8, 8, 8, 8, 1, 198]
    dot = np.zeros((3, 3))
    dot[1, 1] = 1
    assert kinds[_patterns.patterns(dot)[0, 0]] == 0 and kinds[_patterns.patterns(-dot)[0, 0]] == 8


def test_real_pictures(shared_data):
    paths = sorted((shared_data / "tweets_image_text").rglob("*.jpg"))[:60]
    rows = pd.DataFrame([pd.concat([values(name, read_image(p)) for name in IMAGE]) for p in paths])
    assert np.isfinite(rows.to_numpy()).all()
    constant = [c for c in rows if rows[c].nunique() == 1]
    assert not constant


# Fingerprints


@pytest.mark.parametrize(
    "change",
    [
        lambda p: cv2.imdecode(cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR),
        lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        lambda p: cv2.resize(p, None, fx=2, fy=2),
        lambda p: cv2.resize(p, (99, 99)),
        lambda p: np.clip(p * 1.2 + 15, 0, 255).astype(np.uint8),
        lambda p: cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
    ],
    ids=["jpeg", "half", "double", "square", "brighter", "grey"],
)
def test_a_copy_of_a_picture_keeps_its_fingerprint(change):
    pictures = [cv2.resize(noise(seed)[:12, :16], (160, 120), interpolation=cv2.INTER_CUBIC) for seed in range(6)]
    prints = np.stack(registry.get("image.fingerprint").extract(pictures))
    copied = np.stack(registry.get("image.fingerprint").extract([change(p) for p in pictures]))
    alike = prints @ copied.T
    assert alike.diagonal().min() > LEAST["image"] > alike[~np.eye(6, dtype=bool)].max() + 0.2


def test_an_even_picture_has_no_fingerprint():
    (found,) = registry.get("image.fingerprint").extract([flat((200, 200, 200))])
    assert "too even" in str(found)
