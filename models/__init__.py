"""Fusion baselines and the protocol that makes their scores comparable."""

if __name__ != "affectlake.models":
    raise ImportError("import affectlake.models: not the bare folder name (install it: pip install -e .)")
