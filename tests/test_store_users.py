"""What another user of the machine may do, tried as one, which needs root."""

import os
import subprocess
import sys
import tempfile

import pytest
from lakes import contents_of, expected, read, refresh

from affectlake.data import Store

OTHER, GROUP = 2001, 2000
ANALYST = """
import sys
from affectlake.data.errors import AffectlakeError
from affectlake.data.store import Store
store = Store(sys.argv[1])
print(len(store.load("d")), len(store.records("benchmarks")))
for act in (lambda: store.tidy("d"), lambda: store.erase("d", speaker="speaker-p3")):
    try:
        act()
    except AffectlakeError as error:
        print(error)
"""
COLLEAGUE = """
import os, sys
os.umask(0o002)
from affectlake.data.store import Store
receipt = Store(sys.argv[1]).erase("d", speaker="speaker-p3")
print(receipt["samples"], receipt["still_found_in"], receipt["left"])
"""


BECOME = """
import os, pkgutil, importlib
import affectlake.data.store, affectlake.flows.erasure, deltalake.fs, pyarrow.dataset, pyarrow.fs
for module in pkgutil.iter_modules(affectlake.data.store.__path__):  # who we become may not read where they lie
    importlib.import_module("affectlake.data.store." + module.name)
affectlake.data.store._beyond.keepers()
os.setgroups([]); os.setgid({group}); os.setuid({user})
"""


def as_other(script, store, group):
    """What a script prints when another user runs it."""
    become = BECOME.format(group=group, user=OTHER)
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
    command = [sys.executable, "-c", become + script, store.uri]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def store():
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        os.chmod(folder, 0o755)
        store = Store(os.path.join(folder, "lake"), create=True)
        refresh(store, contents_of(40))
        yield store


def shared(store, mode_folder, mode_file):
    for folder, _, names in os.walk(store.uri):
        os.chown(folder, 0, GROUP)
        os.chmod(folder, mode_folder)
        for name in names:
            os.chown(os.path.join(folder, name), 0, GROUP)
            os.chmod(os.path.join(folder, name), mode_file)


def test_strangers_get_nothing(store):
    assert "no right to read the store" in as_other(ANALYST, store, OTHER).stderr


def test_an_analyst_reads_and_changes_nothing(store):
    shared(store, 0o750, 0o640)
    done = as_other(ANALYST, store, GROUP)
    lines = done.stdout.splitlines()
    assert lines[0] == "40 0", done.stderr
    assert len(lines) == 3 and all("cannot be written" in line for line in lines[1:])
    assert read(store) == expected(contents_of(40))


def test_a_colleague_erases(store):
    shared(store, 0o2770, 0o660)
    done = as_other(COLLEAGUE, store, GROUP)
    assert done.stdout.split() == ["6", "[]", "[]"], done.stderr
    assert read(store) == expected({i: c for i, c in contents_of(40).items() if not i.startswith("p3-")})
