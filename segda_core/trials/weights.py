"""Final weights: one file from which a network can be evaluated and applied without its trial's folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segda_core import checkpoint
from segda_core.config import CycleGanConfig, ModelConfig, OutputName, TrialConfig
from segda_core.errors import ConfigError, parse
from segda_core.models import build_segmenter
from segda_core.models.base import Segmenter
from segda_core.models.cyclegan import ResnetGenerator
from segda_core.models.weights import load_by_name
from segda_core.trials.parents import digest


@dataclass(frozen=True)
class Trained:
    """The evaluated network of a checkpoint, and where it comes from."""

    segmenter: Segmenter
    config: TrialConfig
    trial: str
    step: int


def origin(config: TrialConfig, trial: str) -> dict[str, Any]:
    """The entries that make any checkpoint readable without its trial's folder."""
    return {"trial": trial, "config": config.model_dump(mode="json")}


def save_final(
    path: Path, final: Mapping[OutputName, nn.Module], config: TrialConfig, trial: str, step: int
) -> str:
    """Write the final weights; returns the file's SHA-256."""
    networks = {name: network.state_dict() for name, network in final.items()}
    checkpoint.save(path, {**origin(config, trial), "step": step, "networks": networks})
    return digest(path)


def starting_segmenter(config: TrialConfig, made: Mapping[str, Path], *, resumes: bool) -> Segmenter:
    """The configured model with its own initial weights, a parent's, or some to be filled; on the CPU."""
    assert config.model is not None
    path = made.get(config.method.start_role)
    filled_later = resumes or path is not None
    segmenter = build_segmenter(without_pretraining(config.model) if filled_later else config.model)
    if path is not None and not resumes:
        load_init(segmenter, config.model, path)
    return segmenter


def load_trained(path: Path, device: torch.device) -> Trained:
    """Read final weights or any checkpoint of a trial; `ConfigError` where the file is neither."""
    state = _sound(path)
    config = parse(TrialConfig, state["config"], str(path))
    if config.model is None:
        raise ConfigError([f"{path}: method {config.method.name} trained no segmenter"])
    segmenter = build_segmenter(without_pretraining(config.model))
    networks = state["networks"]  # final weights hold the evaluated network alone, as `segmenter`
    teacher = config.evaluation.network == "teacher" and "teacher" in networks
    segmenter.load_state_dict(networks["teacher" if teacher else "segmenter"])
    return Trained(segmenter.to(device).eval(), config, state["trial"], state["step"])


def load_generator(path: Path, device: torch.device) -> ResnetGenerator:
    """The trained translation network of a trial; `ConfigError` where the file holds none."""
    state = _sound(path)
    method = parse(TrialConfig, state["config"], str(path)).method
    if not isinstance(method, CycleGanConfig):
        raise ConfigError([f"{path}: method {method.name} trained no translation network"])
    generator = ResnetGenerator(method.channels, method.blocks)
    generator.load_state_dict(state["networks"]["generator"])
    return generator.to(device).eval()


def _sound(path: Path) -> checkpoint.State:
    if (problem := checkpoint.fault(path)) is not None:
        raise ConfigError([f"{path}: {problem}"])
    return checkpoint.load(path)


def load_init(segmenter: Segmenter, model: ModelConfig, path: Path) -> None:
    """Start from a parent's final weights; `ConfigError` where they are another model's."""
    state = checkpoint.load(path)
    other = state["config"]["model"]["name"]
    if other != model.name:
        raise ConfigError([f"init_from: {path} holds model {other}; this trial's is {model.name}"])
    load_by_name(segmenter, state["networks"]["segmenter"], f"init_from: {path}")


def load_counterpart(path: Path, device: torch.device) -> Segmenter | None:
    """The student of an evaluated teacher or the reverse; None where the checkpoint holds one network."""
    state = checkpoint.load(path)
    if "teacher" not in state["networks"]:
        return None
    config = parse(TrialConfig, state["config"], str(path))
    assert config.model is not None
    network = build_segmenter(without_pretraining(config.model))
    other = "segmenter" if config.evaluation.network == "teacher" else "teacher"
    network.load_state_dict(state["networks"][other])
    return network.to(device).eval()


def without_pretraining(model: ModelConfig) -> ModelConfig:
    """The same architecture, without reading the weights it once started from."""
    return model.model_copy(update={"weights": "none"}) if "weights" in type(model).model_fields else model
