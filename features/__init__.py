"""What is computed from media and text: extractors, and how they run."""

if __name__ != "affectlake.features":
    raise ImportError(
        "import affectlake.features, not the bare folder name: install the project first (pip install -e .)"
    )

__all__ = ["extract"]


def __getattr__(name: str) -> object:
    # On demand: workers that compute one extractor need no pandas.
    if name == "extract":
        from affectlake.features.extraction import extract

        return extract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
