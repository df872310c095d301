"""Final weights: one file from which a segmenter can be evaluated and applied without its trial's folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segda_core import checkpoint
from segda_core.config import ModelConfig, TrialConfig
from segda_core.errors import ConfigError, parse
from segda_core.models import build_segmenter
from segda_core.models.base import Segmenter
from segda_core.models.weights import load_by_name


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


def save_final(path: Path, segmenter: Segmenter, config: TrialConfig, trial: str, step: int) -> str:
    """Write the final weights; returns the file's SHA-256."""
    networks = {"segmenter": segmenter.state_dict()}
    checkpoint.save(path, {**origin(config, trial), "step": step, "networks": networks})
    return checkpoint.sha256(path)


def load_trained(path: Path, device: torch.device) -> Trained:
    """Read final weights or any checkpoint of a trial; `ConfigError` where the file is neither."""
    if (problem := checkpoint.fault(path)) is not None:
        raise ConfigError([f"{path}: {problem}"])
    state = checkpoint.load(path)
    config = parse(TrialConfig, state["config"], str(path))
    segmenter = build_segmenter(without_pretraining(config.model))
    networks = state["networks"]  # final weights hold the evaluated network alone, as `segmenter`
    teacher = config.evaluation.network == "teacher" and "teacher" in networks
    segmenter.load_state_dict(networks["teacher" if teacher else "segmenter"])
    return Trained(segmenter.to(device).eval(), config, state["trial"], state["step"])


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
    network = build_segmenter(without_pretraining(config.model))
    other = "segmenter" if config.evaluation.network == "teacher" else "teacher"
    network.load_state_dict(state["networks"][other])
    return network.to(device).eval()


def without_pretraining(model: ModelConfig) -> ModelConfig:
    """The same architecture, without reading the weights it once started from."""
    return model.model_copy(update={"weights": "none"}) if "weights" in type(model).model_fields else model
