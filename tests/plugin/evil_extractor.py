"""An extractor as a third party would ship it, which does whatever its text says."""

import ctypes
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.protocol import Column


class Evil:
    name = "text.evil"
    version = "1"
    reads = "text"
    parameters = {}
    columns = (Column("length", "characters", 0), Column("one", "1", 1, 1))
    requires = ()
    install = "already there"
    cost = 0.01
    licence = "Apache-2.0"
    summary = "Faults on request."

    def weights(self):
        return ()

    def extract(self, batch):
        return [self._answer(request.text) for request in batch]

    def _answer(self, text):
        if text.startswith("kill "):
            self._kill_parent_once(Path(text.removeprefix("kill ")))
        match text:
            case "crash":
                ctypes.string_at(0)
            case "hang":
                time.sleep(1000)
            case "hang hard":
                self._note(str(os.getpid()))
                ctypes.PyDLL(None).sleep(1000)  # as a decoder in C that lets no other thread run
            case "bomb":
                return np.array([len(bytearray(8 << 30)), 1], np.float32)
            case "raise":
                raise RuntimeError("on\nrequest")
            case "shape":
                return np.zeros(3, np.float32)
            case "infinite":
                return np.array([np.inf, 1], np.float32)
            case "nothing":
                return NotApplicable("nothing to say")
            case "wait":
                self._note(text)
                while not Path(os.environ["EVIL_GO"]).exists():
                    time.sleep(0.05)
            case _ if text.startswith("work"):
                self._note(text)
                time.sleep(5.5 if "for long" in text else 0.02 if "slowly" in text else 0)
        return np.array([len(text), 1], np.float32)

    def _kill_parent_once(self, mark):
        """Take down whoever runs this worker process, as a machine does that goes; not if the file is there."""
        if not mark.exists():
            mark.touch()
            os.kill(os.getppid(), signal.SIGKILL)
            os._exit(1)

    def _note(self, text):
        """A line in the log of what was computed: other processes see it at once."""
        with open(os.environ["EVIL_LOG"], "a") as log:
            log.write(text + "\n")


extractor = Evil()


def killing(marks, work, job):
    """A job that takes down the process that does it, and one that takes down whoever runs that process; once each."""
    for mark, victim in zip(marks, (os.getpid(), os.getppid()), strict=True):
        if not Path(mark).exists():
            Path(mark).touch()
            os.kill(victim, signal.SIGKILL)
            os._exit(1)
    return work(job)


@dataclass(frozen=True)
class Job:
    folder: str


def read(job):
    return job.folder, Path(job.folder, "y.npy").read_bytes()
