"""The shared trunk against torchvision's ResNet-101 with the same weights."""

import pytest
import torch
from torchvision.models import resnet101

from segda_core.models.resnet101 import ResNet101


@pytest.fixture(scope="module")
def published():
    """torchvision's network at output stride 16, its batch norm away from the identity."""
    torch.manual_seed(0)
    network = resnet101(weights=None, replace_stride_with_dilation=[False, False, True]).eval()
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor += 0.1 * torch.rand_like(tensor)
    return network


def test_stride_sixteen_is_torchvisions(published):
    trunk = ResNet101(16, "3x3", ceil_pool=False).eval()
    state = {name: tensor for name, tensor in published.state_dict().items() if not name.startswith("fc.")}
    trunk.load_state_dict(state)
    inputs = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        features = trunk(inputs)
        hidden = published.maxpool(published.relu(published.bn1(published.conv1(inputs))))
        for name in ("layer1", "layer2", "layer3", "layer4"):
            hidden = getattr(published, name)(hidden)
            if name in features._fields:
                torch.testing.assert_close(getattr(features, name), hidden)


def test_dilations_of_stride_sixteen():
    with torch.device("meta"):
        trunk = ResNet101(16, "3x3", ceil_pool=False)
    assert [block.conv2.dilation[0] for block in trunk.layer3] == [1] * 23
    assert [block.conv2.dilation[0] for block in trunk.layer4] == [1, 2, 2]
    assert [trunk.layer3[0].conv2.stride[0], trunk.layer4[0].conv2.stride[0]] == [2, 1]


@pytest.mark.parametrize(("ceil_pool", "height"), [(True, 33), (False, 32)])
def test_the_pool_rounds_up_or_down(ceil_pool, height):
    with torch.device("meta"):
        layer1 = ResNet101(8, "1x1", ceil_pool=ceil_pool)(torch.empty(1, 3, 128, 64)).layer1
    assert layer1.shape == (1, 256, height, height // 2 + ceil_pool * (height % 2))
