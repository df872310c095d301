"""What an attempt finds out about the segmenter it trains: scores on validation images, and quality."""

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from segda_core.config import TrialConfig
from segda_core.data.absent import absent_classes, refuse_absent
from segda_core.data.manifest import TrialImages
from segda_core.data.measured import select_measured
from segda_core.errors import DataError
from segda_core.inference.evaluation import Evaluation, build_predictor, evaluate, resolved_protocol
from segda_core.inference.pictures import save_preview
from segda_core.methods.base import SegmenterMethod
from segda_core.models.blocks import uncompiled
from segda_core.process import StopRequest
from segda_core.quality.measure import measure
from segda_core.trials.execution import Execution
from segda_core.trials.result import score_fields

logger = logging.getLogger(__name__)


class Scoring:
    """Scores one method's network under the trial's protocol, as often as it is asked to."""

    def __init__(
        self, config: TrialConfig, execution: Execution, method: SegmenterMethod, images: TrialImages
    ) -> None:
        self.config = config
        self.execution = execution
        self.method = method
        self.validation = images.validation
        wanted = config.quality.images
        self.measured = select_measured(config, wanted, images.made) if wanted else None
        self.predictor = build_predictor(method.evaluated, config.evaluation.protocol, config.evaluation)

    def check_classes(self) -> None:
        """`DataError` on every rank where no validation label shows a declared class; collective.

        Rank 0 reads labels until every class was seen: at the end it would be too late.
        """
        world = self.execution.world
        problem = world.from_main(self._problem_of_classes() if world.is_main else None)
        if problem is not None:
            raise DataError(problem)

    def _problem_of_classes(self) -> str | None:
        try:
            refuse_absent(absent_classes(self.validation, self.config.evaluation.classes))
        except DataError as error:
            return str(error)
        return None

    def evaluate(self) -> Evaluation | None:
        """Scores on rank 0; collective. Raises `Leave` on every rank once any is asked to stop."""
        execution = self.execution
        execution.heartbeat.phase = "evaluate"
        workers = self.config.workers
        with self._uncompiled():
            return evaluate(
                self.predictor, self.validation, execution.world, workers=workers, stop=execution.stop
            )

    def measure(self, stop: StopRequest) -> dict[str, Any] | None:
        """Label-free quality, by this rank alone: all hold equal networks, so any of them may."""
        if self.measured is None:
            return None
        self.execution.heartbeat.phase = "quality"
        started = time.perf_counter()
        evaluated, counterpart = self.method.evaluated, self.method.counterpart
        with self._uncompiled():
            quality = measure(evaluated, counterpart, self.measured, self.config, stop)
        logger.info("measured label-free quality in %.1f s", time.perf_counter() - started)
        return quality

    def _uncompiled(self) -> AbstractContextManager[None]:
        """Where blocks compiled for training run as they are: other sizes would each be compiled anew."""
        return uncompiled() if self.config.compile else nullcontext()

    def record(self, evaluation: Evaluation, quality: dict[str, Any] | None) -> dict[str, Any]:
        """Write the matrices and a picture; returns what the result says about scores."""
        config, files = self.config, self.execution.files
        evaluation.save(files.confusion)
        with self._uncompiled():
            save_preview(files.preview, self.predictor, self.validation)
        return {
            **score_fields(evaluation, config.evaluation.classes),
            "protocol": resolved_protocol(
                config.evaluation.protocol,
                config.evaluation,
                self.predictor,
                self.validation,
                (config.data.name, config.data.version),
            ),
            "quality": quality,
        }
