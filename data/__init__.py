if __name__ != "affectlake.data":
    raise ImportError("import affectlake.data: the bare folder name is not the package (install it: pip install -e .)")
