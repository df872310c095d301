"""Commands that run in the training core: each starts `python -m segda_core.…` and returns its exit code."""

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

import typer

from launcher.commands.quality import report_request
from launcher.expand.profile import load_profile
from launcher.processes.foreground import run_core
from launcher.trials.find import find_trial, sweep_names
from segda_core.config import PROTOCOLS, MadeName
from segda_core.errors import ConfigError, did_you_mean
from segda_core.files import from_home

core_app = typer.Typer()
data_app = typer.Typer(no_args_is_help=True, help="Images: make those segda draws itself, check any.")
core_app.add_typer(data_app, name="data")
cache_app = typer.Typer(
    no_args_is_help=True,
    help="Decoded images, kept for all trials in data/cache or SEGDA_CACHE=DIR, up to SEGDA_CACHE_GB=120.",
)
data_app.add_typer(cache_app, name="cache")

Runs = Annotated[
    Path,
    typer.Option(
        "--runs",
        metavar="DIR",
        file_okay=False,
        callback=from_home,
        help="Folder that holds all results.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TrialWord = Annotated[str, typer.Argument(metavar="TRIAL", help="Id, its beginning, or the directory.")]
RUNS = Path("runs")


def note(line: str) -> None:
    """Say something beside what was asked for, which programs may read from stdout."""
    print(line, file=sys.stderr)


@core_app.command(epilog="Example: segda evaluate joint-streets-n10-s0 --protocol mirror")
def evaluate(
    trial: Annotated[str, typer.Argument(metavar="TRIAL|CHECKPOINT")],
    data: Annotated[str | None, typer.Option(metavar="P", help="Data profile; else the trial's own.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Preset; else the profile's own.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result here as JSON.")] = None,
    as_json_: AsJson = False,
    runs: Runs = RUNS,
) -> None:
    """Score a trained segmenter again, on other data or under another protocol."""
    _check_word("--protocol", protocol, PROTOCOLS)
    path = _weights(trial, runs)
    profile = None if data is None else load_profile(data)[0]
    options = _options({"--data": profile, "--protocol": protocol, "--out": out})
    _child("segda_core.evaluate", str(path), *options, *(["--json"] if as_json_ else []))


@core_app.command(epilog="Example: segda predict joint-streets-n10-s0 photos/ --out predictions")
def predict(
    trial: Annotated[str, typer.Argument(metavar="TRIAL|CHECKPOINT")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Files or folders.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pictures go.")],
    protocol: Annotated[str | None, typer.Option(help="Preset; else the trial's own.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Write colour, overlay and train-id pictures of a segmenter's predictions."""
    _check_word("--protocol", protocol, PROTOCOLS)
    options = _options({"--out": out, "--protocol": protocol})
    _child("segda_core.predict", str(_weights(trial, runs)), *map(str, images), *options)


@core_app.command(epilog="Example: segda quality target_size --only method=adaptsegnet")
def quality(
    word: Annotated[str, typer.Argument(metavar="TRIAL|CHECKPOINT|SWEEP")],
    full: Annotated[
        bool,
        typer.Option("--full", help="Every metric, on 500 images; a sweep: those."),
    ] = False,
    images: Annotated[
        int | None, typer.Option(min=5, help="Of each domain, for a trial or checkpoint.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ID|axis=value", help="Of a sweep, these trials; repeatable.")
    ] = None,
    as_json_: AsJson = False,
    runs: Runs = RUNS,
) -> None:
    """Measure adaptation without target labels, or ask how far a sweep's measures follow mIoU."""
    flags = ["--json"] if as_json_ else []
    if word in sweep_names(runs):
        request = report_request(word, runs, only or [], full, note)
        _child("segda_core.quality.report", *flags, stdin=json.dumps(request))
    path = _weights(word, runs)
    flags += ["--full"] if full else []
    _child("segda_core.quality", str(path), *_options({"--images": images}), *flags)


@data_app.command("make", epilog="Example: segda data make streets")
def data_make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="streets")],
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Else where sweeps look for it.")] = None,
) -> None:
    """Draw a pair of domains."""
    _check_word("NAME", name, get_args(MadeName))
    _child("segda_core.data", "make", name, *_options({"--root": root}))


@data_app.command("check", epilog="Example: segda data check gta5_cityscapes")
def data_check(
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="In sweeps/data/, by name or path.")],
    as_json_: AsJson = False,
) -> None:
    """Open every image of a profile: counts, sizes, share of each class, problems."""
    path, _ = load_profile(profile)
    _child("segda_core.data", "check", str(path), *(["--json"] if as_json_ else []))


@cache_app.command("build", epilog="Example: segda data cache build gta5_cityscapes")
def cache_build(
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="In sweeps/data/, by name or path.")],
) -> None:
    """Decode, resize and keep a profile's images now; trials do so as they go."""
    path, _ = load_profile(profile)
    _child("segda_core.data", "cache", "build", str(path))


@cache_app.command("list", epilog="Example: segda data cache list")
def cache_list(as_json_: AsJson = False) -> None:
    """Show what is kept: domain, size, bytes, last use."""
    _child("segda_core.data", "cache", "list", *(["--json"] if as_json_ else []))


@cache_app.command("clear", epilog="Example: segda data cache clear")
def cache_clear() -> None:
    """Remove all that is kept, while nothing runs on other machines; trials here decode again."""
    _child("segda_core.data", "cache", "clear")


def _weights(word: str, runs: Path) -> Path:
    """A checkpoint, or the directory of the trial that is called so."""
    if Path(word).is_file():
        return Path(word)
    if Path(word).suffix == ".pt" and not Path(word).exists():
        raise ConfigError([f"{word}: there is no such checkpoint"])
    return find_trial(word, runs).root


def _options(given: dict[str, Any]) -> list[str]:
    """Those options that were given, as words; ~ in a path is the home folder, as in --out=~/pictures."""
    words = ((name, from_home(value) if isinstance(value, Path) else value) for name, value in given.items())
    return [word for name, value in words if value is not None for word in (name, str(value))]


def _check_word(place: str, word: str | None, allowed: Collection[str]) -> None:
    """The training core would refuse it in the name of a command that nobody typed."""
    if word is not None and word not in allowed:
        near = did_you_mean(word, list(allowed))
        raise ConfigError([f"{place}: found {word!r}; allowed: {', '.join(allowed)}{near}"])


def _child(module: str, *words: str, stdin: str | None = None) -> NoReturn:
    """Run a command of the training core and leave with its exit code."""
    raise typer.Exit(run_core(module, *words, stdin=stdin))
