"""Folders that no corpus should have, and some have all the same."""

import logging
import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from affectlake.data.corpus_files import named
from affectlake.data.media import local_path
from affectlake.data.samples import samples_frame

CLIP = re.compile(r"clip\d")


def clips(root: Path) -> list[str]:
    return [path for path, _ in named(root, CLIP, (".wav",))]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_a_folder_whose_name_is_not_utf_8_is_kept_as_an_address(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9 1")
    folder.mkdir()
    (folder / "clip1.wav").write_bytes(b"x")
    (tmp_path / "clip0.wav").write_bytes(b"x")
    plain, address = clips(tmp_path)
    assert plain == str(tmp_path / "clip0.wav") and address.endswith("/caf%E9%201/clip1.wav")
    frame = samples_frame(pd.DataFrame({"sample_id": ["a", "b"], "audio": [plain, address]}), "d")
    assert frame["audio"].tolist() == [plain, address] and Path(local_path(address)).read_bytes() == b"x"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_links_to_the_kernels_folders_are_passed_over(tmp_path, caplog):
    (tmp_path / "proc").symlink_to("/proc")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "clip1.wav").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        assert clips(tmp_path) == [str(tmp_path / "clip1.wav")]
    assert "is passed over: it is the kernel's" in caplog.text
