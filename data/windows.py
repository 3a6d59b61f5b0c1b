"""Names of what is computed over parts of samples: windows of time, and faces followed through a film."""

WINDOWED, TRACKED = "@window", "@track"
"""End the names of what was computed over windows and over tracks: ``audio.prosody@window``."""

_KEYS = {WINDOWED: ("start", "end"), TRACKED: ("start", "end", "track")}


def keys_of(extractor: str) -> tuple[str, ...]:
    """Columns of a table that are no features, beside those of every table; none where a row is a sample.

    ``start`` and ``end`` are seconds of the recording, ``track`` is the number of the face, from 1.

    >>> keys_of("audio.prosody"), keys_of("face.geometry@track")
    ((), ('start', 'end', 'track'))
    """
    return next((keys for end, keys in _KEYS.items() if extractor.endswith(end)), ())
