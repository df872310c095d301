"""The import rule: what may import what, no cycles, and a command line that starts at once."""

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = {
    "segda_core.checkout", "segda_core.classes", "segda_core.config", "segda_core.errors", "segda_core.files",
    "segda_core.process", "segda_core.trials.causes", "segda_core.trials.layout", "segda_core.trials.parents",
    "segda_core.trials.tasks", "segda_core.trials.trial_history",
}  # fmt: skip
"""All of the core that the launcher sees."""

HEAVY = {"torch", "torchvision", "timm", "tensorboard", "numpy", "PIL", "matplotlib"}
BACKENDS = {"ray", "submitit"}


def source_files() -> dict[str, Path]:
    """Module name -> file, of both packages."""
    paths = [path for package in ("launcher", "segda_core") for path in (ROOT / package).rglob("*.py")]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


MODULES = source_files()


@cache
def imports(module: str) -> frozenset[str]:
    """Every module that one imports, at its top, inside functions or for types alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            inner = {name for name in names if name in MODULES}
            found |= inner or {str(node.module)}
    return frozenset(found)


def packages(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(module)}


def of(package: str) -> list[str]:
    return [name for name in MODULES if name.partition(".")[0] == package]


@pytest.mark.parametrize("module", of("launcher"))
def test_the_launcher_sees_only_the_shared_part_of_the_core_and_no_torch(module: str) -> None:
    core = {name for name in imports(module) if name.startswith("segda_core")}
    assert core <= SHARED
    assert not packages(module) & HEAVY
    if not module.startswith("launcher.executors."):
        assert not packages(module) & BACKENDS


@pytest.mark.parametrize("module", of("segda_core"))
def test_the_core_knows_neither_launcher_nor_schedulers(module: str) -> None:
    assert not packages(module) & ({"launcher"} | BACKENDS)


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("segda_core.methods.")])
def test_no_method_imports_another(module: str) -> None:
    methods = {name for name in imports(module) if name.startswith("segda_core.methods")}
    assert methods <= {"segda_core.methods.base"}


def test_no_import_cycles_lazy_ones_included() -> None:
    assert list(cycles()) == []


def cycles() -> Iterator[list[str]]:
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> Iterator[list[str]]:
        if module in trail:
            yield [*trail[trail.index(module) :], module]
            return
        if module in done:
            return
        for other in sorted(imports(module) & MODULES.keys()):
            yield from visit(other, [*trail, module])
        done.add(module)

    for module in MODULES:
        yield from visit(module, [])


def test_nothing_is_imported_that_the_project_does_not_have() -> None:
    own = {
        name for module in MODULES for name in imports(module) if name.startswith(("launcher", "segda_core"))
    }
    assert own <= MODULES.keys()


@pytest.mark.processes
@pytest.mark.parametrize("module", ["launcher.cli", "segda_core.data.__main__"])
def test_torch_is_not_loaded_by(module: str) -> None:
    code = f"import {module}, sys; print(*sorted({{'torch', 'ray', 'submitit'}} & set(sys.modules)))"
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == ""


@pytest.mark.alone
@pytest.mark.processes
def test_the_command_line_starts_in_half_a_second() -> None:
    """Processor time, once in sixty tries: what else the machine does only ever adds to it.

    Where the machine is slow, by what the libraries alone take: 0.21 s where the command line took 0.40.
    """
    assert any(starts_quickly() for _ in range(60))


LIBRARIES = "import yaml, rich.live, typer, pydantic\nclass A(pydantic.BaseModel):\n x: int"


def starts_quickly() -> bool:
    seconds = start_seconds("import launcher.cli")
    return seconds < 0.5 or seconds < 2.3 * start_seconds(LIBRARIES)


def start_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
