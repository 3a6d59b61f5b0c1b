"""Scripts that measure, as modules: what they do is tested like anything else."""

import importlib.util
from pathlib import Path
from types import ModuleType


def benchmark_script(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
