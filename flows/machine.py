"""What this machine offers."""

import os
import platform
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

GIB = 1 << 30

Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


def cores() -> int:
    """Cores that this process may use, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Machine:
    """What there is to compute with.

    Attributes
    ----------
    cores : int
    busy : float or None
        Mean number of processes that wanted to run during the last minute; None where the system does not tell.
    memory : int or None
        Bytes that programs may still take, the limit of a container included.
    disk : int
        Bytes free where the store is, or would be made.
    """

    cores: int
    busy: float | None
    memory: int | None
    disk: int

    def advice(self) -> dict[str, str]:
        """What would mend a shortage, by attribute; nothing where there is enough.

        >>> sorted(Machine(cores=4, busy=9.0, memory=GIB, disk=GIB).advice())
        ['busy', 'disk', 'memory']
        >>> Machine(cores=4, busy=0.5, memory=16 * GIB, disk=50 * GIB).advice()
        {}
        """
        said = {}
        if self.busy is not None and self.busy > 1.5 * self.cores:
            said["busy"] = f"others compute here: expect to wait {self.busy / self.cores:.1f} times as long"
        if self.memory is not None and self.memory < self.cores * GIB:
            said["memory"] = f"a worker takes up to 1 GiB: refresh --workers {max(1, self.memory // GIB)}"
        if self.disk < 5 * GIB:
            said["disk"] = "stores and models need room: affectlake tidy DATASET --keep 3, or another --store"
        return said


def machine(store: str = ".") -> Machine:
    """What there is now; ``store`` says on which disk, and need not exist."""
    place = Path(store).absolute() if "://" not in store else Path.cwd()
    while not place.exists():
        place = place.parent
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Machine(cores(), busy, _memory(), shutil.disk_usage(place).free)


def platform_name() -> str:
    """Python and platform in a few words, such as ``Python 3.11.7, Linux x86_64``."""
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def _memory() -> int | None:
    free = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free.append(1024 * int(line.split()[1]))
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            free.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError, IndexError):
        pass  # another system, or a container that does not say: what was found so far counts
    return max(0, min(free)) if free else None


class Mapping:
    """The caller's map, or one over so many worker processes, which live until the block ends."""

    def __init__(self, workers: int, map: Map | None):
        self._workers, self._map = workers, map
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Map:
        if self._map is not None:
            return self._map
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        from affectlake.features.workers import one_thread

        one_thread()
        self._pool = ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"))
        return self._pool.map

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            # Processes that have torch loaded take seconds to end, for which nobody has to wait.
            self._pool.shutdown(wait=False, cancel_futures=True)
