"""Whether recordings hold two people, a channel each, whose mean nobody wants."""

from affectlake.data.store import Snapshot, Store

COLUMN = "audio.recording.apart"
APART = 0.3
"""From here on two channels are taken for two people: of a telephone call .7 to 1, of music and rooms below .1."""


def hint(store: Store, snapshot: Snapshot) -> str | None:
    """What to say of samples that are the mean of two people; None where there are none, or nobody has measured."""
    if "audio.recording" not in snapshot.features:
        return None
    apart = store.load(snapshot.dataset, COLUMN, as_of=snapshot.id)[COLUMN]
    two = int((apart >= APART).sum())
    if not two:
        return None
    return (
        f"in {two} of {len(apart)} samples two channels take turns, as two people on a telephone, and their mean was "
        "heard: a manifest's column 'channel' (left, right) hears each alone, and `affectlake segment --each-channel` "
        "writes one"
    )
