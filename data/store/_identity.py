"""Who a store is, whatever path it is opened by, and the key by which it hashes people's names."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa

from affectlake.data.errors import AffectlakeError
from affectlake.data.store._table_store import CommitConflict, TableStore

FILE, TABLE = "identity.json", "identity"
"""On object stores, which do not say whether a file was there, it is a table."""


@dataclass(frozen=True)
class Identity:
    """Identity of a store; its copies share it.

    Attributes
    ----------
    store : str
    key : bytes
        Without it a hash of `hashed` cannot be compared with any name, not even by trying all there are.
    """

    store: str
    key: bytes

    def hashed(self, kind: str, dataset: str, value: str) -> str:
        """Keyed hash (HMAC-SHA256) of a name."""
        return hmac.new(
            self.key, "\0".join((kind, dataset, value)).encode("utf-8", "replace"), hashlib.sha256
        ).hexdigest()


def find(store: TableStore) -> Identity | None:
    """The identity of a store, None where it has none yet.

    Raises
    ------
    AffectlakeError
        The file is there and cannot be understood.
    """
    try:
        if store.local:
            with open(store.path(FILE), encoding="utf-8") as file:
                identity = _sound(file.read())
        else:
            table = store.open_or_none(TABLE)
            if table is None:
                return None
            identity = table.to_pyarrow_table().to_pylist()[0]
        return Identity(str(identity["store"]), bytes.fromhex(identity["key"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise AffectlakeError(
            f"{store.path(FILE)} is damaged: without it nobody who was erased is known ({error})"
        ) from None


def make(store: TableStore) -> Identity:
    """The identity of a store, which gets one if it has none."""
    if (found := find(store)) is not None:
        return found
    identity = {"store": secrets.token_hex(16), "key": secrets.token_hex(32)}
    if store.local:
        text = json.dumps(identity | {"check": _check(identity)})
        beside = store.path(f".{FILE}.{secrets.token_hex(4)}")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o660), "w", encoding="utf-8") as file:
            file.write(text)
        _first(beside, store.path(FILE))
    else:
        with suppress(CommitConflict):  # whoever was quicker stays
            store.swap(TABLE, pa.Table.from_pylist([identity]), None)
    found = find(store)
    assert found is not None
    return found


def _sound(text: str) -> dict[str, str]:
    """What the file says; raises ValueError where that is not what was written.

    Another key would silently be another's: whoever was erased would come back.
    """
    identity = json.loads(text)
    if not isinstance(identity, dict):
        raise ValueError("it is no object")
    check = identity.pop("check", None)  # earlier versions wrote none
    wanted = identity if check is None else identity | {"check": _check(identity)}
    if set(identity) != {"store", "key"} or text != json.dumps(wanted):
        raise ValueError("its bytes are not those that were written")
    return dict(identity)


def _check(about: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _first(beside: str, path: str) -> None:
    """Put a file where none may be; whoever was quicker stays."""
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not os.path.exists(path):
            os.rename(beside, path)
            return
    os.remove(beside)
