"""Fetching the corpora whose terms allow it: resumed, checked, unpacked."""

import gzip
import logging
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from affectlake.data import datasets
from affectlake.data.dataset import Dataset, Download
from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.progress import Progress, Report, silent

if TYPE_CHECKING:
    from requests import Response

log = logging.getLogger("affectlake.data")

ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
_CHUNK = 1 << 20
_SECONDS = 60  # without a byte, after which a connection counts as broken


class NotDownloadable(UsageError):
    """A corpus that has to be asked for; the message says where."""


class DownloadFailed(AffectlakeError):
    """The transfer broke, or what came is not what was published."""


def download(name: str, to: str | Path, progress: Progress = silent) -> Path:
    """Fetch a corpus into a folder of its name.

    What is there already is not fetched again, so a call after an interruption goes on where the last one stopped.
    Proxies are taken from the environment (``HTTPS_PROXY``, ``NO_PROXY``).

    Parameters
    ----------
    name : str
        See `affectlake.data.datasets.datasets`.
    to : str or Path
        Folder in which the corpus's own is made.
    progress : Progress, optional
        A stage for each file, in bytes.

    Returns
    -------
    Path
        Folder that `Dataset.load` reads.

    Raises
    ------
    UnknownName
    NotDownloadable
        The terms do not allow it, or no address is known to last.
    DownloadFailed
        No connection, an answer other than the file, too little space, a wrong checksum or a broken archive.
    """
    dataset = datasets.get(name)
    if not dataset.downloads:
        raise NotDownloadable(
            f"{name} cannot be fetched from here ({dataset.licence}). {dataset.access} Then put it in a folder with "
            f"{dataset.layout}"
        )
    folder = Path(to) / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in dataset.downloads:
        _fetch(dataset, file, folder, progress)
    return folder


def _fetch(dataset: Dataset, file: Download, folder: Path, progress: Progress) -> None:
    name = unquote(urlsplit(file.url).path).rsplit("/", 1)[-1]
    target = folder / _bare(name) if file.unpack else folder / name
    if target.exists():
        return
    _check_space(folder, file.size * (3 if file.unpack else 1))
    try:
        with progress(name) as report:
            path = _retrieve(file, folder, name, report)
        if file.unpack:
            with progress(f"unpacking {name}"):
                _unpack(path, target)
            path.unlink()
    except DownloadFailed as error:
        raise DownloadFailed(f"{dataset.name}: {file.url}: {error}") from error


def _retrieve(file: Download, folder: Path, name: str, report: Report) -> Path:
    import pooch
    import requests

    # Its messages are several lines long and name a checksum that nobody published.
    pooch.get_logger().setLevel("WARNING")
    part = folder / f"{name}.part"
    try:
        path = pooch.retrieve(file.url, file.hash or None, name, folder, downloader=_Resuming(part, file, report))
    except requests.HTTPError as error:
        raise DownloadFailed(f"answered {error.response.status_code} {error.response.reason}") from error
    except (requests.RequestException, OSError) as error:
        have = part.stat().st_size if part.exists() else 0
        kept = f"; {have} bytes are kept, the next call goes on from there" if have and file.hash else ""
        raise DownloadFailed(f"the transfer broke ({_short(error)}){kept}") from error
    except ValueError as error:
        if "hash" not in str(error):
            raise
        raise DownloadFailed(f"what came does not have the published checksum {file.hash}; it was deleted") from error
    if not file.hash:
        log.warning("%s was not checked: its host publishes no checksum", path)
    return Path(path)


class _Resuming:
    """Downloader for pooch that keeps what came of a broken transfer and asks only for the rest.

    Without a checksum it starts anew: nothing would tell whether the rest belongs to the same file.
    """

    def __init__(self, part: Path, file: Download, report: Report):
        self.part, self.checked, self.report = part, bool(file.hash), report

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import requests

        have = self.part.stat().st_size if self.checked and self.part.exists() else 0
        # Compressed on the way, the bytes counted by a range would not be those of the file.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, stream=True, headers=headers, timeout=_SECONDS) as response:
            if not (have and response.status_code == requests.codes.requested_range_not_satisfiable):
                response.raise_for_status()
                self._write(response, have if response.status_code == requests.codes.partial_content else 0)
        os.replace(self.part, output_file)

    def _write(self, response: "Response", done: int) -> None:
        total = done + int(response.headers.get("Content-Length", -done))
        with open(self.part, "ab" if done else "wb") as out:
            for chunk in response.iter_content(_CHUNK):
                out.write(chunk)
                done += len(chunk)
                self.report(done, total)


def _unpack(archive: Path, target: Path) -> None:
    """Unpack all or nothing: the folder gets its name only when it is whole."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpacking-") as work:
        whole = Path(work) / target.name
        try:
            if zipfile.is_zipfile(archive):
                shutil.unpack_archive(archive, whole, "zip")
            else:
                with tarfile.open(archive) as tar:
                    tar.extractall(whole, filter="data")
        except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            archive.unlink()
            raise DownloadFailed(f"not an archive that can be unpacked ({_short(error)}); it was deleted") from error
        whole.rename(target)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadFailed(f"{folder} has {free / 1e9:.1f} GB free, about {needed / 1e9:.1f} GB are needed")


def _bare(name: str) -> str:
    return next((name.removesuffix(s) for s in ARCHIVES if name.endswith(s)), name + ".unpacked")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
