"""MRNet's generator against the published parameter counts and, for one head, the layers written out."""

import pytest
import torch
from torch.nn import functional

from segda_core.config import DeepLabV2MRNetConfig
from segda_core.models.deeplabv2_mrnet import ContextHead, DeepLabV2MRNet


def build(**options):
    config = DeepLabV2MRNetConfig(name="deeplabv2_mrnet_resnet101", weights="none", **options)
    with torch.device("meta"):
        return DeepLabV2MRNet(config)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_published_ones():
    segmenter = build()
    assert count(segmenter.aux_head) == 15_818_832
    assert count(segmenter.main_head) == 35_217_488
    assert count(segmenter.trunk) == 42_394_816 + 105_344
    assert sum(p.numel() for p in segmenter.trunk_parameters()) == 42_394_816


def test_logits_are_at_stride_eight_with_the_rounded_up_pool():
    logits = build()(torch.empty(1, 3, 512, 1024, dtype=torch.uint8, device="meta"))
    assert logits.main.shape == logits.aux.shape == (1, 19, 65, 129)


def test_the_main_head_reads_layer4_then_layer3():
    segmenter = DeepLabV2MRNet(DeepLabV2MRNetConfig(name="deeplabv2_mrnet_resnet101", weights="none")).eval()
    read = {}
    for head in ("main_head", "aux_head"):
        getattr(segmenter, head).register_forward_pre_hook(
            lambda _, inputs, head=head: read.update({head: inputs[0]})
        )
    inputs = torch.randn(1, 3, 33, 33)
    with torch.no_grad():
        features = segmenter.trunk(inputs)
        segmenter.logits(inputs)
    assert torch.equal(read["main_head"], torch.cat((features.layer4, features.layer3), dim=1))
    assert torch.equal(read["aux_head"], features.layer3)


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return ContextHead(8, dropout=0.0)


def test_a_head_is_branches_channel_weights_and_a_linear_classifier(head):
    state = head.state_dict()

    def layer(name, inputs, padding, dilation=1):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.conv2d(inputs, weight, bias, 1, padding, dilation)

    def norm(name, inputs):
        shape = inputs.shape
        grouped = inputs.reshape(shape[0], 32, -1)
        spread = (grouped.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        grouped = (grouped - grouped.mean(2, keepdim=True)) / spread
        scale, shift = (state[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("weight", "bias"))
        return grouped.reshape(shape) * scale + shift

    inputs = torch.randn(2, 8, 20, 30)
    views = [norm("branches.0.1", layer("branches.0.0", inputs, 0)).relu()]
    for index, dilation in enumerate((6, 12, 18, 24), start=1):
        hidden = layer(f"branches.{index}.0", inputs, dilation, dilation)
        views.append(norm(f"branches.{index}.1", hidden).relu())
    together = torch.cat(views, 1)
    first = state["reduce.0.factors.0.weight"] @ together.mean((2, 3)).T
    first = (first + state["reduce.0.factors.0.bias"][:, None]).relu()
    factors = state["reduce.0.factors.2.weight"] @ first + state["reduce.0.factors.2.bias"][:, None]
    together = together * factors.sigmoid().T[:, :, None, None]
    reduced = norm("reduce.2", layer("reduce.1", together, 1))
    wanted = torch.einsum("kc,bchw->bkhw", state["classify.1.weight"][:, :, 0, 0], reduced)
    with torch.no_grad():
        torch.testing.assert_close(head(inputs), wanted, rtol=1e-4, atol=1e-5)


def test_the_classifier_starts_near_zero(head):
    assert head.classify[1].bias is None
    assert head.classify[1].weight.std().item() == pytest.approx(0.001, rel=0.05)


def test_dropout_drops_whole_channels_in_training_alone(head):
    assert build().main_head.classify[0].p == 0.1
    dropping = ContextHead(8, dropout=0.5)
    dropping.load_state_dict(head.state_dict())
    inputs = torch.randn(1, 8, 4, 4)
    with torch.no_grad():
        assert torch.equal(dropping.eval()(inputs), head.eval()(inputs))
        dropped = dropping.train().classify[0](torch.ones(1, 512, 4, 4))
    assert {tuple(channel.unique().tolist()) for channel in dropped[0]} == {(0.0,), (2.0,)}
