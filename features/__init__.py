if __name__ != "affectlake.features":
    raise ImportError(
        "import affectlake.features, not the bare folder name: install the project first (pip install -e .)"
    )
