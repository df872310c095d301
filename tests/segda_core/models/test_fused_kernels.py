"""Kernels for GPUs: their numbers by Triton's interpreter, on CPUs, and who runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pretended_gpu import CUDA, pretended_gpu
from torch import nn

from segda_core.models.batch_norm import runs_fused
from segda_core.models.blocks import compile_blocks, uncompiled
from segda_core.models.deeplabv2 import DilatedHead


@pytest.mark.processes
def test_kernels_compute_what_torch_does():
    """In a process of its own: Triton decides when it is imported whether it interprets."""
    pytest.importorskip("triton", "3.8", reason="Triton's interpreter stumbles over newer numpy before 3.8")
    file = Path(__file__).with_name("interpreted_kernels.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", str(file)],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def fused_norm(**options):
    norm = nn.BatchNorm2d(4, **options)
    compile_blocks([norm])
    return norm


def test_a_norm_runs_its_kernels_on_a_gpu_alone_and_where_they_can_follow():
    assert not runs_fused(fused_norm(), torch.zeros(2, 4, 3, 3))
    with pretended_gpu():
        images, pixel = torch.zeros(2, 4, 3, 3, device=CUDA), torch.zeros(1, 4, 1, 1, device=CUDA)
        assert runs_fused(fused_norm(), images)
        assert runs_fused(fused_norm().eval().requires_grad_(False), images)
        assert not runs_fused(fused_norm().eval(), images)
        with torch.no_grad():
            assert runs_fused(fused_norm().eval(), images)
        assert not runs_fused(nn.BatchNorm2d(4), images)
        assert not runs_fused(fused_norm(momentum=None), images)
        assert not runs_fused(fused_norm(affine=False), images)
        assert not runs_fused(fused_norm(), pixel)
        assert runs_fused(fused_norm(), images, images)
        assert not runs_fused(fused_norm(), images, images.half())
        half_trained = fused_norm().eval()
        half_trained.weight.requires_grad_(False)
        assert not runs_fused(half_trained, images)
        with uncompiled():
            assert not runs_fused(fused_norm(), images)
        assert runs_fused(fused_norm(), images)


def test_what_has_kernels_is_told_to_run_them():
    network = nn.Sequential(nn.BatchNorm2d(3), DilatedHead(3, (1,)), nn.GroupNorm(1, 3))
    assert [getattr(module, "fused", False) for module in network] == [False, False, False]
    compile_blocks([network])
    assert [getattr(module, "fused", False) for module in network] == [True, True, False]
