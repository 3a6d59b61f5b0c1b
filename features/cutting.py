"""How recordings are cut, as a command or a program asks for it."""

from dataclasses import dataclass
from typing import Literal

from affectlake.data.errors import UsageError

By = Literal["speech", "silence", "windows", "transcript"]


@dataclass(frozen=True)
class Cutting:
    """How recordings are cut.

    Attributes
    ----------
    by : str
        ``speech`` (a voice activity detector), ``silence`` (level), ``windows``, or ``transcript``.
    window, hop : float > 0
        Seconds of a window, and from one's beginning to the next one's.
    longest : float > 0
        Seconds of a stretch of speech beyond which it is cut at its longest pause.
    each_channel : bool
        Whether every channel is cut for itself, as two people on a telephone.
    encoding : str or None
        Of transcripts; default: it is found out.
    speakers : "auto", int > 0 or None
        Whether turns that name nobody get a speaker by the voice, and of how many; ``auto``: as many as are heard.
    link : bool
        Whether the same voice in several recordings is one speaker.
    """

    by: By = "speech"
    window: float = 3.0
    hop: float = 1.0
    longest: float = 30.0
    each_channel: bool = False
    encoding: str | None = None
    speakers: Literal["auto"] | int | None = None
    link: bool = False

    def __post_init__(self) -> None:
        for name in ("window", "hop", "longest"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{name} cannot be {getattr(self, name)}: expected seconds above 0")
        if self.each_channel and self.by == "transcript":
            raise UsageError(
                "a transcript does not tell which turn is on which channel: give each channel a row of a manifest "
                "with its speaker, or with its own transcript"
            )
        if isinstance(self.speakers, int) and self.speakers < 1:
            raise UsageError(f"speakers cannot be {self.speakers}: expected auto, or how many there are, from 1")
        if self.speakers is not None and self.by == "windows":
            raise UsageError("windows are not turns: speakers go with speech, silence or transcript")
        if self.link and self.speakers is None:
            raise UsageError("link goes with speakers: it finds again the voices that were told apart")
