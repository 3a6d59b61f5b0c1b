"""Samples, media and the store; ``from affectlake.data import Store`` is the way in for analysts."""

if __name__ != "affectlake.data":
    raise ImportError("import affectlake.data: the bare folder name is not the package (install it: pip install -e .)")

__all__ = ["Store"]


def __getattr__(name: str) -> object:
    # On demand: workers that only decode media need neither pandas nor Delta.
    if name == "Store":
        from affectlake.data.store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
