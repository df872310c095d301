"""Reading and writing a trial's files."""

import errno
import os
import resource
from pathlib import Path, PosixPath
from typing import Any

import pytest

from segda_core.files import STALE_TRIES, read_json, write_text


class OnNfs(PosixPath):
    """A file that fails when it is opened, some times."""

    faults = 0
    number = errno.ESTALE

    def open(self, *arguments: Any, **options: Any) -> Any:
        if self.faults:
            self.faults -= 1
            raise OSError(self.number, os.strerror(self.number), str(self))
        return super().open(*arguments, **options)


@pytest.fixture
def file(tmp_path: Path) -> OnNfs:
    (tmp_path / "heartbeat.json").write_text('{"step": 3}')
    return OnNfs(tmp_path / "heartbeat.json")


def test_a_file_that_was_replaced_on_another_machine_meanwhile_is_read_again(file: OnNfs) -> None:
    file.faults = STALE_TRIES - 1
    assert read_json(file) == {"step": 3}
    file.faults = STALE_TRIES
    with pytest.raises(OSError, match="Stale file handle"):
        read_json(file)


def test_every_other_fault_is_an_answer(file: OnNfs) -> None:
    file.faults, file.number = 1, errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        read_json(file)
    file.unlink()
    assert read_json(file) is None


def test_a_file_for_which_there_is_no_room_is_named(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with pytest.raises(OSError, match=f"'{tmp_path}/new'$"):
            write_text(tmp_path / "new", "more than a byte")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
