if __name__ != "affectlake.data":
    raise ImportError("import affectlake.data, not the bare folder name: install the project first (pip install -e .)")
