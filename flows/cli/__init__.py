"""The ``affectlake`` command."""

from affectlake.flows.cli.app import main

__all__ = ["main"]
