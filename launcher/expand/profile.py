"""Finding and reading data profiles and sweep files by name."""

from pathlib import Path

from segda_core.checkout import CHECKOUT
from segda_core.config import Profile
from segda_core.errors import ConfigError, did_you_mean, load_yaml, parse

SHIPPED = CHECKOUT / "sweeps"
"""Sweeps beside the installed checkout, used where the working directory has none of that name."""


def load_profile(name: str, beside: Path | None = None) -> tuple[Path, Profile]:
    """The profile `data/NAME.yaml` of the sweeps (first of the folder `beside`), or the file given."""
    places = [Path("sweeps"), SHIPPED] if beside is None else [beside, Path("sweeps"), SHIPPED]
    path = find_yaml(name, [place / "data" for place in places], "data profile")
    profile = parse(Profile, load_yaml(path), str(path))
    check_name(profile.name, path)
    return path, profile


def find_sweep_file(name: str) -> Path:
    """`sweeps/NAME.yaml` here or beside the installed checkout, or the file given."""
    return find_yaml(name, [Path("sweeps"), SHIPPED], "sweep")


def find_yaml(name: str, folders: list[Path], kind: str) -> Path:
    """The file itself, or `NAME.yaml` in the first folder that has it; `ConfigError` with near names."""
    path = Path(name)
    word = path.stem if path.suffix in (".yaml", ".yml") else path.name
    named = next((file for folder in folders if (file := folder / f"{word}.yaml").is_file()), None)
    if name == word and named is not None:
        return named
    if name != word and path.is_file():
        return path
    if named is not None:
        raise ConfigError([f"{path}: no such file; did you mean {named}?"])
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    allowed = ", ".join(known) or f"none in {' or '.join(dict.fromkeys(map(str, folders)))}"
    raise ConfigError([f"no {kind} {name!r}; there are: {allowed}{did_you_mean(word, known)}"])


def check_name(name: str, path: Path) -> None:
    """A copied file that keeps the old name would pass its results off as the other's."""
    if name != path.stem:
        raise ConfigError([f"{path}: name: found {name!r}; allowed: {path.stem!r}, as the file is called"])
