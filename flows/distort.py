"""Sound of some tested samples, spoiled and extracted anew by the extractors and settings of the store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.progress import Progress
from affectlake.features import extraction, registry, settings
from affectlake.features.inputs import decoding
from affectlake.features.protocol import Extractor, fingerprint

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.data.store import Snapshot, Store
    from affectlake.models.distortion import Distorted

SAMPLES = 300
"""Tested samples whose sound is spoiled at most."""

SETTING = "audio.distort"


def check(distortions: Sequence[str], normalise: str) -> None:
    """Raises UsageError for a distortion that there is not, or that means nothing with relative features."""
    for how in distortions:
        if not how.strip():
            raise UsageError(f"--distort cannot be {how!r}: expected {settings.SETTINGS[SETTING].valid}")
        settings.parsed([f"{SETTING}={how}"])
    if normalise != "none":
        raise UsageError(
            f"--distort with --normalise {normalise}: what is relative to clean and spoiled sound together is neither"
        )


@dataclass(frozen=True)
class Sounds:
    """Sound features of a dataset, as a benchmark takes them.

    Attributes
    ----------
    store : Store
    dataset : str
    snapshot : Snapshot
    given : mapping
        Settings by which the snapshot's media were read.
    block : DataFrame [index=sample_id]
        Features by their full names.
    """

    store: "Store"
    dataset: str
    snapshot: "Snapshot"
    given: Mapping[str, settings.Value]
    block: "pd.DataFrame"

    def distorted(
        self, tested: "pd.Index", distortions: Sequence[str], seed: int, workers: int, progress: Progress
    ) -> "Distorted":
        """Features of at most `SAMPLES` tested samples by each distortion; see `affectlake.models.benchmark.run`.

        Raises
        ------
        UsageError
            No extractor computes any of the features.
        AffectlakeError
            An extractor cannot run here or is not the one that the store's features are of, or no medium can be read.
        """
        from affectlake.features.workers import Workers
        from affectlake.models.distortion import Distorted

        chosen = self._extractors({str(c).rsplit(".", 1)[0] for c in self.block})
        rows = self._drawn(tested, seed)
        spoiled = {}
        with Workers(workers, extractors=[e.name for e in chosen]) as pool:
            for how in dict.fromkeys(distortions):
                spoilt = {**self.given, **settings.parsed([f"{SETTING}={how}"])}
                with settings.use(spoilt), progress(f"spoiling, {how}") as report:
                    _, values, _ = extraction.computed(rows, chosen, extraction.counted(pool.run, report))
                spoiled[how] = {"audio": self._anew(rows["sample_id"].tolist(), values)}
        return Distorted(self.block.index[self.block.index.isin(rows["sample_id"])], spoiled)

    def _anew(self, ids: list[str], values: Mapping[str, "pd.DataFrame"]) -> "pd.DataFrame":
        """The samples' features with what was computed anew; what was put in stays as it is, as nobody can."""
        frame = self.block.reindex(ids).copy()
        for name, table in values.items():
            mine = frame.columns[frame.columns.str.startswith(f"{name}.")]
            frame[mine] = table.reindex(index=ids, columns=mine)
        return frame

    def _extractors(self, names: Iterable[str]) -> list[Extractor]:
        """Those of these that can be computed, each the same as the store's."""
        names = sorted(names)
        chosen = [registry.get(n) for n in names if n in registry.extractors()]
        if not chosen:
            raise UsageError(f"--distort: {', '.join(names)} was put in, there is no extractor to compute it anew")
        for extractor in chosen:
            if reason := registry.unavailable(extractor):
                raise AffectlakeError(f"--distort needs {extractor.name}, which is not available here: {reason}")
            with settings.use(self.given):
                here = fingerprint(extractor, decoding(extractor.reads))
            if here != self.snapshot.features[extractor.name].fingerprint:
                raise AffectlakeError(
                    f"--distort: {extractor.name} here is another one than the store's: refresh first"
                )
        return chosen

    def _drawn(self, tested: "pd.Index", seed: int) -> "pd.DataFrame":
        """Some of the tested samples whose media are still what was extracted, in normal form.

        Of files that are gone or have changed others are taken, as long as there are any.
        """
        import pandas as pd

        rows = self.store.samples(self.dataset, as_of=self.snapshot.id)
        rows = rows[rows["sample_id"].isin(tested.intersection(self.block.index))]
        rows = rows.sample(frac=1, random_state=seed)
        kept: list[pd.DataFrame] = []
        for at in range(0, len(rows), SAMPLES):
            kept.append(self._whole(rows.iloc[at : at + SAMPLES]))
            if sum(map(len, kept)) >= SAMPLES:
                break
        found = pd.concat(kept).iloc[:SAMPLES] if kept else rows
        if not len(found):
            paths = rows["audio"].fillna(rows["video"]).dropna()
            first = f", such as {paths.iloc[0]}" if len(paths) else ""
            raise AffectlakeError(
                f"--distort: none of {len(rows)} tested samples has the medium that its features were made of{first}"
            )
        return found.sort_values("sample_id").reset_index(drop=True)

    def _whole(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        """Those whose media are there and have the content that is known of them."""
        from affectlake.features.scan import media_uris, requests, scan

        stats = scan(media_uris(rows), self.store.files(self.dataset, as_of=self.snapshot.id), learn=False)
        now = requests(rows, stats, "audio").set_index("sample_id")["content"].reindex(rows["sample_id"])
        known = self.store.contents(self.dataset, as_of=self.snapshot.id).filter(regex=r"^audio\.")
        same = known.reindex(rows["sample_id"]).eq(now, axis=0).any(axis=1)
        return rows[same.to_numpy()]
