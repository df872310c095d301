"""Every model on a GPU, which need not be there: nothing is left on the host; scores are float32."""

import pytest
import torch
from pretended_gpu import CUDA, pretended_gpu
from pydantic import TypeAdapter

from segda_core.config import ModelConfig
from segda_core.inference.upsampling import classes_of
from segda_core.metrics import confusion_matrices
from segda_core.models import MODELS, base, build_segmenter
from segda_core.models.bilinear import bilinear
from segda_core.models.blocks import compile_blocks, uncompiled
from segda_core.models.deeplabv2 import DilatedHead


def test_logits_come_to_image_size_by_products_there(monkeypatch):
    calls = []

    def recorded(maps, size, *, align_corners):
        calls.append((maps.device.type, tuple(size), align_corners))
        return bilinear(maps, size, align_corners=align_corners)

    monkeypatch.setattr(base, "bilinear", recorded)
    for align_corners in (True, False):
        config = TypeAdapter(ModelConfig).validate_python({"name": "tiny", "align_corners": align_corners})
        segmenter = build_segmenter(config)
        segmenter.upsample(torch.rand(1, 19, 4, 8), (16, 32))
        assert not calls
        with pretended_gpu():
            segmenter.upsample(torch.zeros(1, 19, 4, 8, device=CUDA), (16, 32))
        assert calls == [("cuda", (16, 32), align_corners)]
        calls.clear()


@pytest.mark.parametrize(
    ("fused", "precision", "by_taps"), [(True, "bf16", 1), (True, "fp32", 0), (False, "bf16", 0)]
)
def test_a_dilated_head_goes_by_its_taps_where_it_may_there_in_bf16(fused, precision, by_taps, monkeypatch):
    calls = []
    monkeypatch.setattr(DilatedHead, "by_taps", lambda head, maps: [calls.append(1), maps.float()][1])
    with pretended_gpu(), torch.device(CUDA), torch.no_grad():
        head, maps = DilatedHead(8, (6, 12)), torch.zeros(1, 8, 5, 30)
        if fused:
            compile_blocks([head])
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16"):
            head(maps)
            assert len(calls) == by_taps
            with uncompiled():
                head(maps)
    assert len(calls) == by_taps


@pytest.mark.parametrize("name", MODELS)
def test_a_model_computes_there_and_its_predictions_are_counted_there(name):
    config = TypeAdapter(ModelConfig).validate_python({"name": name})
    if "weights" in type(config).model_fields:
        config = config.model_copy(update={"weights": "none"})
    with pretended_gpu(), torch.no_grad():
        with torch.device(CUDA):
            segmenter = build_segmenter(config).eval()
        images = torch.zeros(2, 3, 33, 65, dtype=torch.uint8, device=CUDA)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            heads = [head for head in segmenter.at_image_size(images) if head is not None]
        for head in heads:
            assert (head.device.type, head.dtype, head.shape) == ("cuda", torch.float32, (2, 19, 33, 65))
        counts = confusion_matrices(images[:, 0], classes_of(heads[0]))
        assert (counts.device.type, counts.dtype, counts.shape) == ("cuda", torch.int32, (2, 19, 19))
