"""A fused model fitted on everything there is, to label what is new."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.models import benchmark, calibration, normalise, splits, training
from affectlake.models.bounds import Bounds, bounds
from affectlake.models.document import AnswerOfAll
from affectlake.models.early import View, present
from affectlake.models.member import Settings
from affectlake.models.tasks import TASKS, Target, metric_of, target_of
from affectlake.models.training import Data, Early, HeadFusion, Late, Unimodal


@dataclass(frozen=True)
class Answers:
    """What a model says about samples.

    Attributes
    ----------
    ids : list of str
    target : Target
        Task and classes; there is no truth.
    fused : float array, shape=(n, outputs)
    single : dict of modality to float array, shape=(n, outputs)
        What each modality says alone; rows of NaN where a sample lacks it.
    far : dict of modality to bool array, shape=(n,)
        Whose features lie far from those of the training, so that nothing vouches for what the model says.
    cuts : float array, shape=(outputs,), or None
        Thresholds or divisors of probabilities, see `affectlake.models.tasks.Task`.
    priors : pair of float array, shape=(classes,), or None
        The frequencies of the training and those at which probabilities are to be shown; None: the training's.
    bounds : Bounds or None
        From which probability on classes count and answers are given, at the training's frequencies.
    """

    ids: list[str]
    target: Target
    fused: np.ndarray
    single: dict[str, np.ndarray]
    far: dict[str, np.ndarray]
    cuts: np.ndarray | None = None
    priors: tuple[np.ndarray, np.ndarray] | None = None
    bounds: Bounds | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty for quantities."""
        return self.target.classes

    def to_rows(self) -> list[AnswerOfAll]:
        """Per sample: label, probabilities by class, the same for each modality that it has, and which are far.

        Of what lies far nothing is promised: there is no set, and no answer that the model would rather give.
        """
        task = self.target.task
        decided = {m: task.decide(self.target, np.nan_to_num(p), self.cuts) for m, p in self._all().items()}
        shown = {m: p if self.priors is None else calibration.at_prior(p, *self.priors) for m, p in self._all().items()}
        sets = None if self.bounds is None else self.bounds.prediction_sets(self.fused)
        abstains = None if self.bounds is None else self.bounds.abstains(self.fused, decided[""])
        rows: list[AnswerOfAll] = []
        for i in range(len(self.fused)):
            said = {
                m: task.describe(self.target, shown[m][i], decided[m][i])
                for m, p in self.single.items()
                if not np.isnan(p[i]).any()
            }
            far = [m for m, f in self.far.items() if f[i]]
            rows.append(
                {
                    **task.describe(self.target, shown[""][i], decided[""][i]),
                    "modalities": said,
                    "far": far,
                    "prediction_set": None if sets is None or far else self._named(sets[i]),
                    "abstain": None if abstains is None else bool(far) or bool(abstains[i]),
                }
            )
        return rows

    def _named(self, inside: np.ndarray) -> list[str]:
        return [c for c, there in zip(self.classes, inside, strict=True) if there]

    def _all(self) -> dict[str, np.ndarray]:
        return {"": self.fused, **self.single}


