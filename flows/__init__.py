"""Commands, reports and the nightly run; the only room that knows Prefect."""

if __name__ != "affectlake.flows":
    raise ImportError("import affectlake.flows: the bare folder name is not the package (install it: pip install -e .)")
