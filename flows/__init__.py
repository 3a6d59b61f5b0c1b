if __name__ != "affectlake.flows":
    raise ImportError("import affectlake.flows, not the bare folder name: install the project first (pip install -e .)")
