"""Whether a trial may take what its stage's `from` gives it, and has all it needs."""

from collections.abc import Iterator, Sequence

from launcher.expand.leaks import in_words, within
from launcher.expand.parents import Chosen
from launcher.expand.stages import Stage
from launcher.trial import doing
from segda_core.config import ROLES, TaskConfig, TrialConfig
from segda_core.errors import Problem, did_you_mean
from segda_core.trials.tasks import model_differences


def problems_of_roles(stage: Stage, config: TaskConfig, chosen: Chosen) -> Iterator[Problem]:
    """What is wrong with the parents of a resolved point."""
    taken = {role: needed for role, needed in config.inputs.items() if role in ROLES}
    for role in chosen:
        if role in ROLES and role not in taken:
            allowed = ", ".join(taken) or "none"
            yield _problem(stage, role, f"{' '.join(doing(config))} takes no {role}; it takes: {allowed}")
    for role, needed in config.inputs.items():
        if role not in chosen:
            if needed.required:
                yield _missing(stage, config, role)
        elif needed.output not in chosen[role].config.outputs:
            made = ", ".join(chosen[role].config.outputs)
            text = f"it takes {needed.output}, but {' '.join(doing(chosen[role].config))} makes {made}"
            yield _problem(stage, role, text)
    if isinstance(config, TrialConfig) and (role := config.method.start_role) in chosen:
        yield from _other_model(stage, config, role, chosen[role].config)
    if "labels" in config.inputs and "labels" in chosen:
        yield from _other_images(stage, config, chosen["labels"].config)


def unused_keys(stage: Stage, configs: Sequence[TaskConfig]) -> Iterator[str]:
    """Keys of `from` that are no role, and that no trial of the stage opens as a source."""
    used = {key for config in configs for key in config.source_outputs}
    for key in stage.roles:
        if key not in ROLES and key not in used:
            meant = did_you_mean(key, [*ROLES, *used])
            roles = ", ".join(ROLES)
            yield (
                f"{stage.prefix}from.{key}: neither a role ({roles}) nor opened by "
                f"source: [{{output: {key}}}]{meant}"
            )


def _other_model(stage: Stage, config: TrialConfig, role: str, parent: TaskConfig) -> Iterator[Problem]:
    """Where the segmenter cannot start with the parent's weights."""
    if isinstance(parent, TrialConfig) and parent.model is not None and config.model is not None:
        differing = model_differences(config.model, parent.model)
        if differing:
            text = ", ".join(f"{name} {own!r}, there {other!r}" for name, (own, other) in differing.items())
            yield _problem(stage, role, f"the parent's model is another: here {text}")


def _other_images(stage: Stage, config: TaskConfig, parent: TaskConfig) -> Iterator[Problem]:
    """Where the trial opens target images that the parent does not label."""
    own, labelled = config.target_subset, parent.target_subset
    if own is not None and labelled is not None and not within(own, labelled):
        text = f"the parent labels {in_words(labelled)}, but the trial opens {in_words(own)}"
        yield _problem(stage, "labels", f"{text}; give both the same target.subset")


def _missing(stage: Stage, config: TaskConfig, role: str) -> Problem:
    if role in ROLES:
        return Problem(
            (), f"{stage.prefix}from: {' '.join(doing(config))} needs a {role}: from: {{{role}: STAGE}}"
        )
    keys = [key for key in stage.roles if key not in ROLES]
    there = ", ".join(keys) or "none"
    near = did_you_mean(role, keys)
    return Problem(("source",), f"no output {role!r} among the keys of `from`; there are: {there}{near}")


def _problem(stage: Stage, role: str, text: str) -> Problem:
    return Problem((), f"{stage.prefix}from.{role}: {text}")
