"""Beyond the table: repeats, leaks shown beside fair scores, crossing corpora, hidden modalities, explanations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import UnknownName, UsageError
from affectlake.data.groups import RECORDING
from affectlake.models import copies, head, leakage, metrics, missing, normalise, transfer
from affectlake.models.benchmark import Plan, run
from affectlake.models.fit import fit
from affectlake.models.splits import Fold

N, SPEAKERS = 120, 8
QUICK = {"models": ("lda",), "folds": 3, "draws": 100}


def corpus(seed=0, shift=0.0, name="a"):
    """Samples of eight speakers, each with a voice of their own; audio tells of class b and c, face of class a.

    Half of the audio's columns say nothing.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, N)
    who = np.arange(N) % SPEAKERS
    ids = pd.Index([f"i{i}" for i in range(N)], name="sample_id")
    samples = pd.DataFrame(
        {
            "dataset": name,
            "speaker": [f"{name}{i}" for i in who],
            "emotion": np.array(list("abc"))[y],
            "arousal": y + rng.normal(scale=0.3, size=N),
        },
        index=ids,
    )
    audio = rng.normal(size=(N, 6))
    audio[:, 0] += 2.5 * (y == 1)
    audio[:, 1] += 2.5 * (y == 2)
    face = rng.normal(size=(N, 3))
    face[:, 0] += 2.5 * (y == 0)
    voice = 4 * np.random.default_rng(99).normal(size=(SPEAKERS, 6))[who]
    blocks = {
        "audio": frame(
            audio + shift + voice, ids, ["audio.loud.x", "audio.loud.y", *(f"audio.noise.n{i}" for i in "1234")]
        ),
        "face": frame(face + shift, ids, ["face.au.a", "face.au.b", "face.au.c"]),
    }
    return samples, blocks


def frame(x, ids, columns):
    return pd.DataFrame(np.asarray(x, dtype=np.float32), index=ids, columns=columns)


def best(result, fusion):
    return next(r for r in result.rows if r["fusion"] == fusion)


# Normalisation


