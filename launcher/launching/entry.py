"""One trial of a launch, and where it is in it."""

from dataclasses import dataclass, field
from enum import Enum, auto

from launcher.executors.base import Job
from launcher.launching.claim import Submission
from launcher.launching.placement import Place
from launcher.trials.progress import Progress
from segda_core.config import TaskConfig
from segda_core.trials.layout import TrialFiles


class Phase(Enum):
    """Where a trial is in this launch."""

    WAITING = auto()
    RUNNING = auto()
    ELSEWHERE = auto()
    OVER = auto()


@dataclass
class Entry:
    """One trial of a launch."""

    files: TrialFiles
    config: TaskConfig
    place: Place
    """Where it runs."""
    submission: Submission
    """What its next claim says."""
    seen: int = 0
    """Number of the newest attempt when it was decided to run the trial (again); 0 before the first."""
    phase: Phase = Phase.WAITING
    parents: tuple[TrialFiles, ...] = ()
    """Those it waits for; empty once they are known to be done."""
    after: tuple[str, ...] = ()
    """Jobs of parents after which its own shall start, where nobody stays to wait for them."""
    job: Job | None = None
    queued: bool = False
    """Its job waits in a cluster's queue."""
    odd_wait: str = ""
    """Why, where that may never pass by itself."""
    progress: Progress = field(default_factory=Progress)
    retries: int = 0
    """Times that it was started again after a failure of the machine."""
    reached: int = 0
    """Step at its last end in this launch."""
    in_vain: int = 0
    """Ends in a row that gained no step."""
    not_before: float = 0.0
    started: float = 0.0
    took: float | None = None
    """Seconds from its only start in this launch to its result."""

    @property
    def id(self) -> str:
        """Its directory's name."""
        return self.files.root.name

    @property
    def goes_on(self) -> bool:
        """Whether its job goes on without this launcher."""
        return self.place.executor.outlives_launcher
