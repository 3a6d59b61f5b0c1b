if __name__ != "affectlake.models":
    raise ImportError("import affectlake.models, not the bare folder name: install the project first (pip install -e .)")
