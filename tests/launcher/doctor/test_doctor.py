"""Each check on this machine as it is, and on one that lacks something."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from domains import write_cityscapes, write_gta5
from small_sweep import PROFILE, SmallSweep

from launcher.doctor import ray, report
from launcher.doctor.ask import ask
from launcher.doctor.data import check_data
from launcher.doctor.disk import check_disk, check_file_system, file_system
from launcher.doctor.finding import Finding, Level, Scope
from launcher.doctor.leftovers import check_orphans
from launcher.doctor.machine import check_gpus, check_shared_memory, check_software
from launcher.doctor.slurm import check_slurm
from launcher.processes.process import ATTEMPT_VARIABLE, identity
from segda_core.config import Profile
from segda_core.files import write_json

pytestmark = pytest.mark.processes


def only(findings: Iterator[Finding]) -> Finding:
    [finding] = findings
    return finding


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the only one with programs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_programs_are_waited_for_but_not_for_ever(nothing_installed: Path) -> None:
    program(nothing_installed, "slow", "exec /bin/sleep 60")
    program(nothing_installed, "broken", "echo it is broken >&2; exit 3")
    program(nothing_installed, "fine", "echo one; echo; echo two")
    before = time.monotonic()
    assert ask(["slow"], patience=0.3).fault == "slow: no answer within 0 s"
    assert time.monotonic() - before < 10
    assert ask(["broken"]).fault == "broken: it is broken"
    assert ask(["fine"]).lines == ["one", "two"]
    assert not ask(["absent"]).installed


def test_a_check_that_breaks_or_hangs_does_not_keep_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def breaks(scope: Scope) -> Iterator[Finding]:
        raise RuntimeError("out of order")

    def hangs(scope: Scope) -> Iterator[Finding]:
        time.sleep(600)
        yield Finding(Level.OK, "")

    monkeypatch.setattr(report, "CHECKS", {"a": breaks, "b": hangs, "c": check_software})
    monkeypatch.setattr(report, "PATIENCE_S", 1.0)
    found = dict(report.examine(Scope(tmp_path)))
    assert found["a"].message == "could not be checked: RuntimeError: out of order"
    assert found["b"].message == "no answer within 1 s"
    assert found["c"].level is Level.OK and "torch" in found["c"].facts


def test_a_machine_without_gpus_and_slurm(nothing_installed: Path, tmp_path: Path) -> None:
    assert only(check_gpus(Scope(tmp_path))).facts["gpus"] == 0
    assert "not installed" in only(check_slurm(Scope(tmp_path))).message


def test_gpus_as_the_driver_tells(nothing_installed: Path, tmp_path: Path) -> None:
    program(
        nothing_installed,
        "nvidia-smi",
        "echo '0, NVIDIA H100, 81559, 12'; echo '1, NVIDIA H100, 81559, 70000'",
    )
    free, taken, torch = check_gpus(Scope(tmp_path))
    assert free.level is Level.OK and free.message == "GPU 0, NVIDIA H100: 0.0 of 79.6 GiB in use"
    assert taken.level is Level.WARNING and "68.4 of 79.6" in taken.message
    assert torch.facts["torch"]
    program(nothing_installed, "nvidia-smi", "echo 'Failed to initialize NVML' ; exit 18")
    assert only(check_gpus(Scope(tmp_path))).level is Level.PROBLEM


def test_the_memory_that_loader_processes_share(tmp_path: Path) -> None:
    assert only(check_shared_memory(Scope(tmp_path))).facts["total_bytes"] > 0


def test_disk_and_file_system_of_a_runs_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    scope = Scope(tmp_path / "runs" / "below")
    disk = next(check_disk(scope))
    assert disk.facts["folder"] == str(tmp_path) and disk.facts["free_bytes"] > 0
    able = only(check_file_system(scope))
    assert able.level is Level.OK and able.facts["hard_links"] and able.facts["locks"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_where_nothing_can_be_written() -> None:
    scope = Scope(Path("/proc"))
    assert file_system(scope.folder) == "proc"
    assert next(check_disk(scope)).level is Level.PROBLEM
    assert only(check_file_system(scope)).level is Level.PROBLEM


def test_the_images_of_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope = Scope(tmp_path, Profile.model_validate(PROFILE))
    missing = only(check_data(scope))
    assert missing.level is Level.PROBLEM and "data/render" in missing.message
    write_gta5(tmp_path / "data" / "render", 3)
    write_cityscapes(tmp_path / "data" / "camera", 5, 2)
    assert only(check_data(scope)).message == "small: 3 source, 5 target, 2 validation images"
    drawn = Profile.model_validate({**PROFILE, "make": "streets", "name": "other", "domains": elsewhere()})
    assert only(check_data(Scope(tmp_path, drawn))).level is Level.NOTE, "segda can draw them"


def elsewhere() -> dict:
    return {name: {**domain, "root": "nowhere"} for name, domain in PROFILE["domains"].items()}


def test_workers_whose_runner_is_gone(tmp_path: Path) -> None:
    attempt = str(tmp_path / "trial's" / "attempts" / "1")

    def mine() -> list[Finding]:
        return [each for each in check_orphans(Scope(tmp_path)) if each.facts.get("attempt") == attempt]

    def process(*words: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", "import time; time.sleep(600)", *words]
        return subprocess.Popen(command, env={**os.environ, ATTEMPT_VARIABLE: attempt})

    worker, runner = process(), process("launcher.attempt")
    try:
        assert mine() == []
        runner.kill()
        runner.wait()
        assert mine()[0].facts["pids"] == [worker.pid]
        assert f"kill -9 {worker.pid}" in mine()[0].advice
    finally:
        for each in (worker, runner):
            each.kill()
            each.wait()
    assert mine() == []


def test_what_a_dead_ray_head_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "FOLDERS", tmp_path)
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", str(tmp_path / "runtime"))
    folder = tmp_path / f"segda-ray-{os.getuid()}-abc"
    head = {"address": "h:1", "dashboard": "http://h:2", "folder": str(folder), "cpus": 2, "gpus": 0}
    write_json(folder / "head.json", {**head, "keeper": identity()})
    assert [each.level for each in ray.check_ray(Scope(tmp_path))] == [Level.NOTE]
    write_json(folder / "head.json", {**head, "keeper": {**identity(), "pid_start": 1}})
    assert [each.level for each in ray.check_ray(Scope(tmp_path))] == [Level.NOTE, Level.WARNING]


def test_the_command_line(tmp_path: Path) -> None:
    sweep = SmallSweep(tmp_path, {"seed": [0]}, 1)
    code, output = sweep.run("doctor", "small", "--json")
    found = json.loads(output)
    levels = {each["level"] for each in found}
    assert [each["subject"] for each in found if each["subject"] == "data"]
    assert code == (1 if "problem" in levels else 0)
    assert set(report.CHECKS) == {each["subject"] for each in found}
    (tmp_path / "data" / "camera").rename(tmp_path / "moved")
    code, output = sweep.run("doctor", "small")
    assert code == 1
    assert "problem data:" in output and "SEGDA_DATA" in output
    assert sweep.run("doctor", "smal")[0] == 2, "an unknown profile is a wrong use"
