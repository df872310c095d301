"""One rank's part of an attempt, whatever its task: the fence, what it begins with, how it leaves."""

import logging
import time
from dataclasses import dataclass

from segda_core.config import TaskConfig
from segda_core.distributed import World
from segda_core.files import write_json
from segda_core.process import Leave, StopRequest, Verdict
from segda_core.trials.heartbeat import Heartbeat, superseded
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.start import Start, find_start

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Execution:
    """A rank among the others; only rank 0 writes the attempt's records."""

    trial: TrialFiles
    files: AttemptFiles
    world: World
    stop: StopRequest
    heartbeat: Heartbeat

    def check_fence(self) -> None:
        """Leave where a higher attempt or a result exists; collective."""
        ended = self.world.is_main and (superseded(self.trial, self.files) or self.trial.metrics.exists())
        verdict = self.world.agree(Verdict.SUPERSEDED if ended else Verdict.CONTINUE)
        if verdict != Verdict.CONTINUE:
            raise Leave(verdict)

    def find_start(self, config: TaskConfig) -> Start:
        """What rank 0 finds to begin with; collective."""
        found = find_start(config, self.trial, self.files.number) if self.world.is_main else None
        text = self.world.from_main(found.to_json() if found else None)
        assert text is not None
        return Start.from_json(text)

    def leave(self, verdict: Verdict, completed: int) -> None:
        """Say that the attempt ended in order, after so many steps, without a result."""
        if self.world.is_main:
            path = self.files.saved if verdict == Verdict.SAVE else self.files.superseded
            write_json(path, {"step": completed, "time": time.time()})
            logger.info("leaving: %s at step %d", verdict.name.lower(), completed)
