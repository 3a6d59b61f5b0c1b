"""Options that several commands have."""

from typing import Annotated

from cyclopts import Parameter

from affectlake.flows.options import StoreOption
from affectlake.flows.server import Mode

PrefectOption = Annotated[Mode | None, Parameter(negative_none="no-")]
Json = Annotated[bool, Parameter(negative=())]
Patterns = Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=True)]

__all__ = ["Json", "Patterns", "PrefectOption", "StoreOption"]
