"""The feature store: Delta tables, snapshots across them, and what analysts ask of them."""

from affectlake.data.store._frames import among, positions
from affectlake.data.store._snapshots import Snapshot
from affectlake.data.store._spelling import kept
from affectlake.data.store._store import Store
from affectlake.data.store._writer import Wanted, Writer

__all__ = ["Snapshot", "Store", "Wanted", "Writer", "among", "kept", "positions"]
