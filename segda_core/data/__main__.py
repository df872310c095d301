"""`python -m segda_core.data`: makes and checks images, and tells the launcher what its trials will open.

Never imports torch, and what `manifest` does not need only where it is used: the launcher waits for it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from segda_core.config import Profile
from segda_core.data.index import expand_root
from segda_core.data.manifest import ManifestReader
from segda_core.errors import ConfigError, DataError, load_yaml, parse
from segda_core.process import end_on_signals

ROOTS = {"streets": "${SEGDA_DATA:-data}/streets-v1"}
"""Images segda can make, and where the profiles that come with it look for them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 `check` found problems, 2 wrong usage, configuration or unusable folder."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (ConfigError, DataError) as error:
        print(error, file=sys.stderr)
        return 2
    return code


def make(options: argparse.Namespace) -> int:
    """Write a set of images drawn by segda itself."""
    from segda_core.data.streets import make_streets

    folder = _folder(options)
    try:
        drawn = make_streets(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror or error}") from error
    if not drawn:
        print(f"{folder}: something is there already; nothing is drawn", file=sys.stderr)
    return 0


def _folder(options: argparse.Namespace) -> Path:
    if options.profile is None:
        return options.root or expand_root(ROOTS[options.name])
    profile = parse(Profile, load_yaml(options.profile), str(options.profile))
    folders = sorted({expand_root(domain.root).parent for domain in profile.domains.values()})
    if len(folders) > 1:
        lie = " and ".join(map(str, folders))
        raise DataError(
            f"{options.profile}: make: its domains are drawn into one folder; their roots lie in {lie}"
        )
    return folders[0]


def check(options: argparse.Namespace) -> int:
    """Open every image of a profile and print what is there and what is wrong."""
    from rich.console import Console

    from segda_core.data.check import check_profile, render

    report = check_profile(options.profile)
    if options.json:
        print(json.dumps(asdict(report), indent=1))
    else:
        Console().print(render(report), crop=False)  # file names stay whole
    return 1 if report.problems else 0


def cache_build(options: argparse.Namespace) -> int:
    """Decode, resize and keep the images of a profile."""
    from rich.console import Console

    from segda_core.data import cache
    from segda_core.data.store import open_store

    store = open_store()
    for fault in cache.build(options.profile, store):
        print(f"skipped: {fault}", file=sys.stderr)
    Console().print(cache.render(store))
    if store.refusal:
        print(f"not everything is kept: {store.refusal}", file=sys.stderr)
    return 1 if store.refusal else 0


def cache_list(options: argparse.Namespace) -> int:
    """What the cache holds."""
    from rich.console import Console

    from segda_core.data import cache
    from segda_core.data.store import open_store

    store = open_store()
    if options.json:
        print(json.dumps(cache.as_json(store), indent=1))
    else:
        Console().print(cache.render(store))
    return 0


def cache_clear(options: argparse.Namespace) -> int:
    """Remove everything from the cache."""
    from segda_core.data.store import open_store

    store = open_store()
    print(f"{store.root}: {store.clear() / 1e9:.2f} GB freed")
    return 0


def manifest(options: argparse.Namespace) -> int:
    """JSON `{"selections": {KEY: trial config}}` on stdin to `{KEY: Manifest}` on stdout."""
    selections = json.load(sys.stdin)["selections"]
    reader = ManifestReader(options.absent_classes)
    json.dump({key: asdict(reader.describe(key, raw)) for key, raw in selections.items()}, sys.stdout)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m segda_core.data", description="Images: make, check, list."
    )
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("make", help=make.__doc__, epilog="example: make streets")
    making.add_argument("name", choices=sorted(ROOTS))
    where = making.add_mutually_exclusive_group()
    where.add_argument("--root", type=Path, help="folder to make; default: where the shipped profile looks")
    where.add_argument("--profile", type=Path, help="make it where this data profile's file looks")
    making.set_defaults(run=make)
    checking = commands.add_parser(
        "check", help=check.__doc__, epilog="example: check sweeps/data/streets.yaml"
    )
    checking.add_argument("profile", type=Path, help="a data profile's file")
    checking.add_argument("--json", action="store_true", help="print JSON instead of tables")
    checking.set_defaults(run=check)
    _add_cache(commands.add_parser("cache", help="decoded images, kept for every trial"))
    listing = commands.add_parser(
        "manifest", help="what trials open: configurations on stdin, JSON on stdout"
    )
    listing.add_argument("--absent-classes", action="store_true", help="also look for classes in no label")
    listing.set_defaults(run=manifest)
    return parser


def _add_cache(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True)
    building = commands.add_parser(
        "build", help=cache_build.__doc__, epilog="example: cache build sweeps/data/streets.yaml"
    )
    building.add_argument("profile", type=Path, help="a data profile's file")
    building.set_defaults(run=cache_build)
    listing = commands.add_parser("list", help=cache_list.__doc__, epilog="example: cache list")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    listing.set_defaults(run=cache_list)
    clearing = commands.add_parser("clear", help=cache_clear.__doc__, epilog="example: cache clear")
    clearing.set_defaults(run=cache_clear)


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main())
