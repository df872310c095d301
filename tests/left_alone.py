"""What a sweep's trials come to with nothing done to them: trained once more, here and in one go."""

import shutil
from contextlib import chdir

from ranks import endings, start_training
from small_sweep import SmallSweep, history_of, result_of
from trials import run

from segda_core.errors import load_yaml
from segda_core.trials.layout import TrialFiles


def assert_as_left_alone(*sweeps: SmallSweep) -> None:
    """Their finished trials have the scores, weights and losses of such a training."""
    finished = [files for sweep in sweeps for files in sweep.trials() if files.metrics.exists()]
    assert finished
    for files in sorted(finished, key=lambda files: files.metrics.stat().st_mtime):  # parents go first
        alone = left_alone(files, sweeps[0])
        assert result_of(files) == result_of(alone)
        assert history_of(files) == history_of(alone)


def left_alone(files: TrialFiles, sweep: SmallSweep) -> TrialFiles:
    """A copy of the trial beside those of a sweep, trained unless one of the same id was."""
    alone = TrialFiles(sweep.folder / "alone" / files.root.name)
    if not alone.metrics.exists():
        alone.attempt(1).root.mkdir(parents=True)
        for path in (files.config, files.trial):
            shutil.copy(path, alone.root)
        with chdir(sweep.folder):
            if (ranks := load_yaml(alone.config)["ranks"]) == 1:
                run(alone)
            else:
                assert endings(start_training(alone, ranks)) == [0] * ranks
    return alone
