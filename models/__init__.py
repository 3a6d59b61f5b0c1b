if __name__ != "affectlake.models":
    raise ImportError("import affectlake.models: the bare folder name is not the package (install it: pip install -e .)")
