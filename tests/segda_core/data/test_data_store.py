"""The image cache's files: whole or absent whoever writes, is killed or clears, and within their budget."""

import errno
import mmap
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from segda_core.data.store import BUDGET_VARIABLE, UNUSED_S, Store, open_store
from segda_core.errors import ConfigError

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
NAME = "game-0a1b2c3d/32x16/{}.pixels"
EARLIER = time.time() - 2 * UNUSED_S


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "the cache's folder", budget=1e6)


def fill(store, count, size=100):
    """Entries of `size` bytes of pixels each; how long the files are."""
    for number in range(count):
        store.write(NAME.format(number), {}, np.full((size,), number, dtype=np.uint8))
    return [entry.size for entry in store.entries()]


def test_what_was_written_is_read_mapped_with_its_facts(store):
    assert store.read(NAME.format(0)) is None
    store.write(NAME.format(0), {"source": "/a/ü.png"}, PIXELS[:, ::-1])
    facts, pixels = store.read(NAME.format(0))
    assert facts == {"source": "/a/ü.png", "shape": [2, 3, 3]}
    np.testing.assert_array_equal(pixels, PIXELS[:, ::-1])
    assert not pixels.flags.writeable and not pixels.flags.owndata
    assert not store.refusal


def test_pixels_outlive_their_file(store):
    store.write(NAME.format(0), {}, PIXELS)
    _, pixels = store.read(NAME.format(0))
    store.clear()
    assert store.read(NAME.format(0)) is None
    np.testing.assert_array_equal(pixels, PIXELS)


@pytest.mark.parametrize("keep", [0, 3, -1])
def test_a_file_cut_short_is_not_read_and_is_written_anew(store, keep):
    store.write(NAME.format(0), {}, PIXELS)
    path = store.root / NAME.format(0)
    path.write_bytes(path.read_bytes()[:keep])
    assert store.read(NAME.format(0)) is None
    store.write(NAME.format(0), {}, PIXELS)
    np.testing.assert_array_equal(store.read(NAME.format(0))[1], PIXELS)


def test_of_two_writers_the_later_leaves_what_is_there(store):
    fill(store, 1)
    before = (store.root / NAME.format(0)).stat()
    store.write(NAME.format(0), {}, np.zeros(100, dtype=np.uint8))
    assert (store.root / NAME.format(0)).stat().st_ino == before.st_ino
    assert len(list((store.root / NAME).parent.iterdir())) == 1


def test_the_budget_is_kept_by_several_writers_and_said(tmp_path):
    budget = 5000
    stores = [Store(tmp_path, budget) for _ in range(4)]

    def write(number):
        for each in range(20):
            stores[number].write(NAME.format(f"{number}-{each}"), {}, np.zeros(200, dtype=np.uint8))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    used = sum(entry.size for entry in stores[0].entries())
    assert budget - 4 * 250 < used <= budget + 4 * 250
    assert all(f"{tmp_path} has reached its 5e-06 GB (SEGDA_CACHE_GB)" == store.refusal for store in stores)


def test_what_nobody_used_for_long_makes_room_and_what_is_used_stays(store):
    sizes = fill(store, 10)
    for number in range(4):
        os.utime(store.root / NAME.format(number), (EARLIER + number, EARLIER + number))
    assert store.read(NAME.format(0)) is not None  # renews its time of use
    tight = Store(store.root, sum(sizes) + 60)
    tight.write(NAME.format("new"), {}, np.zeros(100, dtype=np.uint8))
    left = {entry.path.stem for entry in tight.entries()}
    assert left == {"0", "2", "3", "4", "5", "6", "7", "8", "9", "new"}
    for number in (10, 11):
        tight.write(NAME.format(number), {}, np.zeros(100, dtype=np.uint8))
    assert not tight.refusal
    tight.write(NAME.format(12), {}, np.zeros(100, dtype=np.uint8))
    assert "has reached" in tight.refusal
    assert {entry.path.stem for entry in tight.entries()} == left - {"2", "3"} | {"10", "11"}


