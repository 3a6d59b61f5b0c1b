"""Prefect settings that our flows rely on, for runs outside the checkout, where prefect.toml is not found."""

import hashlib
import os
import secrets
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import IO

from affectlake.data.errors import AffectlakeError

PREFECT = {
    # The first start creates the database: 15-30 s on two cores, more than prefect's default of 20.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # In memory, leases are forgotten with the server, and a slot that was held then is never freed.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # By default any page in a browser of this machine may ask our server.
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1",
    "PREFECT_CLI_PROMPT": "false",
    "DO_NOT_TRACK": "1",
}

CLIENT, SERVER = "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
"""Variables of Prefect: the secret that a client gives, and the one that a server asks for."""

MIGRATION_SECONDS = 300


def configure() -> None:
    """Set what the user has not; call before prefect is imported."""
    for name, value in PREFECT.items():
        os.environ.setdefault(name, value)


def path() -> Path:
    """Where Prefect's home is or would be; raises RuntimeError where that is the user's, who has none."""
    return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()


def home() -> Path:
    """Prefect's home, made where it is absent, and closed to others then.

    Raises
    ------
    AffectlakeError
        It cannot be written.
    """
    found = Path(os.environ.get("PREFECT_HOME") or "~/.prefect")
    try:
        found = path()
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=found):
            pass
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise AffectlakeError(
            f"Prefect's folder {found} cannot be written ({why}): name another, PREFECT_HOME, or do without Prefect, "
            "--no-prefect"
        ) from None
    return found


def prepare() -> str:
    """Make ready what a Prefect server of our own needs, and return its secret: made at the first start, ours alone.

    The secret goes into the environment of this process and its children. The database is made, or brought up to date,
    by one process at a time: two servers that do so at once break each other.

    Raises
    ------
    AffectlakeError
        Prefect's home cannot be written, its secret is not ours, or its database cannot be made.
    """
    configure()
    folder = home()
    with (folder / "affectlake.lock").open("a") as lock:
        if not locked(lock, wait=False):
            locked(lock, wait=True)
        secret = os.environ.get(SERVER) or os.environ.get(CLIENT) or _secret(folder / "affectlake-secret")
        os.environ[SERVER] = os.environ[CLIENT] = secret
        _migrated(folder)
    reread()
    return secret


def api_url() -> str | None:
    """The API that the user has chosen by the environment, a profile or a file of settings; None where there is none.

    Prefect, whose import takes a second, is only asked where a file might say so.
    """
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    folder = os.environ.get("PREFECT_HOME") or "~/.prefect"
    profiles = os.environ.get("PREFECT_PROFILES_PATH") or f"{folder}/profiles.toml"
    files = {profiles: "API_URL", ".env": "API_URL", "prefect.toml": "url", "pyproject.toml": "tool.prefect"}
    if not any(_mentions(os.path.expanduser(path), word) for path, word in files.items()):
        return None
    configure()
    from prefect.settings import PREFECT_API_URL

    return PREFECT_API_URL.value()


def _mentions(path: str, word: str) -> bool:
    try:
        return word in Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def reread() -> None:
    """Let prefect read the environment again, where it has done so already."""
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def locked(file: IO[str], wait: bool) -> bool:
    """Lock an open file until it is closed, or its process ends."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _secret(path: Path) -> str:
    try:
        # From the start nobody else's: never readable first and closed afterwards.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(f"affectlake:{secrets.token_urlsafe(32)}")
    except FileExistsError:
        pass
    found = path.stat()
    if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & 0o077):
        raise AffectlakeError(f"{path} must belong to the user who runs this, and to no others (mode 600): delete it")
    secret = path.read_text().strip()
    if ":" not in secret:
        raise AffectlakeError(f"{path} holds no secret of the form user:password: delete it")
    return secret


def _migrated(folder: Path) -> None:
    """Make or upgrade Prefect's database, once for each version of Prefect."""
    where = os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL") or os.environ.get(
        "PREFECT_SERVER_DATABASE_CONNECTION_URL", ""
    )
    mark = folder / "affectlake-database"
    now = f"{version('prefect')} {hashlib.sha256(where.encode()).hexdigest()}"
    if mark.exists() and mark.read_text() == now and (where or (folder / "prefect.db").exists()):
        return
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, umask=0o077, timeout=MIGRATION_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise AffectlakeError(f"Prefect's database was not ready within {MIGRATION_SECONDS} s") from None
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise AffectlakeError(f"Prefect's database cannot be made ready: {lines[-1] if lines else done.returncode}")
    for file in folder.glob("prefect.db*"):
        file.chmod(file.stat().st_mode & ~0o007)  # what is in it names people and files
    mark.write_text(now)
