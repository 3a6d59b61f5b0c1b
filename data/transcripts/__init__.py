"""Transcripts as people and machines write them: who said what, and when."""

from affectlake.data.transcripts.files import FORMATS, beside, read_turns
from affectlake.data.transcripts.turns import Turn

__all__ = ["FORMATS", "Turn", "beside", "read_turns"]
