"""One attempt of a trial, from its configuration to metrics.json: resume, train, evaluate, publish."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import torch

from segda_core import checkpoint
from segda_core.config import TrialConfig
from segda_core.data.dataset import Notes, sample_names
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.distributed import connect
from segda_core.engine import Engine
from segda_core.errors import ConfigError, load_yaml, parse
from segda_core.files import write_json
from segda_core.inference.evaluation import Evaluation
from segda_core.methods.base import Batch, SegmenterMethod
from segda_core.process import Leave, StopRequest, Verdict
from segda_core.trials.environment import environment
from segda_core.trials.execution import Execution
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.history import History
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.meter import Pace
from segda_core.trials.result import Effort, note_fields, write_result
from segda_core.trials.scoring import Scoring
from segda_core.trials.weights import origin

logger = logging.getLogger(__name__)


def run_attempt(trial: TrialFiles, files: AttemptFiles, stop: StopRequest, heartbeat: Heartbeat) -> None:
    """Run this rank of the attempt; returns when it finished or left in order."""
    config = parse(TrialConfig, load_yaml(trial.config), str(trial.config))
    heartbeat.steps = config.steps
    torch.set_num_threads(config.threads)
    with connect(config.ranks) as world:
        Attempt(config, Execution(trial, files, world, stop, heartbeat)).run()


class Attempt:
    """One rank's part of one attempt; only rank 0 writes files."""

    def __init__(self, config: TrialConfig, execution: Execution) -> None:
        self.config = config
        self.execution = execution
        self.files = execution.files
        self.world = execution.world
        self.stop = execution.stop
        self.heartbeat = execution.heartbeat
        self.start = execution.find_start(config)
        self.images = select_images(config, outputs=self.start.paths)
        self._check_teacher()
        resumes = self.start.checkpoint is not None
        self.engine = Engine(config, self.world, self.start.paths, resumes=resumes)
        method = self.engine.method
        self.scoring = None
        if isinstance(method, SegmenterMethod):
            self.scoring = Scoring(config, execution, method, self.images)
        self.pace = Pace(config.images_per_step)
        self.history: History | None = None
        self.notes = Notes()
        """Of all attempts that count; of all ranks since the newest checkpoint was saved."""
        self.completed = 0
        self.earlier_seconds = 0.0

    def run(self) -> None:
        """From the newest checkpoint to the published result, or to an orderly end before it."""
        try:
            self.execution.check_fence()
            self._resume()
            with ExitStack() as stack:
                if self.world.is_main:
                    found = environment(self.images, self.completed)
                    write_json(self.files.environment, {**found, "parents": self.start.parents})
                    self.history = stack.enter_context(History(self.files))
                if self.scoring is not None and self.start.checkpoint is None:
                    self.scoring.check_classes()
                self._train()
                self._finish()
        except Leave as leave:
            self.execution.leave(leave.verdict, self.completed)

    def _check_teacher(self) -> None:
        """A student's name says whether target labels are above it."""
        method, teacher = self.config.method, self.start.parents.get("teacher")
        if teacher is None or method.teacher_saw_labels in (None, teacher["uses_target_labels"]):
            return
        used = "with" if teacher["uses_target_labels"] else "without"
        raise ConfigError(
            [f"method {method.name}: its teacher {teacher['trial']} was trained {used} target labels"]
        )

    def _resume(self) -> None:
        """Load the checkpoint to go on from, if there is one."""
        path = self.start.checkpoint
        if path is None:
            return
        state = checkpoint.load(path)
        self.engine.load_state(state)
        self.completed = self.heartbeat.step = state["step"]
        self.pace.train_seconds = state["train_seconds"]
        self.earlier_seconds = state["wall_seconds"]
        self.notes.update(Notes(**state.get("notes", {})))
        logger.info("resumed at step %d from %s", self.completed, path)

    def _train(self) -> None:
        self.heartbeat.phase = "train"
        self.pace.restart()
        for batches in self._batches():
            step = self.completed
            self.engine.backward(batches, step)
            verdict = self.world.agree(self._wish())
            if verdict == Verdict.SUPERSEDED:
                raise Leave(verdict)
            if verdict == Verdict.NON_FINITE:
                self._report()
            self.engine.advance(step)
            self.completed = self.heartbeat.step = step + 1
            self.pace.steps += 1
            self._after_step(verdict)

    def _batches(self) -> Iterator[list[Batch]]:
        """The remaining steps' micro-batches; the time spent waiting for them is noted."""
        loader = build_loader(
            self.config,
            self.images,
            rank=self.world.rank,
            ranks=self.world.ranks,
            first_step=self.completed,
            pinned=self.world.device.type == "cuda",
        )
        steps = iter(loader)
        for _ in range(self.completed, self.config.steps):
            asked = time.perf_counter()
            batches = next(steps)
            self.pace.waited += time.perf_counter() - asked
            self.notes.update(loader.notes)
            yield batches

    def _wish(self) -> Verdict:
        """On a CPU losses are there to be looked at before the optimizers move; a GPU is not waited for."""
        if self.world.device.type == "cpu" and not self.engine.meter.is_finite():
            return Verdict.NON_FINITE
        return self.stop.verdict

    def _after_step(self, verdict: Verdict) -> None:
        """What is due after a step: the evaluation before the checkpoint, which thus vouches for it.

        Except where a request to stop cut the evaluation short: its row of the history is then missing.
        """
        config, completed = self.config, self.completed
        last = completed == config.steps
        evaluates = config.evaluation.every > 0 and completed % config.evaluation.every == 0 and not last
        saves = last or completed % config.checkpoint.every == 0 or verdict == Verdict.SAVE
        if evaluates or saves or completed % config.log_every == 0:
            self._report()
        if evaluates and verdict == Verdict.CONTINUE and self.scoring is not None:
            verdict = self._evaluate_midway(self.scoring)
        if saves or verdict == Verdict.SAVE:
            self._save()
        if verdict != Verdict.CONTINUE:
            raise Leave(verdict)
        if evaluates or saves:
            self.pace.restart()

    def _report(self) -> None:
        """Read losses and speed since the last report; ends the attempt where a loss was not finite."""
        losses = self.engine.meter.read(self.world, self.pace.steps)
        speed = self.pace.read()
        self.heartbeat.images_per_second = round(speed[0], 3)
        if self.history is not None and losses.means:
            step = min(losses.first_bad.values(), default=self.completed)
            self.history.training(step, losses.means, self.engine.rates, speed)
        if losses.first_bad:
            self._end_non_finite(losses.first_bad)

    def _end_non_finite(self, first_bad: dict[str, int]) -> None:
        """Keep the state beside the resumable checkpoints, and say which images did it."""
        step = min(first_bad.values())
        path = self.files.checkpoints / f"nan-{step}.pt"
        if self.world.is_main:
            checkpoint.save(path, self._state())
        losses = ", ".join(name for name, first in first_bad.items() if first == step)
        streams = sample_names(self.config, self.images, step).items()
        images = "; ".join(f"{stream}: {', '.join(files)}" for stream, files in streams)
        raise FloatingPointError(
            f"step {step}: loss {losses} is NaN or infinite; state after {self.completed} steps in {path}; "
            f"images of the step: {images}"
        )

    def _state(self) -> dict[str, Any]:
        return {
            **origin(self.config, self.execution.trial.root.name),
            "step": self.completed,
            "train_seconds": self.pace.train_seconds,
            "wall_seconds": self._wall_seconds(),
            "notes": asdict(self.notes),
            **self.engine.state(),
        }

    def _wall_seconds(self) -> float:
        return self.earlier_seconds + time.time() - self.heartbeat.started

    def _save(self) -> None:
        """Write a checkpoint to resume from; collective."""
        self.execution.check_fence()
        self.engine.broadcast_buffers()
        self.engine.check_weights(self.completed)
        for notes in self.world.gather(self.notes):
            self.notes.update(notes)
        if self.world.is_main:
            checkpoint.save(self.files.checkpoints / f"{self.completed}.pt", self._state())
            checkpoint.discard_old(self.files.checkpoints, self.config.checkpoint.keep_steps)

    def _evaluate_midway(self, scoring: Scoring) -> Verdict:
        """Add a row to the history; a request to stop meanwhile is handed on."""
        self.engine.broadcast_buffers()
        try:
            evaluation = scoring.evaluate()
        except Leave as leave:
            return leave.verdict
        if evaluation is not None:
            midway = self.config.quality.midway
            self._note_scores(evaluation, scoring.measure(StopRequest()) if midway else None)
        self.heartbeat.phase = "train"
        return Verdict.CONTINUE

    def _note_scores(self, evaluation: Evaluation, quality: dict[str, Any] | None) -> None:
        if self.history is not None:
            scores = evaluation.scores(self.config.evaluation.classes)
            metrics = None if quality is None else quality["metrics"]
            self.history.evaluation(self.completed, scores.miou, metrics)

    def _finish(self) -> None:
        """Score the trained segmenter, where there is one, and publish the result."""
        scores = {} if self.scoring is None else self._scores(self.scoring)
        if scores is None or not self.world.is_main:
            return
        images = self.completed * self.pace.images_per_step
        wall = self._wall_seconds()
        effort = Effort(images / self.pace.train_seconds, wall, self.world.gpus * wall / 3600)
        final = self.engine.method.final()
        found = {**scores, **note_fields(self.notes)}
        if not write_result(self.config, self.execution, self.images, final, found, effort):
            raise Leave(Verdict.SUPERSEDED)

    def _scores(self, scoring: Scoring) -> dict[str, Any] | None:
        """What the result says about them, on rank 0; collective."""
        self.engine.broadcast_buffers()
        evaluation = scoring.evaluate()
        if evaluation is None:
            return None
        quality = scoring.measure(self.stop)
        self._note_scores(evaluation, quality)
        return scoring.record(evaluation, quality)
