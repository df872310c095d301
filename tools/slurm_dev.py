#!/usr/bin/env python3
"""A private Slurm on this host, for development and tests: loopback only, no systemd, nothing in /etc.

    slurm_dev.py up ROOT [--nodes 3] [--accounting none|dbd|jobcomp] ...     prints export SLURM_CONF=...
    slurm_dev.py down ROOT
    slurm_dev.py conf ROOT                         its SLURM_CONF if it runs, else exit code 1
    slurm_dev.py node ROOT NODE start|stop|kill [--with-jobs]
    slurm_dev.py controller ROOT start|stop|kill

Works as root and as an ordinary user, several times on one host. Partitions: main (the default); high; low,
whose jobs are requeued with a grace time when one in main or high needs their place; abrupt, without grace.
"""

import argparse
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

from private_slurm.cluster import Cluster
from private_slurm.conf import Accounting, Options
from private_slurm.processes import SlurmDevError
from private_slurm.up import up


def main() -> None:
    """Run one command."""
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except SlurmDevError as error:
        sys.exit(f"slurm_dev: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    up_parser = commands.add_parser("up")
    down, conf = commands.add_parser("down"), commands.add_parser("conf")
    node, controller = commands.add_parser("node"), commands.add_parser("controller")
    for command, run in (
        (up_parser, _up),
        (down, _down),
        (conf, _conf),
        (node, _node),
        (controller, _controller),
    ):
        command.add_argument("root", type=Path)
        command.set_defaults(run=run)
    for option in fields(Options):
        if option.name == "conf":
            up_parser.add_argument(
                "--conf", action="append", default=[], metavar="KEY=VALUE", help="of slurm.conf"
            )
        elif option.name == "accounting":
            up_parser.add_argument("--accounting", choices=get_args(Accounting), default=option.default)
        else:
            up_parser.add_argument(f"--{option.name.replace('_', '-')}", type=int, default=option.default)
    node.add_argument("node")
    for command in (node, controller):
        command.add_argument("action", choices=("start", "stop", "kill"))
    node.add_argument(
        "--with-jobs", action="store_true", help="kill: what runs there too, as if power failed"
    )
    return parser


def _up(arguments: argparse.Namespace) -> None:
    given = {option.name: getattr(arguments, option.name) for option in fields(Options)}
    cluster = up(arguments.root, Options(**{**given, "conf": dict(_setting(text) for text in given["conf"])}))
    print(
        cluster.check("sinfo", "--Node", "--partition", "main", "--format", "%N %T %G"),
        end="",
        file=sys.stderr,
    )
    print(f"export SLURM_CONF={shlex.quote(str(cluster.conf))}")


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SlurmDevError(f"--conf {text}: KEY=VALUE is wanted")
    return key, value


def _down(arguments: argparse.Namespace) -> None:
    Cluster.load(arguments.root).down()


def _conf(arguments: argparse.Namespace) -> None:
    cluster = Cluster.load(arguments.root)
    if not cluster.runs:
        raise SlurmDevError(f"the cluster in {arguments.root} does not run")
    print(cluster.conf)


def _node(arguments: argparse.Namespace) -> None:
    cluster = Cluster.load(arguments.root)
    if arguments.node not in cluster.nodes:
        raise SlurmDevError(f"node {arguments.node}: there are {', '.join(cluster.nodes)}")
    if arguments.action == "kill":
        cluster.kill_node(arguments.node, arguments.with_jobs)
    else:
        {"start": cluster.start_node, "stop": cluster.stop_node}[arguments.action](arguments.node)


def _controller(arguments: argparse.Namespace) -> None:
    cluster = Cluster.load(arguments.root)
    actions = {
        "start": cluster.start_controller,
        "stop": cluster.stop_controller,
        "kill": cluster.kill_controller,
    }
    actions[arguments.action]()


if __name__ == "__main__":
    main()
