"""The same work by others: `python benchmarks/beside.py PYTHON… [--files 10000]`.

Each PYTHON is an interpreter of an environment that has affectlake, DataChain or Pixeltable (the first of them that it
can import does the work). The work, alike for all: files of 8 x 8 pixels, 88 values of each by a function that costs
next to nothing, kept; again with nothing changed; again after one file in a hundred was written anew; then all values
in pandas. What finds out by itself which files changed does so; Pixeltable, which does not, is told. Every operation
is a process of its own; seconds on the clock and of processor time are of the whole process and its children.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLUMNS = 88
OPERATIONS = ("first", "unchanged", "1 % changed", "to pandas")
TOOLS = ("affectlake", "datachain", "pixeltable")


def values(picture):
    import numpy as np

    return np.resize(np.asarray(picture).ravel(), COLUMNS).astype(np.float32) / 255


def affectlake(root: Path, operation: str) -> None:
    from affectlake.data import Store

    if operation == "to pandas":
        frame = Store(root / "lake").load("tiny", "image.tiny")
        held(root, frame.index, frame.filter(like="image.tiny.").to_numpy())
        return
    from affectlake.flows.options import RefreshOptions
    from affectlake.flows.refresh import refresh

    only = ("image.tiny",)
    refresh(RefreshOptions("tiny", manifest=str(root / "manifest.csv"), store=str(root / "lake"), only=only))


def datachain(root: Path, operation: str) -> None:
    import datachain as dc

    if operation == "to pandas":
        frame = dc.read_dataset("tiny").to_pandas(flatten=True)
        held(root, [Path(p).stem for p in frame["file.path"]], list(frame["values"]))
        return
    from functions import of_file

    pictures = dc.read_storage(
        f"file://{root}/files/", type="image", update=True, delta=True, delta_on="file.path", delta_compare="file.etag"
    )
    pictures.map(values=of_file).save("tiny")


def pixeltable(root: Path, operation: str) -> None:
    import pixeltable as pxt

    if operation == "to pandas":
        table = pxt.get_table("tiny")
        frame = table.select(table.sample_id, table.values).collect().to_pandas()
        held(root, frame["sample_id"], list(frame["values"]))
        return
    from functions import of_picture

    columns = {"sample_id": pxt.Required[pxt.String], "image": pxt.Image}
    table = pxt.create_table("tiny", columns, primary_key="sample_id", if_exists="ignore")
    table.add_computed_column(values=of_picture(table.image), if_exists="ignore")
    rows = [{"sample_id": p.stem, "image": str(p)} for p in files(root)]
    if operation == "first":
        table.insert(rows)
    elif operation == "1 % changed":
        table.delete(table.sample_id.isin([row["sample_id"] for row in rows[::100]]))  # media cannot be updated
        table.insert(rows[::100])


FUNCTIONS = {
    "affectlake": "",
    "datachain": """
from beside import values
from datachain import ImageFile


def of_file(file: ImageFile) -> list[float]:
    return values(file.read()).tolist()
""",
    "pixeltable": f"""
import PIL.Image
import pixeltable as pxt
from beside import values


@pxt.udf
def of_picture(image: PIL.Image.Image) -> pxt.Array[({COLUMNS},), pxt.Float]:
    return values(image)
""",
}
"""What a tool wants to find in a module of its own."""


def files(root: Path) -> list[Path]:
    return sorted((root / "files").glob("*/*.png"))


def held(root: Path, ids, found) -> None:
    """Refuse to time a table that lacks rows, or has not seen which files were written anew."""
    import numpy as np

    assert sorted(ids) == [p.stem for p in files(root)]
    seen = dict(zip(ids, found, strict=True))
    for path in files(root)[:200]:
        np.testing.assert_allclose(seen[path.stem], values(pixels(path)), atol=1e-6)


def archive(root: Path, n: int) -> None:
    from scale import plug_in, write_picture

    for i in range(n):
        path = root / "files" / f"{i // 1000:04d}" / f"{i:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, i)
    rows = [f"{p.stem},{p.relative_to(root)},speaker-{i % 50}" for i, p in enumerate(files(root))]
    (root / "manifest.csv").write_text("\n".join(["sample_id,image,speaker", *rows]), encoding="utf-8")
    plug_in(root)


def pixels(path: Path):
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(path))


def one(tool: str, operation: str, root: Path) -> None:
    (root / "functions.py").write_text(FUNCTIONS[tool], encoding="utf-8")
    {"affectlake": affectlake, "datachain": datachain, "pixeltable": pixeltable}[tool](root, operation)


def compare(python: str, root: Path) -> None:
    """Print what each operation takes by the tool of an environment."""
    from scale import write_picture

    here = shutil.copy(__file__, root)  # away from scripts that are called as modules of Python's own
    find = f"from importlib.util import find_spec; print(next(t for t in {TOOLS} if find_spec(t)))"
    tool = subprocess.run([python, "-c", find], capture_output=True, text=True, check=True, cwd=root).stdout.strip()
    home = {"DATACHAIN_ROOT_DIR": str(root / "datachain"), "PIXELTABLE_HOME": str(root / "pixeltable")}
    quiet = {"DATACHAIN_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}
    paths = {"PYTHONPATH": str(root)}
    for operation in OPERATIONS:
        if operation == "1 % changed":
            for path in files(root)[::100]:
                write_picture(path, time.time_ns())
        command = [python, here, "--one", tool, "--operation", operation, "--in", str(root), python]
        with (root / "log").open("w") as log:
            start = time.perf_counter()
            child = subprocess.Popen(command, env=os.environ | home | quiet | paths, stdout=log, stderr=log)
            _, status, spent = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - start
        if status:
            sys.exit((root / "log").read_text())
        print(f"{tool:<12}{operation:<14}{seconds:>8.2f} s{spent.ru_utime + spent.ru_stime:>8.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", nargs="+")
    parser.add_argument("--files", type=int, default=10_000)
    for hidden in ("--one", "--operation", "--in"):
        parser.add_argument(hidden, dest=hidden.strip("-") + "_", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one_:
        one(given.one_, given.operation_, Path(given.in_))
        return
    print(f"{given.files:,} files                on the clock, processor")
    for python in map(os.path.abspath, given.python):
        with tempfile.TemporaryDirectory() as folder:
            archive(Path(folder), given.files)
            compare(python, Path(folder))


if __name__ == "__main__":
    main()
