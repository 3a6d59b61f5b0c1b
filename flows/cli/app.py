"""The application: its commands by name, and how errors leave it."""

import atexit
import logging
import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from cyclopts import App, CycloptsError

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.flows.shown import shown

app = App(
    name="affectlake",
    help="Feature store and speaker-independent baselines for multimodal emotion recognition.",
    version=lambda: _version(),
    suppress_keyboard_interrupt=False,  # it would exit without a word
)
# Named by import path: only the module of the command that is called gets imported, which keeps `--help` quick.
_COMMANDS = {
    "demo": ("demo:demo", "Generate a synthetic corpus and run everything on it, up to the report."),
    "refresh": ("refresh:refresh", "Bring a dataset's features up to date, computing only what is new or changed."),
    "transcribe": ("refresh:transcribe", "Give samples that have sound and no text one by machine."),
    "segment": ("segment:segment", "Cut recordings into a manifest, by speech, pauses, windows or transcripts."),
    "put": ("refresh:put", "Bring in features that were computed elsewhere."),
    "bench": ("bench:bench", "Train the fusion baselines on speaker-independent folds and print the leaderboard."),
    "leaderboard": ("bench:leaderboard", "Past benchmarks of a dataset, and how the best row moved."),
    "compare": ("compare:compare", "Benchmarks beside each other: ranks over datasets, changes on the same samples."),
    "report": ("bench:report", "Write the HTML report of a benchmark that was run before."),
    "explore": ("explore:explore", "Pages over what a store holds, for those who would rather look."),
    "extract": ("extract:extract", "Features of media files as a table, without a store."),
    "predict": ("predict:predict", "Label new media with a saved model."),
    "nightly": ("nightly:nightly", "Refresh and benchmark on a schedule."),
    "status": ("read:status", "Datasets, tables, rows, coverage and the newest snapshot."),
    "failures": ("read:failures", "Samples in quarantine, each with its reason."),
    "load": ("read:load", "Features of a dataset as CSV, Parquet or JSON."),
    "sql": ("read:sql", "Query the newest snapshot with DuckDB."),
    "export": ("read:export", "Write a dataset as plain Parquet files."),
    "erase": ("refresh:erase", "Remove a person from every table and every old version."),
    "verify": ("refresh:verify", "Compare every file with its checksum."),
    "repair": ("refresh:repair", "Take damaged files out, so that the next refresh computes what they held."),
    "tidy": ("refresh:tidy", "Delete files that no snapshot names; forget old snapshots."),
    "datasets": ("inspect:datasets", "Every dataset that has a loader."),
    "extractors": ("inspect:extractors", "Every feature extractor, and whether it can run here."),
    "show": ("inspect:show", "All about one extractor or one dataset."),
    "download": ("inspect:download", "Fetch a dataset whose terms allow it."),
    "doctor": ("inspect:doctor", "What is installed, what is missing, and what would mend it."),
}
for _name, (_where, _help) in _COMMANDS.items():
    app.command(f"affectlake.flows.cli.{_where}", name=_name, help=_help)

app.register_install_completion_command(help="Install completion for this shell: bash, zsh or fish.")

DONE, FAILED, USAGE, QUARANTINED = 0, 1, 2, 3


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 usage, 3 finished with quarantined samples."""
    signal.signal(signal.SIGTERM, _terminated)
    code = FAILED

    def leave() -> None:
        logging.shutdown()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)

    # Native libraries keep threads (deltalake's runtime, jemalloc's), which go on while what C runs at exit frees what
    # they use, and now and then abort a command that was done. Registered first, ours comes last: all that Python does
    # at its end, joining its threads included, is done by then.
    atexit.register(leave)
    code = run(arguments)
    sys.exit(code)


class Terminated(KeyboardInterrupt):
    """Somebody asked this process to end: as an interrupt, so that what it has started ends before it."""


def _terminated(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # who asks a second time will not wait
    raise Terminated


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; the last line on stderr says what went wrong, if anything."""
    try:
        return app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or DONE
    except CycloptsError as error:
        return _complain(" ".join(str(error).split()) + " (see --help)", USAGE)
    except UsageError as error:
        return _complain(error, USAGE)
    except AffectlakeError as error:
        return _complain(error, FAILED)
    except Terminated:
        return _complain("told to end; what was computed so far is kept", 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        return _complain("interrupted; what was computed so far is kept", 130)
    except BrokenPipeError:
        # `affectlake load … | head` closes our stdout; python would complain again when it flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if os.environ.get("AFFECTLAKE_DEBUG"):
            raise
        message = " ".join(str(error).split())
        return _complain(f"{type(error).__name__}: {message} (AFFECTLAKE_DEBUG=1 shows where)", FAILED)


def _complain(message: object, code: int) -> int:
    print(f"affectlake: {shown(message)}", file=sys.stderr)
    return code


def _version() -> str:
    from affectlake.flows.machine import platform_name
    from affectlake.flows.version import code_version

    return f"{code_version()} ({platform_name()})"
