"""One writer of a dataset at a time, on one machine."""

import logging
import os
from contextlib import suppress

from affectlake.data.errors import AffectlakeError

_log = logging.getLogger("affectlake.store")


def locked(folder: str, dataset: str):
    """An open file that holds the dataset's lock; the system lets go of it however this process ends."""
    import fcntl

    try:
        os.makedirs(folder, exist_ok=True)
        file = open(os.path.join(folder, dataset), "a+")
    except OSError as error:
        raise AffectlakeError(f"the store at {os.path.dirname(folder)} cannot be written: {error.strerror}") from None
    try:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _signed(file)
        file.seek(0)
        _log.warning("waiting for another refresh of %s (process %s)", dataset, file.read().strip() or "unknown")
        fcntl.flock(file, fcntl.LOCK_EX)
        return _signed(file)
    except BaseException:
        file.close()
        raise


def _signed(file):
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
