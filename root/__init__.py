"""Multimodal emotion-recognition feature store and speaker-independent baseline benchmark.

The four rooms below are `affectlake.data`, `affectlake.features`, `affectlake.models` and `affectlake.flows`.

>>> import affectlake
>>> affectlake.__version__.split(".")[0].isdecimal()
True
"""

if __name__ != "affectlake":
    raise ImportError("import affectlake: the bare folder name is not the package (install it: pip install -e .)")

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    # On demand: to read the record of an installation takes longer than to import this.
    if name == "__version__":
        from importlib.metadata import version

        return version("affectlake")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