def test_features_relative_to_a_speaker_have_no_mean_and_unit_variance_there():
    samples, blocks = corpus()
    who = normalise.groups(samples, "speaker")
    x = blocks["audio"].to_numpy(copy=True)
    x[0, 0], x[:, 3] = np.nan, 7.3
    out = normalise.normalised(x, who)
    for s in np.unique(who):
        np.testing.assert_allclose(np.nanmean(out[who == s], axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(np.nanstd(out[who == s], axis=0)[[0, 1, 2, 4, 5]], 1, atol=1e-5)
    assert np.isnan(out[0, 0]) and (out[:, 3] == 0).all()
    assert normalise.normalised(x, None) is x


def test_normalising_by_speaker_helps_where_voices_differ_and_is_marked():
    samples, blocks = corpus()
    plan = Plan("emotion", fusions=("early",), **QUICK)
    plain, relative = run(samples, blocks, plan), run(samples, blocks, replace(plan, normalise="speaker"))
    assert relative.rows[0]["uar"]["value"] > plain.rows[0]["uar"]["value"] + 0.1
    assert relative.about["transductive"] and not plain.about["transductive"]
    with pytest.raises(UsageError, match="every sample needs a speaker, 'i5' has none"):
        run(
            samples.assign(speaker=samples["speaker"].where(samples.index != "i5")),
            blocks,
            replace(plan, normalise="speaker"),
        )


def test_a_model_of_relative_features_asks_for_speakers(tmp_path):
    from affectlake.models.persistence import load, save

    samples, blocks = corpus()
    plan = Plan("emotion", normalise="speaker", **QUICK)
    fitted = load(save(fit(samples, blocks, plan, "early", "lda", {}), tmp_path / "m"))
    # a stranger's voice is another one altogether, but what is relative to it is not
    strange = {"audio": blocks["audio"] * 3 + 100, "face": blocks["face"]}
    said = fitted.predict(strange, samples["speaker"])
    np.testing.assert_allclose(said.fused, fitted.predict(blocks, samples["speaker"]).fused, atol=1e-4)
    for lacking in (None, samples["speaker"].where(samples.index != "i3")):
        with pytest.raises(UsageError, match="needs a speaker"):
            fitted.predict(blocks, lacking)


# Protocols


def test_a_random_split_is_shown_beside_the_grouped_one():
    samples, blocks = corpus()
    # the label goes with the speaker for the most part: who knows the speaker knows the label
    own = samples["speaker"].str[-1].astype(int) % 3
    told = np.where(np.arange(N) % 5 > 0, np.array(list("abc"))[own], samples["emotion"])
    plan = Plan("emotion", protocol="random", fusions=("unimodal", "early"), models=("knn",), folds=4, draws=100)
    found = run(samples.assign(emotion=told), blocks, plan)
    contrast = found.about["contrast"]
    assert (contrast["of"], contrast["against"]) == ("random", "grouped by speaker")
    assert [(r["fusion"], r["modalities"]) for r in contrast["rows"]] == [
        (r["fusion"], r["modalities"]) for r in found.rows
    ]
    first = contrast["rows"][0]
    assert first["gap"]["value"] == pytest.approx(first["value"]["value"] - first["against"]["value"])
    assert first["gap"]["value"] > 0.05 and first["gap"]["low"] < first["gap"]["value"]
    fair = run(samples.assign(emotion=told), blocks, replace(plan, protocol="grouped"))
    assert fair.about["contrast"] is None
    assert first["against"] == next(r for r in fair.rows if r["modalities"] == first["modalities"])["uar"]


def test_repeats_are_shown_one_by_one_and_pooled():
    samples, blocks = corpus()
    found = run(samples, blocks, Plan("emotion", fusions=("early",), repeats=3, **QUICK))
    row = found.rows[0]
    assert len(row["repeats"]) == 3 == found.about["repeats"] and len(set(row["repeats"])) > 1
    assert min(row["repeats"]) <= row["uar"]["value"] <= max(row["repeats"])
    each = found.predictions.groupby("repeat")["sample_id"].nunique()
    assert each.tolist() == [N, N, N] and found.about["folds"] == 3


def test_crossing_corpora():
    (a, a_blocks), (b, b_blocks) = corpus(0, name="a"), corpus(1, shift=3.0, name="b")
    b = b.assign(emotion=b["emotion"].replace("a", "z"))
    samples, blocks, about = transfer.together((a, a_blocks), {"b": (b, {"audio": b_blocks["audio"]})}, "emotion")
    assert set(blocks) == {"audio"} and about["left_out"] == {
        "a": (a["emotion"] == "a").sum(),
        "z": (b["emotion"] == "z").sum(),
    }
    assert samples.index.is_unique and about["trained"] + about["tested"] == len(samples)
    plan = Plan("emotion", protocol="cross-corpus", test_on="a", fusions=("unimodal",), **QUICK)
    found = run(samples, blocks, plan)
    assert found.about["n_tested"] == about["tested"] and found.predictions["sample_id"].isin(a.index).all()
    row = found.about["contrast"]["rows"][0]
    assert row["against"]["value"] > row["value"]["value"] + 0.1  # the shift is the corpus', not the classes'
    assert not found.about["leakage"]["leaks"]
    same = samples.assign(speaker=samples["speaker"].str[-1])
    assert run(same, blocks, plan).about["leakage"]["speakers"] == about["tested"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, b: (s.assign(emotion="other"), b), "share no class of 'emotion'"),
        (lambda s, b: (s, {"audio": b["audio"].add_prefix("other")}), "no column of features in common"),
    ],
)
def test_corpora_with_nothing_in_common(change, message):
    with pytest.raises(UsageError, match=message):
        transfer.together(corpus(), {"b": change(*corpus(1, name="b"))}, "emotion")


# Missing modalities


def test_what_is_hidden():
    _, blocks = corpus()
    arrays = {m: b.to_numpy(copy=True) for m, b in blocks.items()}
    arrays["face"][:30] = np.nan
    before = None
    for share in (0.1, 0.3, 0.4):
        out = missing.hidden(arrays, share, seed=3)
        there = np.column_stack([~np.isnan(out[m]).all(axis=1) for m in out])
        assert there.any(axis=1).all() and not there[:30, 1].any()
        assert 1 - there.sum() / (2 * N - 30) == pytest.approx(min(share, 90 / (2 * N - 30)), abs=0.01)
        assert before is None or not (there & ~before).any()
        before = there
    assert missing.shares(3) == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2, 2 / 3], abs=1e-4)


