"""Every model on a GPU, which need not be there: nothing is left on the host; scores are float32."""

import pytest
import torch
from pretended_gpu import CUDA, pretended_gpu
from pydantic import TypeAdapter

from segda_core.config import ModelConfig
from segda_core.metrics import confusion_matrices
from segda_core.models import MODELS, build_segmenter
from segda_core.upsampling import classes_of


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
