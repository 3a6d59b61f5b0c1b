"""Where results are kept until they are published, as workers see it that write them there themselves."""

from dataclasses import dataclass
from functools import cache

import pyarrow as pa
from deltalake.exceptions import DeltaError

from affectlake.data.errors import AffectlakeError
from affectlake.data.store._assemble import Job, Shards, write
from affectlake.data.store._delta import native
from affectlake.data.store._table_store import Added, TableStore


def folder(dataset: str, extractor: str, fingerprint: str) -> str:
    """The table of an extractor's results under a fingerprint."""
    return f"pending/{dataset}/{extractor}/{fingerprint[:32]}"


@dataclass(frozen=True)
class HeldFile:
    """Results that were written beside a table, and count for nothing until `Writer.keep_file` is told of them."""

    table: str
    file: Added
    schema: pa.Schema


class Unreachable(AffectlakeError):
    """Nothing can be kept in the store from this machine."""


@dataclass(frozen=True)
class Place:
    """A dataset's place for results; may be sent to other machines.

    Attributes
    ----------
    uri : str
        The store's.
    dataset : str
    probe : str
        A file of the store, relative to it: who sees it sees the same store.
    """

    uri: str
    dataset: str
    probe: str

    def keep(self, extractor: str, fingerprint: str, results: pa.Table) -> HeldFile:
        """Write results, as `Writer.keep` has them; raises Unreachable where the store is not to be had from here."""
        if why := _why_not(self):
            raise Unreachable(why)
        table = folder(self.dataset, extractor, fingerprint)
        try:
            with native("results cannot be written there"):
                return HeldFile(table, TableStore(self.uri).add(table, results.combine_chunks()), results.schema)
        except _ERRORS as error:
            raise Unreachable(_line(error)) from error


def assemble(place: Place, job: Job) -> Shards | str:
    """Write shards of a table from what others wrote; or say why the store is not to be had from here."""
    return _why_not(place) or write(TableStore(place.uri), job)


_ERRORS = (OSError, DeltaError, AffectlakeError)


@cache
def _why_not(place: Place) -> str:
    """Why nothing can be kept there from here; empty where it can. Asked once: a bucket may take long to say no."""
    import pyarrow.fs as fs

    try:
        with native("it cannot be read"):
            found = TableStore(place.uri).files.get_file_info(place.probe).type
    except _ERRORS as error:
        return _line(error)
    return "" if found == fs.FileType.File else f"no such store at {place.uri}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