def test_the_curve_of_missing_modalities_falls():
    samples, blocks = corpus()
    fusions = ("unimodal", "early", "late-mean", "late-stacking", "dummy")
    plan = Plan("emotion", fusions=fusions, missing=True, normalise="speaker", **QUICK)
    found = run(samples, blocks, plan).about["missing"]
    curves = {(c["fusion"], *c["modalities"]): [p["value"] for p in c["points"]] for c in found["curves"]}
    both = ("audio", "face")
    assert set(curves) == {("unimodal", "audio"), ("unimodal", "face"), *((f, *both) for f in fusions[1:4])}
    for f in fusions[1:4]:
        values = curves[f, *both]
        assert len(values) == len(found["shares"]) == 5 and values[0] > values[-1] + 0.05
        # half gone: better than the class frequencies, and than a single modality that is half gone
        assert values[-1] > 0.36 and values[-1] > curves["unimodal", "face"][-1]
    with pytest.raises(UsageError, match="two or more"):
        run(samples, {"face": blocks["face"]}, plan)


# Explanations


@pytest.mark.parametrize("fusion", ["unimodal", "early", "late-product", "mlp-head"])
def test_importance_finds_the_columns_that_tell(fusion, monkeypatch):
    monkeypatch.setattr(head, "EPOCHS", 15)
    samples, blocks = corpus()
    blocks["audio"] = blocks["audio"].iloc[5:]
    plan = Plan("emotion", fusions=(fusion,), normalise="speaker", explain=True, **QUICK)
    found = run(samples, blocks, plan).about["importance"]
    assert found["row"]["fusion"] == fusion
    value = {r["name"]: r["value"] for k in ("modalities", "extractors", "columns") for r in found[k]}
    assert value["audio.loud"] > 0.1 > abs(value["audio.noise"])
    assert {r["name"] for r in found["columns"][:2]} <= {"audio.loud.x", "audio.loud.y", "face.au.a"}
    assert found["modalities"][0]["low"] > 0 and all(r["low"] <= r["value"] <= r["high"] for r in found["modalities"])


def test_gain_of_fusion_by_class():
    samples, blocks = corpus()
    found = run(samples, blocks, Plan("emotion", fusions=("unimodal", "early"), normalise="speaker", **QUICK)).about
    gain = found["fusion_gain"]
    assert gain["unimodal"]["modalities"] == ["audio"] and gain["overall"]["value"] > 0
    by = {c["label"]: c for c in gain["classes"]}
    assert by["a"]["value"] > 0 and by["a"]["low"] <= by["a"]["value"] <= by["a"]["high"]
    assert by["a"]["value"] == pytest.approx(by["a"]["fused"] - by["a"]["unimodal"])


def test_numbers_have_all_that_applies():
    found = run(
        *corpus(), Plan("arousal", fusions=("unimodal", "early", "dummy"), missing=True, explain=True, **QUICK)
    ).about
    assert found["fusion_gain"]["classes"] == [] and found["missing"]["curves"] and found["importance"]["columns"]
    assert found["per_speaker"][0]["low"] is None


# Statistics


def test_recalls_and_calibration_agree_with_scikit_learn():
    from scipy.stats import foldnorm
    from sklearn.metrics import brier_score_loss, recall_score

    rng = np.random.default_rng(0)
    truth, p = rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200)
    draws = metrics.Draws.of(np.arange(200) % 9)
    said = p.argmax(axis=1)
    np.testing.assert_allclose(metrics.recalls(truth, said, 4, draws)[0], recall_score(truth, said, average=None))
    # by hand, without one of the speakers
    rows = np.concatenate([np.flatnonzero(draws.group == g) for g in range(9) for _ in range(int(draws.weights[7, g]))])
    by_hand = recall_score(truth[rows], p[rows].argmax(axis=1), average=None)
    np.testing.assert_allclose(metrics.recalls(truth, said, 4, draws)[7], by_hand)
    found = metrics.classification(truth, p, draws)
    assert found["brier"][0] == pytest.approx(brier_score_loss(truth, p, scale_by_half=False))
    bins = np.minimum((p.max(axis=1) * 10).astype(int), 9)
    hit = p.argmax(axis=1) == truth
    gap = p.max(axis=1) - hit
    plain = sum(abs(gap[bins == b].sum()) for b in set(bins)) / 200
    # What chance adds to each bin: the mean of a folded normal of the gap and its spread over speakers, less the gap.
    added = 0.0
    for b in set(bins):
        mine = bins == b
        by_speaker = [(gap - gap[mine].mean())[mine & (draws.group == g)].sum() for g in set(draws.group[mine])]
        total, n = abs(gap[mine].sum()), len(by_speaker)
        spread = np.sqrt(np.sum(np.square(by_speaker)) * n / (n - 1)) if n > 1 else total
        added += foldnorm.mean(total / spread, scale=spread) - total
    assert found["ece"][0] == pytest.approx(plain - added / 200) and 0 < found["ece"][0] < plain


