"""`segda prune`: frees the space of finished trials' training states; final weights stay."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.status import read_status
from launcher.trials.life import is_alive
from launcher.trials.prepare import read_config
from launcher.trials.progress import UNREADABLE
from segda_core.config import TrialConfig
from segda_core.errors import ConfigError
from segda_core.trials.layout import TrialFiles


@dataclass(frozen=True)
class Pruned:
    """What was freed, or would be."""

    files: int
    size: int
    """Bytes."""


def prune(trials: Iterable[TrialFiles], dry_run: bool, say: Callable[[str], None]) -> Pruned:
    """Delete the checkpoints of every finished trial but its outputs and its `keep_steps`.

    `say` is told of each trial that is left alone because a file of it cannot be read, or deleted.
    """
    count = size = 0
    for files in trials:
        try:
            for path in list(_superfluous(files)):
                freed = path.stat().st_size
                if not dry_run:
                    path.unlink()
                count, size = count + 1, size + freed
        except (ConfigError, OSError, *UNREADABLE) as error:
            say(f"left alone: {files.root}: {error}")
    return Pruned(count, size)


def _superfluous(files: TrialFiles) -> Iterator[Path]:
    """Checkpoints nobody needs: none where the trial is not done, or an attempt may still be running."""
    metrics = read_status(files).metrics
    attempts = [files.attempt(number) for number in files.attempt_numbers()]
    if metrics is None or any(is_alive(attempt) for attempt in attempts):
        return
    kept = {files.root / output["path"] for output in metrics["outputs"].values()}
    config = read_config(files)
    steps = {str(step) for step in config.checkpoint.keep_steps} if isinstance(config, TrialConfig) else set()
    for attempt in attempts:
        if attempt.checkpoints.is_dir():
            found = (path for path in attempt.checkpoints.iterdir() if path.is_file())
            yield from (path for path in found if path not in kept and path.stem not in steps)