def test_a_budget_of_nothing_takes_nothing_from_others(store):
    fill(store, 3)
    for entry in store.entries():
        os.utime(entry.path, (EARLIER, EARLIER))
    without = Store(store.root, budget=0)
    without.write(NAME.format(9), {}, PIXELS)
    assert len(list(store.entries())) == 3 and "0 GB" in without.refusal


def test_a_file_system_that_maps_nothing_is_read(store, monkeypatch):
    store.write(NAME.format(0), {}, PIXELS)

    def refuse(*_, **__):
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(mmap, "mmap", refuse)
    np.testing.assert_array_equal(store.read(NAME.format(0))[1], PIXELS)


def test_a_file_of_somebody_else_is_no_image(store):
    path = store.root / NAME.format(0)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no line of JSON\n")
    (entry,) = store.entries()
    assert store.facts(entry) is None and store.read(NAME.format(0)) is None


def test_a_nearly_full_disk_is_left_alone(store, monkeypatch):
    monkeypatch.setattr("segda_core.data.store.SHARE_LEFT_FREE", 1.0)
    assert fill(store, 2) == []
    assert store.refusal == f"{store.root}: less than 100% of the disk would be free"


def test_a_folder_that_cannot_be_made_only_costs_time(tmp_path):
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file", budget=1e6)
    assert fill(store, 2) == []
    assert store.read(NAME.format(0)) is None
    assert store.refusal == f"{tmp_path / 'file'}: File exists"


def test_a_disk_that_fills_up_leaves_no_half_file(store, monkeypatch):
    fill(store, 1)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store.write(NAME.format(1), {}, PIXELS)
    assert store.refusal == f"{store.root}: No space left on device"
    assert [path.name for path in (store.root / NAME).parent.iterdir()] == ["0.pixels"]


def test_clearing_removes_our_files_alone(store):
    fill(store, 3)
    others = [
        store.root / "mine.txt",
        store.root / "game-0a1b2c3d/32x16/notes.txt",
        store.root / "a/b/c.part",
    ]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        os.utime(path, (1, 1))
    assert store.clear() > 300
    assert list(store.entries()) == []
    assert all(path.exists() for path in others)
    assert store.clear() == 0


WRITES_FOR_EVER = """
import sys
from pathlib import Path
import numpy as np
from segda_core.data.store import Store
store, number = Store(Path(sys.argv[1]), 1e9), int(sys.argv[2])
while True:
    for each in range(40):
        name = f"game/own/{(each + number) % 40}.pixels"
        store.write(name, {}, np.full((300_000,), (each + number) % 40, dtype=np.uint8))
    print(flush=True)
    if number == 0:
        store.clear()
"""


@pytest.mark.processes
def test_writers_killed_at_any_moment_leave_nothing_half_read(store):
    """Three write the same names, one of them clearing again and again, until each is killed."""
    command = [sys.executable, "-c", WRITES_FOR_EVER, store.root]
    writers = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE) for n in (0, 7, 7)]
    for writer in writers:
        writer.stdout.readline()
    read = 0
    for number, writer in enumerate(writers):
        time.sleep(0.1 * number)
        read += whole(store)
        assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    fill(store, 1)
    assert read + whole(store) > 0
    for path in store.root.rglob(".*"):
        os.utime(path, (EARLIER, EARLIER))
    list(store.entries())
    assert not list(store.root.rglob(".*"))


def whole(store):
    """How many entries there are, each of them with the pixels of its number."""
    found = [(number, store.read(f"game/own/{number}.pixels")) for number in range(40)]
    for number, entry in found:
        assert entry is None or np.unique(entry[1]).tolist() == [number]
    return sum(entry is not None for _, entry in found)


def test_the_environment_names_folder_and_budget(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGDA_CACHE", str(tmp_path))
    monkeypatch.setenv(BUDGET_VARIABLE, "0.5")
    assert (open_store().root, open_store().budget) == (tmp_path, 5e8)
    monkeypatch.delenv("SEGDA_CACHE")
    monkeypatch.setenv("SEGDA_DATA", "/images")
    assert open_store().root == Path("/images/cache")
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv(BUDGET_VARIABLE, wrong)
        with pytest.raises(ConfigError, match=f"SEGDA_CACHE_GB: found '{wrong}'"):
            open_store()
