"""Names of what is computed over windows of samples."""

WINDOWED = "@window"
"""Ends the name of what was computed over windows: ``audio.prosody@window``."""

SPAN = ("start", "end")
"""Columns of a series that are no features: seconds of the recording."""
