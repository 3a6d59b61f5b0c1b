"""Options that several commands have."""

from typing import Annotated

from cyclopts import Parameter

from affectlake.flows.server import Mode

StoreOption = Annotated[str, Parameter(env_var="AFFECTLAKE_STORE")]
PrefectOption = Annotated[Mode | None, Parameter(negative_none="no-")]
Json = Annotated[bool, Parameter(negative=())]
Patterns = Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=True)]