@dataclass(frozen=True)
class Machine:
    """What answers one of the label's problems.

    Attributes
    ----------
    single : dict of modality to Unimodal
    top : Early, Late, HeadFusion or None
        What puts modalities together; None for a single one.
    settings : Settings
    """

    single: dict[str, Unimodal]
    top: Early | Late | HeadFusion | None
    settings: Settings

    def views(self, arrays: Mapping[str, np.ndarray]) -> dict[str, View]:
        """Each modality as its model takes it."""
        return {m: View(self.single[m].block, x) for m, x in arrays.items()}

    def predict(self, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Fused answers [shape=(n, classes)], and those of each modality."""
        said = {m: self.single[m].predict(view) for m, view in self.views(arrays).items()}
        if self.top is None:
            return said[next(iter(said))], said
        if isinstance(self.top, Late):
            return self.top.predict(said, {m: present(x) for m, x in arrays.items()}), said
        return self.top.predict(arrays), said


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
    machines : tuple of Machine
        One for each of the label's problems.
    card : dict
        Samples, speakers, versions: the model card.
    normalise : str
        What features are taken relative to, see `affectlake.models.normalise`.
    task : str
        See `affectlake.models.tasks`.
    outputs : tuple of str
        Names of quantities.
    cuts : float array, shape=(outputs,), or None
        Thresholds of probabilities, from inner folds.
    shown : float array, shape=(classes,), or None
        Frequencies of classes at which probabilities are shown; None: the training's.
    bounds : Bounds or None
        What it promises of its answers; None in a file of before.
    """

    label: str
    classes: tuple[str, ...]
    fusion: str
    model: str | None
    columns: dict[str, list[str]]
    fingerprints: dict[str, str]
    machines: tuple[Machine, ...]
    card: dict[str, Any] = field(default_factory=dict)
    normalise: str = "none"
    task: str = "class"
    outputs: tuple[str, ...] = ()
    cuts: np.ndarray | None = None
    shown: np.ndarray | None = None
    bounds: Bounds | None = None

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
        there = {m: present(x) for m, x in arrays.items()}
        fused, single = zip(*(machine.predict(arrays) for machine in self.machines), strict=True)
        target = Target(TASKS[self.task], np.empty(0), self.classes, self.outputs)
        alone = {
            m: np.where(there[m][:, None], target.task.combine([s[m] for s in single]), np.nan) for m in self.columns
        }
        far = {m: view.far for m, view in self.machines[0].views(arrays).items()}
        answers = target.task.combine(fused)
        rest = (self.cuts, self._priors(), self.bounds)
        return Answers([str(i) for i in index], target, answers, alone, far, *rest)

    def _priors(self) -> tuple[np.ndarray, np.ndarray] | None:
        prior = next(iter(self.machines[0].single.values())).prior
        return None if self.shown is None else (prior, self.shown)

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
    target = target_of(samples[list(plan.labels)], plan.task)
    relative = normalise.groups(samples, plan.normalise)
    arrays = {m: normalise.normalised(x, relative) for m, x in benchmark.aligned(samples, blocks).items()}
    groups = splits.groups(samples, plan.group_by, plan.copies_together).to_numpy()
    machines, inner = [], []
    for problem in target.problems:
        copies = {m: np.repeat(x, problem.copies, axis=0) for m, x in arrays.items()}
        data = Data(copies, problem.y, np.repeat(groups, problem.copies))
        settings = benchmark.settings_of(plan, target, problem)
        machine, said = _machine(data, plan, fusion, model, settings)
        machines.append(machine)
        inner.append(said[:: problem.copies])
    oof = target.task.combine(inner)
    cuts = target.task.cuts(target.y, oof, metric_of(target, plan.metric))
    folds = splits.inner_folds(groups, target.strata, plan.inner, plan.seed)
    unit = splits.unit(samples, plan.group_by, plan.copies_together)
    promised = bounds(target, oof, target.task.decide(target, oof, cuts), groups, folds, unit)
    columns = {m: [str(c) for c in blocks[m].columns] for m in arrays}
    about = {"samples": len(samples), "speakers": int(samples["speaker"].nunique()) if "speaker" in samples else 0}
    about |= card or {}
    what = (plan.labelled, target.classes, fusion, model, columns)
    shown = None if plan.prior == "training" else calibration.prior_of(plan.prior, target.classes)
    task = (target.task.name, target.outputs, cuts, shown, promised)
    fitted = Fitted(*what, {}, tuple(machines), about, plan.normalise, *task)
    made_of = {name: fingerprints[name] for name in fitted.extractors if name in fingerprints}
    return replace(fitted, fingerprints=made_of)


def _machine(
    data: Data, plan: benchmark.Plan, fusion: str, model: str | None, settings: Settings
) -> tuple[Machine, np.ndarray]:
    """A row fitted for one problem, and its out-of-fold answers about the samples [shape=(n, classes)]."""
    names = tuple(data.blocks)
    # Whatever fuses them, each modality also answers for itself.
    single = {m: training.fit_unimodal(data, m, model or "logreg", settings, plan.calibrate, plan.inner) for m in names}
    oof = {m: u.oof for m, u in single.items()}
    top: Early | Late | HeadFusion | None = None
    if fusion == "early":
        top = training.fit_early(data, names, model or "logreg", settings, plan.calibrate, plan.inner)
    elif fusion in benchmark.HEADS:
        top = training.fit_head(data, names, benchmark.HEADS[fusion], settings, plan.inner)
    elif fusion.startswith("late-"):
        there = {m: data.present(m) for m in names}
        informed, method = {m: u.known for m, u in single.items()}, fusion.removeprefix("late-")
        top = training.fit_late(method, names, oof, there, informed, data, settings, plan.inner)
    return Machine(single, top, settings), oof[names[0]] if top is None else np.asarray(top.oof)
