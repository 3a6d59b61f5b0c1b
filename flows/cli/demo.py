"""The command that shows everything on synthetic data."""

from pathlib import Path

from affectlake.flows.cli.options import PrefectOption
from affectlake.flows.cli.output import as_table, note


def demo(
    *, to: Path = Path("demo"), seed: int = 0, samples: int = 240, speakers: int = 12, prefect: PrefectOption = "auto"
) -> int:
    """Generate a synthetic corpus and run everything on it, up to the report.

    Parameters
    ----------
    to
        Folder for the corpus, the store, the model and the report.
    seed
        Seed of the corpus; the same seed gives the same bytes.
    samples
        Number of samples.
    speakers
        Number of synthetic speakers.
    prefect
        Run as Prefect flows: auto does where an API is configured, or a nightly service of the same account runs.
    """
    from affectlake.data.demo import make_demo
    from affectlake.data.store import Store
    from affectlake.flows.benchmark import BenchOptions
    from affectlake.flows.cli import bench, refresh
    from affectlake.flows.options import RefreshOptions
    from affectlake.flows.progress import to_stderr

    note(f"SYNTHETIC corpus of {samples} samples and {speakers} speakers in {to / 'corpus'}")
    with to_stderr()("making the corpus"):
        manifest = make_demo(to / "corpus", seed=seed, samples=samples, speakers=speakers)
    store = str(to / "lake")
    # The pictures are faces, so that what describes whole pictures has nothing to add.
    only = ("audio.*", "face.*", "text.*")
    refresh.refresh(RefreshOptions("demo", manifest=str(manifest), store=store, only=only), prefect=prefect)
    as_table(
        [
            {k: f[k] for k in ("sample_id", "extractor", "reason")}
            for f in Store(store).failures("demo").to_dict("records")
        ],
        title="quarantine (one file of the corpus is broken on purpose)",
    )
    as_table(_copies(store), title="duplicates (one sample is a copy on purpose; the benchmark leaves it out)")
    return bench.bench(
        BenchOptions("demo", "emotion", store=store, protocol="grouped", without_duplicates=True),
        prefect=prefect,
        save=to / "model",
        report=to / "report.html",
    )


def _copies(store: str) -> list[dict[str, str]]:
    """Samples whose sound or picture is the same, byte by byte."""
    from affectlake.data.store import Store

    contents = Store(store).contents("demo")
    kinds = {"sound": "audio.spectral", "picture": "face.expression"}
    return [
        {"the same": kind, "samples": ", ".join(rows.index)}
        for kind, extractor in kinds.items()
        for _, rows in contents.groupby(extractor)
        if len(rows) > 1
    ]
