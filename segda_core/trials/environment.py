"""What an attempt ran on: code, packages, devices; stored so that results can be traced."""

import platform
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from segda_core.checkout import CHECKOUT, changes, current_commit, hash_of
from segda_core.data.manifest import TrialImages, manifest_hash
from segda_core.files import read_json
from segda_core.trials.layout import SNAPSHOT_FILE

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "pydantic", "segda")


def code_version(checkout: Path = CHECKOUT) -> dict[str, str | None]:
    """Commit, SHA-256 of the uncommitted changes, and the snapshot this is; None where there is none."""
    if (snapshot := read_json(checkout / SNAPSHOT_FILE)) is not None:
        return {
            "commit": snapshot["commit"],
            "diff_hash": snapshot["diff_hash"],
            "snapshot": snapshot["hash"],
        }
    commit = current_commit(checkout)
    return {
        "commit": commit,
        "diff_hash": hash_of(changes(checkout)) if commit else None,
        "snapshot": None,
    }


def environment(images: TrialImages, first_step: int) -> dict[str, Any]:
    """Content of environment.json: code, packages, devices, images, and the step this attempt starts at.

    The target images of the trial are named, in the subset's order.
    """
    return {
        **code_version(),
        "python": sys.version.split()[0],
        "packages": {name: installed(name) for name in PACKAGES},
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "float32": float32_settings(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "manifest_hash": manifest_hash(images),
        "images": {
            "source": len(images.all_source),
            "target": images.target_count,
            "labelled": len(images.labelled),
            "validation": len(images.validation),
        },
        "target_images": [record.name for record in images.target or images.labelled],
        "skipped": images.skipped,
        "first_step": first_step,
    }


def float32_settings() -> dict[str, Any]:
    """How a GPU computes in fp32: by PyTorch's defaults, convolutions round their inputs to TF32."""
    return {
        "matmul": torch.get_float32_matmul_precision(),
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
    }


def installed(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
