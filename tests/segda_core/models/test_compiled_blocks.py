"""Which blocks of a network are compiled, how often, and that it computes what it did."""

from copy import deepcopy

import pytest
import torch
from pydantic import TypeAdapter
from torch._dynamo.testing import CompileCounter

from segda_core.config import ModelConfig
from segda_core.models import build_segmenter
from segda_core.models.blocks import compile_blocks, uncompiled
from segda_core.models.cyclegan import ResnetGenerator
from segda_core.models.discriminators import MultiScaleDiscriminator

BLOCKS = {
    "tiny": (5, 5),
    "lite0": (16, 12),
}
"""Blocks of a model, and how many of them differ in shape or dilation."""


@pytest.fixture(autouse=True)
def nothing_compiled_yet():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def model(name):
    options = {} if name == "tiny" else {"weights": "none"}
    torch.manual_seed(0)
    return build_segmenter(TypeAdapter(ModelConfig).validate_python({"name": name, **options})).train()


def images(seed=0):
    return torch.randint(0, 256, (2, 3, 33, 49), generator=torch.Generator().manual_seed(seed)).to(
        torch.uint8
    )


def passes(network, inputs, parameter):
    """(main logits, a gradient) of one training step's passes."""
    torch.manual_seed(0)  # dropout
    main = network(inputs).main
    (gradient,) = torch.autograd.grad(main.square().mean(), parameter(network))
    return main, gradient


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_a_model_computes_the_same_of_few_compiled_blocks(name):
    network = model(name)
    compiled = deepcopy(network)
    counter = CompileCounter()
    compile_blocks([compiled], backend=counter)
    blocks, kinds = BLOCKS[name]
    assert sum(getattr(module, "repeated", False) for module in compiled.modules()) == blocks
    for seed in range(2):
        both = (
            passes(each, images(seed), lambda network: network.trunk_parameters()[0])
            for each in (network, compiled)
        )
        assert all(torch.equal(one, other) for one, other in zip(*both, strict=True))
    assert counter.frame_count == kinds
    assert network.state_dict().keys() == compiled.state_dict().keys()


def test_other_sizes_are_not_compiled_where_it_is_asked():
    network, counter = model("tiny"), CompileCounter()
    compile_blocks([network], backend=counter)
    with uncompiled(), torch.no_grad():
        network.eval()(images()[..., :17, :])
    assert counter.frame_count == 0


def test_a_copy_of_a_compiled_network_is_not_compiled():
    network, counter = model("tiny"), CompileCounter()
    compile_blocks([network], backend=counter)
    deepcopy(network)(images())
    assert counter.frame_count == 0


def test_generators_are_compiled_and_what_a_penalty_goes_back_through_twice_is_not():
    generator, counter = ResnetGenerator(4, 3), CompileCounter()
    discriminator = MultiScaleDiscriminator(4)
    compile_blocks([generator, discriminator], backend=counter)
    generator(torch.rand(1, 3, 16, 16))
    assert counter.frame_count == 1
    discriminator(torch.rand(1, 19, 16, 16))
    assert counter.frame_count == 1
