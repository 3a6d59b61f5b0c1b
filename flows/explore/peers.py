"""Who asks: on a machine with several accounts, each of them could ask at a port of it."""

import os
from pathlib import Path

_TABLE = Path("/proc/net/tcp")


def other_account(host: str, port: int, table: Path = _TABLE) -> bool:
    """Whether a connection of this machine comes from another account than ours, and not from root's.

    Parameters
    ----------
    host : str
        IPv4 address that the connection comes from.
    port : int
    table : Path
        Linux's list of connections (proc(5)); where there is none, nobody is told apart, and it is False.
    """
    if not table.exists():
        return False
    there = f"{''.join(f'{int(part):02X}' for part in reversed(host.split('.')))}:{port:04X}"
    for line in table.read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[1] == there:
            return int(fields[7]) not in (0, os.getuid())
    return True  # a connection that is over; nobody waits for the answer
