"""What kills a worker in the middle of its work."""

import os
import signal
from pathlib import Path

from affectlake.data.store import assemble


def assemble_and_die(mark: str, place, job):
    """Write the files, and die before anybody is told of them; once, as ``mark`` says."""
    found = assemble(place, job)
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return found
