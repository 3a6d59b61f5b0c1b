"""What processes hold, as Linux has it."""

import os
from contextlib import suppress


def held(pid: int) -> int:
    """Bytes of a process' proportional set: pages that several share are divided among them."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("Pss:"))


def held_by_family(pid: int) -> int:
    """Of a process and all below it; those that have just ended hold nothing."""
    total = 0
    for each in _family(pid):
        with suppress(OSError, StopIteration):
            total += held(each)
    return total


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        with suppress(OSError):
            for task in os.listdir(f"/proc/{each}/task"):
                with open(f"/proc/{each}/task/{task}/children", encoding="ascii") as file:
                    found += map(int, file.read().split())
    return found
