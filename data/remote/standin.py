"""A bucket's folder as loaders of corpora want one: their tables are there, of media only the names."""

import logging
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pandas as pd

from affectlake.data.errors import BadManifest
from affectlake.data.remote.addresses import BUCKETS, bucket_and_key, join, scheme
from affectlake.data.remote.buckets import bucket
from affectlake.data.remote.fetching import fetched
from affectlake.data.remote.spool import spool

READ = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".xlsx", ".xls", ".parquet")
"""Kinds of files that loaders read themselves."""

_AT_ONCE = 16
_log = logging.getLogger("affectlake.datasets")


@contextmanager
def standing_in(root: str) -> Iterator[Path]:
    """A folder in which everything below ``root`` has its name, and tables their content, while the context lasts.

    Raises
    ------
    BadManifest
        A server without lists, or nothing is there.
    affectlake.data.remote.Unreachable
        The bucket does not exist, does not answer, or lets nobody in.
    """
    if scheme(root) not in BUCKETS:
        raise BadManifest(f"{root} cannot be listed: a folder is in s3://, gs:// or az://, else name a manifest")
    where, prefix = bucket_and_key(root.rstrip("/"))
    with tempfile.TemporaryDirectory(prefix="root-", dir=spool().folder) as made:
        folder, tables, count = Path(made), [], 0
        for key, _ in bucket(where).below(prefix):
            path = folder / key[len(prefix) :].lstrip("/")
            count += 1
            if _named(path, key) and path.suffix.lower() in READ:
                tables.append((f"{where}/{key}", path))
        if not count:
            raise BadManifest(f"no folder {root}: nothing is there")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(_copied, tables))
        yield folder


def _named(path: Path, key: str) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:  # a name that is too long, or a file's and a folder's
        _log.warning("%s is passed over: %s", key, error.strerror)
        return False
    return True


def _copied(table: tuple[str, Path]) -> None:
    uri, path = table
    with fetched(uri) as copy:
        path.write_bytes(copy.path.read_bytes())


def moved(samples: pd.DataFrame, folder: Path, root: str) -> pd.DataFrame:
    """Samples that a loader found in the folder, with the addresses that its files have."""
    samples = samples.copy()
    for name in ("audio", "image", "video"):
        samples[name] = samples[name].map(lambda path: _address(path, folder, root), na_action="ignore").astype("str")
    return samples


def _address(path: str, folder: Path, root: str) -> str:
    inside = PurePosixPath(path)
    if not inside.is_relative_to(folder):
        return path
    return join(root.rstrip("/"), str(inside.relative_to(folder))) + "/" * Path(path).is_dir()
