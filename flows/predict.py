"""Labels new media with a saved model: the same extractors, the same fingerprints, no store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.features import registry, settings
from affectlake.flows.refresh import RefreshOptions, run_here

SUFFIXES = {
    "audio": {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff", ".aif", ".wma"},
    "video": {".mp4", ".mov", ".mkv", ".avi", ".webm", ".flv", ".m4v", ".mpg", ".mpeg"},
    "image": {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"},
}


@dataclass(frozen=True)
class Prediction:
    """Result of `predict`.

    Attributes
    ----------
    rows : list of dict
        Per sample: sample_id, label, probabilities (class to number), modalities (what each alone said: label and
        probabilities), uri.
    failures : list of dict
        sample_id, extractor, reason of what could not be read.
    """

    rows: list[dict[str, Any]]
    failures: list[dict[str, Any]]


def predict(
    model: Path, files: Sequence[str], manifest: str | None = None, text: str | None = None, workers: int = 1
) -> Prediction:
    """Label media files or the samples of a manifest, in their order.

    Raises
    ------
    UsageError
        Neither files nor a manifest, or a file of a kind that is not known.
    BadModel
        The model file is corrupt or hostile.
    AffectlakeError
        The extractors here are not those that the model was trained with, or no sample could be read at all.
    """
    from affectlake.models.persistence import load

    fitted = load(model)
    with settings.use(settings.parsed(fitted.card.get("settings", {}))):
        return _predict(fitted, _samples(files, manifest, text), workers)


def _predict(fitted, samples, workers: int) -> Prediction:
    import pandas as pd

    from affectlake.features.plan import plan
    from affectlake.features.scan import media_uris, scan

    chosen = [_extractor(name) for name in fitted.extractors]
    stats = scan(media_uris(samples), pd.DataFrame())
    work = plan(samples, stats, chosen, lambda name, fingerprint: pd.DataFrame({"content": [], "outcome": []}))
    fitted.check(work.fingerprints)
    computed: dict[str, list] = {}
    for tables in run_here(work.shards, RefreshOptions("predict", workers=workers)):
        for name, results in tables.items():
            computed.setdefault(name, []).append(results.to_pandas())
    blocks, failures = _blocks(work, computed)
    if not blocks:
        raise AffectlakeError(f"nothing could be read of {len(samples)} sample(s): {_first(failures)}")
    said = fitted.predict({m: b.reindex(samples["sample_id"]) for m, b in blocks.items()})
    uris = samples["audio"].fillna(samples["video"]).fillna(samples["image"])
    rows = [
        {"sample_id": i, "uri": None if pd.isna(u) else u} | row
        for i, u, row in zip(samples["sample_id"], uris, said.to_rows(), strict=True)
    ]
    return Prediction(rows, failures)


def _samples(files: Sequence[str], manifest: str | None, text: str | None):
    import pandas as pd

    from affectlake.data.manifest import read_manifest
    from affectlake.data.samples import samples_frame

    if (manifest is None) == (not files):
        raise UsageError("name what to label: either files or --manifest FILE")
    if manifest is not None:
        return read_manifest(manifest, "predict")
    if text is not None and len(files) > 1:
        raise UsageError(f"--text goes with one file, not {len(files)}; for more, write a manifest")
    rows = []
    for i, file in enumerate(files):
        rows.append({"sample_id": f"{i}:{Path(file).name}" if len(files) > 1 else Path(file).name, _kind(file): file})
    frame = pd.DataFrame(rows)
    if text is not None:
        frame["text"] = text
    return samples_frame(frame, "predict", base=Path.cwd())


def _kind(file: str) -> str:
    if Path(file).is_dir():
        return "video"
    suffix = Path(file).suffix.lower()
    for kind, suffixes in SUFFIXES.items():
        if suffix in suffixes:
            return kind
    known = ", ".join(sorted(s for suffixes in SUFFIXES.values() for s in suffixes))
    raise UsageError(f"{file}: no kind of media is known by {suffix or 'no suffix'!r}; known are {known}")


def _extractor(name: str):
    if name not in registry.extractors():
        raise AffectlakeError(
            f"the model reads {name}, for which there is no extractor here: features that were brought in by `put` "
            "cannot be computed from media; bench with --features that can"
        )
    extractor = registry.get(name)
    reason = registry.unavailable(extractor)
    if reason:
        raise AffectlakeError(f"the model needs {name}, which is not available here: it {reason}")
    return extractor


def _blocks(work, computed) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    import pandas as pd

    blocks: dict[str, list] = {}
    failures = []
    for name, parts in computed.items():
        results = pd.concat(parts, ignore_index=True).drop_duplicates("content").set_index("content")
        wanted = work.wanted[name].set_index("sample_id")
        rows = results.reindex(wanted["content"]).set_axis(wanted.index)
        failures += [
            {"sample_id": i, "extractor": name, "reason": reason}
            for i, reason in rows.loc[rows["outcome"] != "ok", "reason"].items()
        ]
        values = rows[rows["outcome"] == "ok"].drop(columns=["outcome", "reason"]).add_prefix(f"{name}.")
        if len(values):
            blocks.setdefault(name.split(".", 1)[0], []).append(values)
    return {m: pd.concat(parts, axis=1) for m, parts in blocks.items()}, failures


def _first(failures: list[dict[str, Any]]) -> str:
    return f"{failures[0]['sample_id']}: {failures[0]['reason']}" if failures else "no modality that the model knows"
