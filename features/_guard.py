"""What holds a worker process in bounds: it dies with its parent, and takes no more memory than it may."""

import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import connection, parent_process

from affectlake.data.errors import UsageError

MEMORY_VARIABLE = "AFFECTLAKE_WORKER_MEMORY"
MEMORY_GB = 4.0
"""Default of the variable: ten times what an extractor and its weights take, far less than a bomb unpacks to."""

_PR_SET_PDEATHSIG = 1


def memory_limit() -> float:
    """GB of memory that one worker may take; 0 for no limit.

    Raises
    ------
    UsageError
        The environment variable is no number >= 0.
    """
    given = os.environ.get(MEMORY_VARIABLE, "").strip()
    try:
        found = float(given or MEMORY_GB)
        if found >= 0 and found != float("inf"):
            return found
    except ValueError:
        pass
    raise UsageError(f"{MEMORY_VARIABLE} cannot be {given!r}: expected a number of GB, 0 for no limit")


def limit_memory() -> None:
    """Let allocations of this process fail where they would pass `memory_limit`.

    Its data segment (heap and private memory) is what is limited: torch and numba reserve far more addresses than they
    ever use, so that a limit of the address space would have to be too wide to help.
    """
    limit = int(memory_limit() * 2**30)
    if not limit:
        return
    with suppress(ImportError, ValueError, OSError):  # other systems; a lower limit that the user has set stays
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))


def die_with_parent() -> None:
    """End this process as soon as its parent is gone, whatever it is doing and however the parent ended."""
    parent = parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            import ctypes

            # The kernel does it even where a decoder hangs and never lets another thread of ours run.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # it went before we asked
            os._exit(1)
    threading.Thread(target=_watch, args=[parent.sentinel], name="parent", daemon=True).start()


def _watch(sentinel: int) -> None:
    connection.wait([sentinel])
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed; libraries say it each in their own way."""
    message = str(error).lower()
    words = ("can't allocate", "insufficient memory", "bad_alloc")
    return isinstance(error, MemoryError) or any(word in message for word in words)


def too_much_memory() -> str:
    """The reason that a sample is given which needed more than a worker may take."""
    return f"needs more memory than the {memory_limit():g} GB that a worker may take ({MEMORY_VARIABLE})"
