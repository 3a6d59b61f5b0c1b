"""Known corpora, one file each: what they are, where to get them, how to read their official folders."""

if not __name__.startswith("affectlake."):
    raise ImportError("import affectlake.data.datasets: the bare folder name is not the package")

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from affectlake.data.errors import UnknownName

if TYPE_CHECKING:
    from affectlake.data.dataset import Dataset


@cache
def datasets() -> dict[str, "Dataset"]:
    """Every known corpus by name, in alphabetical order: one per public module of this folder.

    A hyphen of the name is an underscore in the module's: ``crema-d`` is in ``crema_d.py``.
    """
    modules = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {m.replace("_", "-"): importlib.import_module(f"{__name__}.{m}").dataset for m in modules}


def get(name: str) -> "Dataset":
    """The corpus of that name.

    Raises
    ------
    UnknownName
    """
    try:
        return datasets()[name]
    except KeyError:
        raise UnknownName("dataset", name, datasets()) from None
