"""Refreshes killed by SIGKILL at random moments, with a reader beside them: `python benchmarks/chaos.py [KILLS]`.

Counts reads that broke, snapshots that mix two rounds, and rows lost; at the end the store must equal one that nobody
disturbed.
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HELPERS = Path(__file__).parents[1] / "tests" / "helpers"
sys.path.insert(0, str(HELPERS))

from lakes import expected, read, refresh  # noqa: E402

from affectlake.data import Store  # noqa: E402

N = 600
WRITER = """
import sys
sys.path.insert(0, {helpers!r})
from affectlake.data import Store
from lakes import refresh
store, number = Store({uri!r}), {number}
while True:
    refresh(store, {{f"p{{i % 7}}-{{i:05d}}": f"c{{i}}-{{number}}" for i in range({n})}})
    number += 1
"""


def contents(number: int) -> dict[str, str]:
    return {f"p{i % 7}-{i:05d}": f"c{i}-{number}" for i in range(N)}


def look(store: Store, found: dict[str, int], as_of=None) -> None:
    found["reads"] += 1
    try:
        snapshot = store.snapshot("d", as_of)
        content = store.contents("d", snapshot)["audio.x"]
        values = read(store, snapshot)
    except Exception as error:
        found["broken"] += 1
        print(f"broken: {type(error).__name__}: {error}")
        return
    found["mixed"] += content.str.split("-").str[1].nunique() != 1
    found["lost"] += N - len(values)
    found["wrong"] += values != expected(content.to_dict())


def main(kills: int) -> None:
    found = dict.fromkeys(("reads", "broken", "mixed", "lost", "wrong"), 0)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "lake", create=True)
        refresh(store, contents(0))
        for kill in range(kills):
            code = WRITER.format(helpers=str(HELPERS), uri=store.uri, number=1 + 1000 * kill, n=N)
            process = subprocess.Popen([sys.executable, "-c", code])
            end = time.monotonic() + 1.5 + rng.uniform(0, 1.5)
            while time.monotonic() < end:
                look(store, found)
            process.send_signal(signal.SIGKILL)
            process.wait()
            look(store, found)
        names = store.snapshots()["snapshot"].tolist()
        for name in names:
            look(store, found, name)
        refresh(store, contents(-1))
        calm = Store(Path(folder) / "calm", create=True)
        refresh(calm, contents(-1))
        equal = store.load("d").equals(calm.load("d"))
    print(f"{kills} kills, {len(names)} snapshots, {found}; equal to an undisturbed store: {equal}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