def test_corrections_and_intervals_agree_with_scipy_and_by_hand():
    from scipy.stats import false_discovery_control

    p = [0.001, 0.04, 0.03, 0.2, 0.011]
    holm = metrics.holm(p)
    assert holm == pytest.approx([0.005, 0.09, 0.09, 0.2, 0.044])
    assert all(h >= q for h, q in zip(holm, false_discovery_control(p), strict=True))  # Holm is the stricter
    low, high = metrics.share_interval(8, 10)
    assert low == pytest.approx(0.4901625, abs=1e-4) and high == pytest.approx(0.9433178, abs=1e-4)
    same = np.array([0.5, 0.4, 0.6, 0.5, 0.45, 0.55])
    assert metrics.paired_p(same, same) == 1.0 and metrics.paired_p(same[:4], same[:4]) is None


def test_differences_to_the_best_are_paired():
    samples, blocks = corpus()
    found = run(samples, blocks, Plan("emotion", fusions=("unimodal", "early", "dummy"), normalise="speaker", **QUICK))
    first, *others = found.rows
    assert first["difference"] is None and first["p_value"] is None
    for row in others:
        assert row["difference"]["value"] == pytest.approx(row["uar"]["value"] - first["uar"]["value"])
        assert (row["difference"]["high"] < 0) >= (row["p_value"] < 0.04)


# The leakage audit


def media(n=300, width=40):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, width)).astype(np.float32), pd.Index([f"i{i}" for i in range(n)])


