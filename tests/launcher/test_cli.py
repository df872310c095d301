import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from launcher.cli import app, main

pytestmark = pytest.mark.processes

COMMANDS = ["sweep", "status", "logs", "cancel", "explain", "leaderboard", "prune", "evaluate", "predict"]
DATA_COMMANDS = [["make"], ["check"], ["cache", "build"], ["cache", "list"], ["cache", "clear"]]


@pytest.mark.parametrize(
    "words",
    [[], *[[command] for command in COMMANDS], ["schema"], *[["data", *words] for words in DATA_COMMANDS]],
)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert "Example: segda" in re.sub(r"\x1b\[[0-9;]*m", "", result.output)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["swep"], "Did you mean 'sweep'"),
        (["sweep", "x", "--onyl", "y"], "--only"),
        (["sweep", "no_such"], "no sweep 'no_such'"),
        (["status", "no_such"], "no sweep 'no_such' in runs"),
        (["logs", "no_such"], "no trial 'no_such'"),
        (["sweep", "smoke", "--json"], "goes with --dry-run"),
        (["sweep", "smoke", "--retry", ""], "--retry: found ''"),
        (["schema", "/dev/null/folder"], "Not a directory"),
        (["evaluate", "x", "--protocol", "mirro"], "--protocol: found 'mirro'; allowed: single, mirror, "),
        (["predict", "x.pt", "a.png", "--out", "y", "--protocol", "mirro"], "did you mean 'mirror'?"),
        (["data", "make", "street"], "NAME: found 'street'; allowed: streets; did you mean 'streets'?"),
        (["predict", "none.pt", "x.png", "--out", "o"], "none.pt: there is no such checkpoint"),
        (["sweep", "target.yaml"], "no sweep 'target.yaml'; there are: adaptsegnet"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["segda", *words])
    monkeypatch.setattr("launcher.cli.COLLECT_EVERY", gc.get_threshold()[0])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capfd.readouterr().err


def test_starts_without_torch(tmp_path: Path) -> None:
    code = "import sys, launcher.cli; print(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "torchvision", "timm", "numpy", "ray", "submitit"} & set(modules.split())


def test_the_home_folder_is_meant_where_a_shell_left_its_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind `=` in bash."""
    monkeypatch.setenv("HOME", "/home/her")
    given: list[str] = []
    monkeypatch.setattr("launcher.commands.core._child", lambda *words: given.extend(words))
    assert CliRunner().invoke(app, ["data", "make", "streets", "--root=~/drawn"]).exit_code == 0
    assert given[-2:] == ["--root", "/home/her/drawn"]
