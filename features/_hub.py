"""What extractors share whose model the user names: found on this machine, by a folder or a hub's name."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from affectlake.features import settings
from affectlake.features.protocol import Column, modality

_WEIGHTS = (".safetensors", ".bin")
_READ = (*_WEIGHTS, ".json", ".txt", ".model")
_EXPORTS = ("onnx", "openvino")  # the same weights for other programs


class HubExtractor:
    """Base of such extractors; see `affectlake.features.protocol.Extractor`.

    The setting ``<modality>.model`` (or its environment variable) holds a folder, or a hub name whose files were
    fetched before: a refresh itself never downloads, and the bytes of the files are part of the fingerprint.

    Attributes
    ----------
    fixed : mapping
        Parameters beside the model.
    unknown : int
        Dimensions that a listing shows while no model is named.
    """

    name: str
    fixed: Mapping[str, object] = {}
    unknown: int
    licence = "LicenseRef-of-the-model"

    def dimensions(self, folder: Path) -> int:
        """Length of the rows by the folder's own description, so that a listing need not load the model.

        Raises FileNotFoundError, in one line, for a folder that holds no model of the right kind.
        """
        raise NotImplementedError

    def describe(self, count: int, model: str) -> Sequence[Column]:
        """Columns of rows of ``count`` dimensions from ``model``."""
        raise NotImplementedError

    @property
    def variable(self) -> str:
        """The environment variable that names the model where the setting does not."""
        return settings.SETTINGS[self._setting].variable or ""

    @property
    def _setting(self) -> str:
        return f"{modality(self.name)}.model"

    @property
    def install(self) -> str:
        return f"hf download NAME; export {self.variable}=NAME (or a folder)"

    @property
    def parameters(self) -> Mapping[str, object]:
        return {**self.fixed, "model": _short(self.model_name())}

    @property
    def columns(self) -> Sequence[Column]:
        try:
            return _columns(self, self.folder(), _short(self.model_name()))
        except (FileNotFoundError, ImportError):
            return self.describe(self.unknown, f"the model that {self.variable} names")

    def weights(self) -> Sequence[Path]:
        folder = self.folder()
        self.dimensions(folder)
        inside = (p for p in sorted(folder.rglob("*")) if p.suffix in _READ and p.is_file())
        found = [p for p in inside if not set(p.relative_to(folder).parts) & set(_EXPORTS)]
        if not any(p.suffix in _WEIGHTS for p in found):
            raise FileNotFoundError(f"{folder} holds no weights")
        return found

    def model_name(self) -> str:
        """What the user gave: a folder, a hub's name, or nothing."""
        return str(settings.get(self._setting))

    def folder(self) -> Path:
        """Where the model's files are; raises FileNotFoundError."""
        name = self.model_name()
        if not name:
            raise FileNotFoundError(f"{self.variable} names no model")
        return located(name, self.variable)


def _short(name: str) -> str:
    """A hub's name as it is, of a folder its last part: where it lies changes nothing."""
    return Path(name).name if Path(name).is_dir() else name


def located(name: str, variable: str) -> Path:
    """The folder that a user's name stands for: itself, or where the hub keeps it; raises FileNotFoundError."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        raise FileNotFoundError(f"{variable}={name} is neither a folder nor in the hub's cache") from None


@cache
def _columns(extractor: HubExtractor, folder: Path, name: str) -> Sequence[Column]:
    return extractor.describe(extractor.dimensions(folder), name)


def read_json(path: Path) -> Any:
    """What a description holds, or an empty one where the file is absent."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
