"""Errors that a user can act on: each message is one line that names the bad value and what is allowed."""

from collections.abc import Iterable
from difflib import get_close_matches


class AffectlakeError(Exception):
    """Base of every error caused by input or environment; the command line prints it without a traceback."""


class UsageError(AffectlakeError):
    """The request itself is malformed (the command line exits with 2)."""


_NEAR, _SHOWN = 3, 20  # names that are like the wrong one, and names at most, in a message


class UnknownName(UsageError):
    """A name that is not among the valid ones, of which the nearest are listed first.

    >>> raise UnknownName("extractor", "audio.prosodi", ["audio.prosody", "text.minilm"])
    Traceback (most recent call last):
    affectlake.data.errors.UnknownName: unknown extractor 'audio.prosodi', did you mean 'audio.prosody'? \
valid: audio.prosody, text.minilm
    """

    def __init__(self, kind: str, name: object, valid: Iterable[object]):
        names = sorted(str(v) for v in valid)
        close = get_close_matches(str(name), names, n=_NEAR, cutoff=0.5)
        hint = f", did you mean {close[0]!r}?" if close else ","
        first = list(dict.fromkeys([*close, *names[: _SHOWN + _NEAR]]))[:_SHOWN]
        shown = ", ".join(first) + (f", … ({len(names)} in all)" if len(names) > _SHOWN else "")
        super().__init__(f"unknown {kind} {str(name)!r}{hint} valid: {shown or 'none yet'}")
        self.kind, self.name, self.valid = kind, name, names

    def __reduce__(self) -> tuple[type["UnknownName"], tuple[str, object, list[str]]]:
        return type(self), (self.kind, self.name, self.valid)


class BadManifest(UsageError):
    """A manifest or dataset folder that cannot be understood as a whole."""


class BadMedia(AffectlakeError):
    """One file that cannot be decoded; costs that sample, never the run."""


class NotApplicable(AffectlakeError):
    """The extractor has nothing to say about this sample (no face, silence, empty text): an outcome, not a failure."""
