"""Copies are looked for without comparing every pair: the answers are those of comparing every pair."""

import tracemalloc
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from affectlake.models import copies, leakage, near
from affectlake.models.splits import Fold

shapes = st.tuples(st.integers(3, 120), st.integers(1, 40), st.integers(0, 10**6))


def clustered(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Rows around a few others, some of them equal."""
    centres = rng.normal(size=(max(1, n // 6), d))
    x = centres[rng.integers(0, len(centres), n)] + rng.choice([0.0, 0.02, 0.3], n)[:, None] * rng.normal(size=(n, d))
    return x.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(shapes, st.floats(0.0, 3.0), st.sampled_from([1, 7, 40]), st.sampled_from([1, 5, 200]))
def test_every_near_pair_is_met_once(shape, radius, box, others):
    n, d, seed = shape
    x = clustered(np.random.default_rng(seed), n, d)
    met = np.zeros((n, n), dtype=int)
    with patch.object(near, "BOX", box), patch.object(near, "OTHERS", others):
        for rows, beside in near.blocks(x, radius):
            assert len(rows) <= box and len(beside) <= max(box, others)
            met[np.ix_(rows, beside)] += 1
            if rows is not beside:
                met[np.ix_(beside, rows)] += 1
    distance = np.linalg.norm(x[:, None].astype(float) - x, axis=2)
    assert (met <= 1).all() and met[distance <= radius].all() and met.diagonal().all()


@settings(max_examples=60, deadline=None)
@given(shapes, st.sampled_from([0.5, 0.85, 0.985, 1.0]))
def test_groups_are_those_of_all_pairs(shape, least):
    n, d, seed = shape
    rng = np.random.default_rng(seed)
    x = clustered(rng, n, d)
    x[rng.random(n) < 0.1] = np.nan
    with patch.object(near, "BOX", 9), patch.object(copies, "_EDGES", 20):
        found = copies.groups(x, least)
    rows = np.flatnonzero(~np.isnan(x).any(axis=1))
    unit = x[rows].astype(float) / np.linalg.norm(x[rows].astype(float), axis=1, keepdims=True)
    cosines = unit @ unit.T
    if (np.abs(cosines - least)[~np.eye(len(rows), dtype=bool)] < 1e-5).any():
        return  # rounding decides
    expected = np.full(n, -1)
    _, joined = connected_components(cosines >= least, directed=False)
    for group in range(joined.max(initial=-1) + 1):
        members = rows[joined == group]
        if len(members) > 1:
            expected[members] = members[0]
    assert found.tolist() == expected.tolist()


def by_brute_force(x: np.ndarray, same: np.ndarray, folds: list[Fold]):
    """Tested samples nearly equal to one trained on, and how many samples have a twin at all."""
    known = ~np.isnan(x)
    mean = np.nanmean(x.astype(float), axis=0)
    deviation = np.nanstd(x.astype(float), axis=0)
    z = np.clip(np.where(known, x - mean, 0) / np.where(deviation > 0, deviation, 1), -5, 5)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(z)
    radius = leakage.NEAR * float(np.median(search.kneighbors()[0]))
    pairs = {
        (i, int(j))
        for i, js in enumerate(search.radius_neighbors(z, radius, return_distance=False))
        for j in js
        if i != j and same[i] != same[j] and radius
    }
    hit = sum(len({i for i, j in pairs if i in set(f.test) and j in set(f.train)}) for f in folds)
    return hit, len({i for i, _ in pairs})


@settings(max_examples=40, deadline=None)
@given(st.integers(60, 200), st.integers(20, 60), st.integers(0, 6), st.integers(0, 10**6))
def test_near_duplicates_are_those_of_all_pairs(n, d, planted, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[rng.random(x.shape) < 0.02] = np.nan
    source, copy = rng.integers(0, n, planted), rng.integers(0, n, planted)
    for i, j in zip(source, copy, strict=True):
        x[j] = x[i] + rng.choice([0.0, 1e-3, 5.0]) * rng.normal(size=d)
    same = np.array([f"c{i}" for i in range(n)], dtype=object)
    same[copy[:2]] = same[source[:2]]
    half = n // 2
    folds = [Fold(np.arange(half), np.arange(half, n)), Fold(np.arange(half, n), np.arange(half))]
    ids = pd.Index([f"i{i}" for i in range(n)])
    samples = pd.DataFrame({"content.image": same}, index=ids)
    with patch.object(near, "BOX", 16), patch.object(leakage, "_PAIRS", 3):
        found = leakage.audit(samples, folds, {"image": x})
    hit, alike = by_brute_force(x, same, folds)
    if alike > leakage.COARSE * n:
        assert found["not_searched"] == ["image"] and "too coarse" in " ".join(found["findings"])
    else:
        assert found["near_duplicates"] == hit and found["not_searched"] == []
        assert (f"{alike} samples have nearly the same" in " ".join(found["findings"])) == (alike > 0)


def test_of_many_the_usual_distance_is_told_by_some():
    x = np.random.default_rng(0).normal(size=(3000, 24)).astype(np.float32)
    every = leakage._usual_distance(x)
    with patch.object(leakage, "_USUAL", 500):
        assert leakage._usual_distance(x) == pytest.approx(every, rel=0.03)


def test_most_pairs_are_not_compared_where_rows_have_a_shape():
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(20_000, 8)) @ rng.normal(size=(8, 64)) + 0.1 * rng.normal(size=(20_000, 64))).astype("f4")
    compared = sum(len(rows) * len(others) for rows, others in near.blocks(x, 3.0))
    assert compared < 0.05 * len(x) ** 2


def test_memory_is_bounded_where_all_are_alike():
    rng = np.random.default_rng(2)
    x = (1 + 1e-3 * rng.normal(size=(12_000, 32))).astype(np.float32)
    tracemalloc.start()
    found = copies.groups(x, 0.985)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All pairs are alike: written down at once they would be 2.3 GB.
    assert (found == 0).all() and peak < 300 * 2**20