def halves(n):
    return [Fold(np.arange(n // 2), np.arange(n // 2, n)), Fold(np.arange(n // 2, n), np.arange(n // 2))]


def test_a_copy_in_another_encoding_is_found():
    x, ids = media()
    x[200] = x[3] + 0.01 * x[4]
    x[10] = x[11]  # within one part: named, but no leak
    found = leakage.audit(pd.DataFrame(index=ids), halves(300), {"image": x})
    assert found["leaks"] and found["near_duplicates"] == 2
    said = " ".join(found["findings"])
    assert "i3 ~ i200" in said and "i10 ~ i11" in said and "such as i200 and i3" in said


def test_equal_bytes_are_named_once_and_coarse_features_raise_no_alarm():
    x, ids = media()
    x[200] = x[3]
    samples = pd.DataFrame({"content.image": [f"c{i}" for i in range(300)]}, index=ids)
    samples.loc[["i3", "i200"], "content.image"] = "same"
    found = leakage.audit(samples, halves(300), {"image": x})
    assert found["duplicates"] == 2 and found["near_duplicates"] == 0
    coarse = np.repeat(x[:150], 2, axis=0) + 1e-4 * x
    coarse[::3] = 5 * x[::3]
    found = leakage.audit(pd.DataFrame(index=ids), halves(300), {"image": coarse})
    assert not found["leaks"] and "too coarse" in found["findings"][0]
    assert found["not_searched"] == ["image"]
    narrow = leakage.audit(pd.DataFrame(index=ids), halves(300), {"image": np.round(x[:, :3])})
    assert narrow["not_searched"] == ["image"] and "3 columns" in narrow["findings"][0]


def test_one_word_more_less_or_other_is_found():
    texts = [f"{a} {b} {c} {a}{b} {c}{a}" for a, b, c in zip("abcdefghij", "klmnopqrst", "uvwxyzabcd", strict=True)]
    texts += [
        "I never said that to her",
        "i never said that to her once",
        "I NEVER said: that to him!",
        "never said it",
    ]
    found = leakage.audit(pd.DataFrame({"text": texts}, index=[f"i{i}" for i in range(14)]),
                          [Fold(np.array([10, *range(5)]), np.array([11, 12, 13, *range(5, 10)]))])  # fmt: skip
    assert found["near_texts"] == 2 and not found["leaks"]


def printed(n=260, kinds=20):
    """Samples with fingerprints, the last ``kinds`` of which are nearly those of the first."""
    rng = np.random.default_rng(0)
    prints = rng.normal(size=(n, 100))
    prints[n - kinds :] = prints[:kinds] + 0.05 * rng.normal(size=(kinds, 100))
    samples = pd.DataFrame({"emotion": "a"}, index=[f"i{i}" for i in range(n)])
    samples["content.audio"] = [f"c{i}" for i in range(n)]
    samples["print.audio"] = list(prints.astype(np.float32))
    return samples


def test_copies_are_found_by_fingerprints_however_coarse_the_features_are():
    samples = copies.found(printed())
    coarse = np.round(np.random.default_rng(1).normal(size=(260, 30)) / 5)
    found = leakage.audit(samples, halves(260), {"audio": coarse})
    assert found["leaks"] and found["near_duplicates"] == 40 and found["not_searched"] == []
    assert "20 set(s)" in found["findings"][0] and "i0 ~ i240" in found["findings"][0]


def test_what_has_no_fingerprint_is_told():
    samples = printed(kinds=0)
    samples.loc["i7", "print.audio"] = None
    assert "1 of 260 samples have no fingerprint" in leakage.audit(copies.found(samples), halves(260))["findings"][0]
    none = leakage.audit(copies.found(samples.assign(**{"print.audio": None})), halves(260))
    assert none["not_searched"] == ["audio"] and not none["leaks"]


def test_equal_bytes_are_not_counted_twice():
    samples = printed(kinds=1)
    samples.loc["i259", "content.audio"] = "c0"
    found = leakage.audit(copies.found(samples), halves(260))
    assert found["duplicates"] == 2 and found["near_duplicates"] == 0


def test_without_duplicates_one_of_each_group_stays():
    samples = copies.found(printed())
    samples.loc["i241", "emotion"] = "b"
    samples.loc["i100", "content.audio"] = "c240"
    kept, left_out = copies.without(samples, ["emotion"])
    assert left_out.dropped == 21 and len(kept) == 239 and left_out.labels_differ == 1
    assert left_out.groups[0] == ["i0", "i100", "i240"] and "i240" not in kept.index and "i0" in kept.index
    again, nothing = copies.without(kept, ["emotion"])
    assert len(again) == 239 and nothing == copies.LeftOut(0, [], 0)


def test_groups_of_copies_join_and_equal_ones_are_no_load():
    x = np.eye(600, 40, dtype=np.float32) + np.eye(600, 40, -40, dtype=np.float32)
    x[80:] = 1.0
    found = copies.groups(x, 0.99)
    assert (found[80:] == 80).all() and found[:80].tolist() == list(range(40)) * 2
    chain = np.column_stack([np.cos(np.arange(5) / 10), np.sin(np.arange(5) / 10)])
    assert copies.groups(chain, 0.99).tolist() == [0] * 5
    assert copies.groups(np.full((3, 4), np.nan), 0.9).tolist() == [-1] * 3


def test_nearly_equal_texts_and_shared_recordings_are_found():
    texts = [f"number {i} is said in a long sentence with words {i * 7} of no worth {i * i}" for i in range(40)]
    texts[30] = "we really should go home now before it gets dark and cold outside"
    texts[2] = "We really should go home now, before it gets dark and cold!"
    texts[5] = texts[35] = "Yes."
    samples = pd.DataFrame(
        {"text": texts, RECORDING: ["tape"] + [None] * 38 + ["tape"]}, index=[f"i{i}" for i in range(40)]
    )
    found = leakage.audit(samples, halves(40))
    assert found["near_texts"] == 2 and found["texts"] == 2 and found["recordings"] == 2 and found["leaks"]
    assert "such as i30 and i2" in " ".join(found["findings"])


def test_ravdess_holds_one_true_duplicate(shared_data):
    """By the imported Action Units as well as by the sound: both name actor 07's pair and nothing else."""
    table = pd.read_parquet(shared_data / "ravdess_au_mfcc" / "ravdess_au35_mfcc259.parquet").set_index("sample_id")
    mfcc = table[[c for c in table if "mfcc" in c.lower()]].to_numpy(dtype=np.float32)
    actor = table.index.str[-2:]
    folds = [Fold(np.flatnonzero(actor != a), np.flatnonzero(actor == a)) for a in ("07", "08")]
    found = leakage.audit(pd.DataFrame({"speaker": actor}, index=table.index), folds, {"audio": mfcc})
    assert not found["leaks"] and len(found["findings"]) == 1
    assert "01-01-03-01-02-01-07 ~ 01-01-03-01-02-02-07" in found["findings"][0]


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [({"normalise": "speeker"}, "did you mean 'speaker'"), ({"protocol": "cross-corpus"}, "unknown protocol")],
)
def test_bad_plans_say_what_is_wrong(change, message):
    with pytest.raises(UnknownName, match=message):
        Plan("emotion", **change)
