"""Trains one attempt of a trial: `python -m segda_core.train TRIAL_DIR --attempt N`, under torchrun or alone.

Leaves with exit code 0 where it finished, was asked to stop and saved, or was superseded; otherwise every
failing rank has written errors/RANK.json. Nothing at the top of this module imports torch, so that signs of
life and signal handlers are there before the seconds it takes.
"""

import argparse
import logging
import os
from pathlib import Path

from segda_core.errors import load_yaml
from segda_core.process import StopRequest, die_with_parent, leave_at_once, load
from segda_core.trials.failure import record_failure
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.tasks import RUNNERS, parse_config, task_of


def main() -> None:
    """Run the attempt named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m segda_core.train", description=__doc__)
    parser.add_argument("trial", type=Path, metavar="TRIAL_DIR", help="folder with config.yaml")
    parser.add_argument("--attempt", type=int, required=True, metavar="N", help="number of this execution")
    arguments = parser.parse_args()
    trial = TrialFiles(arguments.trial)
    train(trial, trial.attempt(arguments.attempt))
    leave_at_once()


def train(trial: TrialFiles, attempt: AttemptFiles) -> None:
    """Run one rank of one attempt to its end, and write down how it failed where it does."""
    die_with_parent()
    stop = StopRequest()
    stop.listen()
    rank = int(os.environ.get("RANK", "0"))
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s rank {rank} %(levelname)s %(message)s")
    heartbeat = Heartbeat(trial, attempt, stop)
    try:
        if rank == 0:
            heartbeat.start()
        config = parse_config(load_yaml(trial.config), str(trial.config))
        task = load(RUNNERS[task_of(config)])
        task.run_attempt(trial, attempt, stop, heartbeat)
    except Exception as error:
        record_failure(attempt, rank, error)
        raise
    finally:
        heartbeat.end()


if __name__ == "__main__":
    main()
