"""DeepLabV3+ against sizes and parameter counts worked out by hand, and its head written out."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from segda_core.config import DeepLabV3PlusConfig
from segda_core.models.deeplabv3plus import DeepLabV3Plus


@pytest.fixture(scope="module")
def meta():
    with torch.device("meta"):
        return DeepLabV3Plus(DeepLabV3PlusConfig(name="deeplabv3plus_resnet101", weights="none"))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def separable(inputs, outputs):
    return 9 * inputs + 2 * inputs + inputs * outputs + 2 * outputs


def test_parameter_counts(meta):
    plain = 2048 * 256 + 2 * 256
    image = 2048 * 256 + 256
    project = 5 * 256 * 256 + 2 * 256
    assert count(meta.trunk) == 42_394_816 + 105_344
    assert count(meta.context) == plain + 3 * separable(2048, 256) + image + project
    assert count(meta.skip) == 256 * 48 + 2 * 48
    assert count(meta.decoder) == separable(304, 256) + separable(256, 256)
    assert count(meta.main_head) == 256 * 19 + 19


def test_deep_features_are_at_stride_sixteen_and_logits_at_stride_four(meta):
    images = torch.empty(2, 3, 1025, 2049, dtype=torch.uint8, device="meta")
    features = meta.trunk(meta.normalise(images))
    assert features.layer4.shape == (2, 2048, 65, 129)
    logits = meta(images)
    assert logits.main.shape == (2, 19, 257, 513)
    assert logits.aux is None and not meta.has_aux


def test_all_batch_norm_is_trained(meta):
    norms = [module for module in meta.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 104 + 8 + 1 + 4
    assert all(norm.training and norm.weight.requires_grad for norm in norms)
    assert sum(p.numel() for p in meta.trunk_parameters()) == count(meta.trunk)


def test_dilations_dropout_and_corners(meta):
    branches = meta.context[0].branches
    assert [branch[0].dilation[0] for branch in branches] == [1, 6, 12, 18]
    assert [branch[0].groups for branch in branches] == [1, 2048, 2048, 2048]
    assert isinstance(meta.context[1], nn.Dropout2d) and meta.context[1].p == 0.1
    assert meta.align_corners


def test_pyramid_and_decoder_written_out():
    """On features of an image, with every weight and running statistic drawn."""
    with torch.device("meta"):
        segmenter = DeepLabV3Plus(DeepLabV3PlusConfig(name="deeplabv3plus_resnet101", weights="none"))
    del segmenter.trunk
    segmenter = segmenter.to_empty(device="cpu").eval()
    torch.manual_seed(0)
    state = segmenter.state_dict()
    for name, tensor in state.items():
        if tensor.ndim == 4:
            nn.init.normal_(tensor, std=(2 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            nn.init.uniform_(tensor, *((-0.5, 0.5) if name.endswith(("bias", "mean")) else (0.5, 1.5)))

    def conv(name, inputs, dilation=1, groups=1):
        weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
        padding = dilation * (weight.shape[-1] // 2)
        return functional.conv2d(inputs, weight, bias, 1, padding, dilation, groups)

    def norm_relu(name, inputs):
        mean, var, scale, shift = (
            state[f"{name}.{part}"].view(-1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((inputs - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)

    def apart(name, inputs, dilation=1):
        """Each channel on its own, then each place."""
        hidden = norm_relu(f"{name}.1", conv(f"{name}.0", inputs, dilation, groups=inputs.shape[1]))
        return norm_relu(f"{name}.3.1", conv(f"{name}.3.0", hidden))

    layer1, layer4 = torch.rand(2, 256, 8, 40), torch.rand(2, 2048, 4, 20)
    views = [norm_relu("context.0.branches.0.1", conv("context.0.branches.0.0", layer4))]
    views += [
        apart(f"context.0.branches.{1 + i}", layer4, dilation) for i, dilation in enumerate((6, 12, 18))
    ]
    image = conv("context.0.image", layer4.mean((2, 3), keepdim=True)).clamp(min=0)
    together = torch.cat([*views, image.expand(-1, -1, 4, 20)], dim=1)
    context = norm_relu("context.0.project.1", conv("context.0.project.0", together))
    context = functional.interpolate(context, (8, 40), mode="bilinear", align_corners=True)
    skip = norm_relu("skip.1", conv("skip.0", layer1))
    decoded = apart("decoder.1", apart("decoder.0", torch.cat((context, skip), dim=1)))
    with torch.no_grad():
        logits = segmenter.heads((layer1, torch.empty(0), layer4)).main
    torch.testing.assert_close(logits, conv("main_head", decoded), rtol=1e-3, atol=1e-3)
    assert logits.std() > 0.1
