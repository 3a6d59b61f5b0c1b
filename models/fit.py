"""A fused model fitted on everything there is, to label what is new."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.models import benchmark, normalise, splits, training
from affectlake.models.training import Data, Early, Headed, Late, Settings, Unimodal


@dataclass(frozen=True)
class Answers:
    """What a model says about samples.

    Attributes
    ----------
    ids : list of str
    classes : tuple of str
        Empty for a quantity.
    fused : float array, shape=(n, classes)
    single : dict of modality to float array, shape=(n, classes)
        What each modality says alone; rows of NaN where a sample lacks it.
    """

    ids: list[str]
    classes: tuple[str, ...]
    fused: np.ndarray
    single: dict[str, np.ndarray]

    def to_rows(self) -> list[dict[str, Any]]:
        """Per sample: label, probabilities by class, and the same for each modality that it has."""
        rows = []
        for i in range(len(self.fused)):
            said = {m: self._one(p[i]) for m, p in self.single.items() if not np.isnan(p[i]).any()}
            rows.append(self._one(self.fused[i]) | {"modalities": said})
        return rows

    def _one(self, p: np.ndarray) -> dict[str, Any]:
        if not self.classes:
            return {"label": float(p[0]), "probabilities": {}}
        probabilities = {c: float(v) for c, v in zip(self.classes, p, strict=True)}
        return {"label": self.classes[int(p.argmax())], "probabilities": probabilities}


@dataclass(frozen=True)
class Fitted:
    """A model with everything that it needs, and a note of what it was made from.

    Attributes
    ----------
    label : str
    classes : tuple of str
    fusion, model : str, str or None
    columns : dict of modality to list of str
        Columns in the order of training.
    fingerprints : dict of extractor to str
        Of the features that it was trained on.
    single : dict of modality to Unimodal
    top : Early, Late, Headed or None
        What puts modalities together; None for a single one.
    settings : Settings
    card : dict
        Samples, speakers, versions: the model card.
    normalise : str
        What features are taken relative to, see `affectlake.models.normalise`.
    """

    label: str
    classes: tuple[str, ...]
    fusion: str
    model: str | None
    columns: dict[str, list[str]]
    fingerprints: dict[str, str]
    single: dict[str, Unimodal]
    top: Early | Late | Headed | None
    settings: Settings
    card: dict[str, Any] = field(default_factory=dict)
    normalise: str = "none"

    @property
    def extractors(self) -> list[str]:
        """Extractors whose columns the model reads, in alphabetical order."""
        return sorted({c.rsplit(".", c.count(".") - 1)[0] for cs in self.columns.values() for c in cs})

    def check(self, fingerprints: Mapping[str, str]) -> None:
        """Refuse features that are not those of the training.

        Raises
        ------
        AffectlakeError
            An extractor's version, parameters, weights or decoding is another one.
        """
        for name in self.extractors:
            if fingerprints.get(name) != self.fingerprints.get(name):
                raise AffectlakeError(
                    f"the model was trained on {name} with fingerprint {str(self.fingerprints.get(name))[:12]}, here "
                    f"it has {str(fingerprints.get(name))[:12]}: train again, or install the version of that time"
                )

    def predict(self, blocks: Mapping[str, pd.DataFrame], speakers: pd.Series | None = None) -> Answers:
        """Label samples.

        Parameters
        ----------
        blocks : mapping of modality to DataFrame [index=sample_id]
            Features by their full names; modalities may be absent, wholly or for some samples (NaN). All frames have
            the same index.
        speakers : Series [index=sample_id], optional
            Whose samples they are, for a model of features relative to their speaker: it takes what it is given here
            as all there is of a speaker. A model of features relative to their corpus takes it as the corpus.

        Raises
        ------
        UsageError
            The model takes features relative to their speaker, and a sample has none.
        UnknownName
            A column that the model reads is not there.
        """
        index = next((b.index for b in blocks.values()), pd.Index([]))
        arrays = {}
        for m, columns in self.columns.items():
            if m not in blocks:
                arrays[m] = np.full((len(index), len(columns)), np.nan, dtype=np.float32)
                continue
            for c in columns:
                if c not in blocks[m]:
                    raise UnknownName("column", c, blocks[m].columns)
            arrays[m] = blocks[m].reindex(index)[columns].to_numpy(dtype=np.float32)
        relative = self._relative(index, speakers)
        arrays = {m: normalise.normalised(x, relative) for m, x in arrays.items()}
        there = {m: training.present(x) for m, x in arrays.items()}
        said = {m: self.single[m].predict(x) for m, x in arrays.items()}
        if self.top is None:
            fused = said[next(iter(said))]
        elif isinstance(self.top, Late):
            fused = self.top.predict(said, there)
        else:
            fused = self.top.predict(arrays)
        single = {m: np.where(there[m][:, None], p, np.nan) for m, p in said.items()}
        return Answers([str(i) for i in index], self.classes, fused, single)

    def _relative(self, index: pd.Index, speakers: pd.Series | None) -> np.ndarray | None:
        about = pd.DataFrame({"dataset": "this"}, index=index)
        if speakers is not None:
            about["speaker"] = speakers.reindex(index)
        return normalise.groups(about, self.normalise) if len(index) else None


def fit(
    samples: pd.DataFrame,
    blocks: Mapping[str, pd.DataFrame],
    plan: benchmark.Plan,
    fusion: str,
    model: str | None,
    fingerprints: Mapping[str, str],
    card: Mapping[str, Any] | None = None,
) -> Fitted:
    """Fit one row of the benchmark on all samples.

    Parameters
    ----------
    samples, blocks, plan
        See `affectlake.models.benchmark.run`.
    fusion, model : str, str or None
        As in the row; the heads have no model.
    fingerprints : mapping of extractor to str
    card : mapping, optional
        Added to the model card.
    """
    target = benchmark.Target.of(samples[plan.label])
    settings = benchmark.settings_of(plan, target)
    relative = normalise.groups(samples, plan.normalise)
    arrays = {m: normalise.normalised(x, relative) for m, x in benchmark.aligned(samples, blocks).items()}
    data = Data(arrays, target.y, splits.groups(samples).to_numpy())
    names = tuple(data.blocks)
    # Whatever fuses them, each modality also answers for itself.
    single = {m: training.fit_unimodal(data, m, model or "logreg", settings, plan.calibrate, plan.inner) for m in names}
    top: Early | Late | Headed | None = None
    if fusion == "early":
        top = training.fit_early(data, names, model or "logreg", settings, plan.calibrate, plan.inner)
    elif fusion in benchmark.HEADS:
        top = training.fit_head(data, names, benchmark.HEADS[fusion], settings, plan.inner)
    elif fusion.startswith("late-"):
        base = training.prior(data.y, settings)
        oof = {m: u.oof for m, u in single.items()}
        there = {m: data.present(m) for m in names}
        top = training.fit_late(fusion.removeprefix("late-"), names, oof, there, data.y, base, settings.balanced)
    columns = {m: [str(c) for c in blocks[m].columns] for m in names}
    about = {"samples": len(samples), "speakers": int(samples["speaker"].nunique()) if "speaker" in samples else 0}
    about |= card or {}
    what = (plan.label, target.classes, fusion, model, columns)
    fitted = Fitted(*what, {}, single, top, settings, about, plan.normalise)
    made_of = {name: fingerprints[name] for name in fitted.extractors if name in fingerprints}
    return replace(fitted, fingerprints=made_of)
