"""Kernels for GPUs: their numbers by Triton's interpreter, on CPUs, and who runs them."""

import importlib
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


HALF = {"x", "y", "shortcut", "first", "second", "g", "products"}
NUMBERS = dict.fromkeys(
    ("rows", "channels", "rows_each", "parts", "height", "width", "pixels", "taps"), "i32"
)
NUMBERS |= {"stride": "i32", "classes": "i32", "momentum": "fp32", "eps": "fp32"}
OTHERS = {"batches": "*i64", "offsets": "*i32"}


@pytest.mark.processes
@pytest.mark.parametrize("file", ["batch_norm", "taps"])
def test_kernels_can_be_compiled_for_a_gpu_that_need_not_be_there(file, tmp_path, monkeypatch):
    """What the interpreter lets pass: types, shapes, and assembling, for each set of options at once."""
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    module = importlib.import_module(f"segda_core.kernels.{file}")
    kernels = [each for name, each in vars(module).items() if name.endswith("_kernel")]
    assert len(kernels) == {"batch_norm": 6, "taps": 2}[file]
    for kernel in kernels:
        sizes = {"R": 32, "C": 128 if "R" in kernel.arg_names else 16, "P": 64, "N": 64}
        for flag in (True, False):
            constants = {name: sizes.get(name, flag) for name in kernel.arg_names if name.isupper()}
            types = {
                name: "constexpr"
                if name in constants
                else (NUMBERS | OTHERS).get(name) or ("*bf16" if name in HALF else "*fp32")
                for name in kernel.arg_names
            }
            places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
            source = ASTSource(fn=kernel, signature=types, constexprs=places)
            assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]


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
