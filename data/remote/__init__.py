"""Media elsewhere: ``s3://``, ``gs://``, ``az://``, ``https://``. What is there, what it is, and its bytes at hand."""

from affectlake.data.remote.addresses import (
    check,
    common_folder,
    credentials,
    hidden,
    is_remote,
    join,
    know,
    name_of,
    parent,
    redacted,
)
from affectlake.data.remote.fetching import Copy, at_hand, fetched, held, states
from affectlake.data.remote.objects import Object, Refused, Unreachable
from affectlake.data.remote.parts import in_parts

__all__ = [
    "Copy",
    "Object",
    "Refused",
    "Unreachable",
    "at_hand",
    "check",
    "common_folder",
    "credentials",
    "fetched",
    "held",
    "hidden",
    "in_parts",
    "is_remote",
    "join",
    "know",
    "name_of",
    "parent",
    "redacted",
    "states",
]
