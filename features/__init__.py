"""What is computed from media and text: extractors, and how they run."""

if __name__ != "affectlake.features":
    raise ImportError(
        "import affectlake.features, not the bare folder name: install the project first (pip install -e .)"
    )
