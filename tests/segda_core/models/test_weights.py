"""Initial weights: what is loaded, and what is said when it cannot be."""

from pathlib import Path

import pytest
import torch
from torchvision.models import ResNet101_Weights

from segda_core.config import DeepLabV2Config, Lite0Config
from segda_core.errors import ConfigError
from segda_core.models import weights
from segda_core.models.deeplabv2 import DeepLabV2
from segda_core.models.lite0 import Lite0


@pytest.fixture
def undrawn(monkeypatch):
    """First weights are zeros: random ones take longer to draw than the rest of a test."""
    for name in ("kaiming_uniform_", "kaiming_normal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, **_: torch.nn.init.zeros_(tensor))


def deeplab(source):
    return DeepLabV2(DeepLabV2Config(name="deeplabv2_resnet101", weights=str(source)))


@pytest.fixture(scope="module")
def torchvision_like():
    """Every tensor of torchvision's checkpoint, classifier included, each filled with one number."""
    with torch.device("meta"):
        names = deeplab("none").trunk.state_dict()
    names = {**names, "fc.weight": torch.empty(1000, 2048), "fc.bias": torch.empty(1000)}
    return {
        name: torch.full((1,), index / 100).expand(tensor.shape)
        for index, (name, tensor) in enumerate(names.items())
        if not name.endswith("num_batches_tracked")
    }


@pytest.mark.usefixtures("undrawn")
def test_trunk_file_with_torchvision_names(tmp_path, torchvision_like):
    torch.save(torchvision_like, tmp_path / "trunk.pth")
    trunk = deeplab(tmp_path / "trunk.pth").trunk.state_dict()
    for name in ("conv1.weight", "layer3.22.bn2.running_var", "layer4.0.downsample.0.weight"):
        assert torch.equal(trunk[name], torchvision_like[name]), name


@pytest.mark.usefixtures("undrawn")
def test_a_trunk_of_the_releases_sees_bgr_minus_caffes_mean(tmp_path, torchvision_like):
    torch.manual_seed(0)
    first = torch.randn(64, 3, 7, 7)
    torch.save({**torchvision_like, "conv1.weight": first}, tmp_path / "caffe.pth")
    config = DeepLabV2Config(
        name="deeplabv2_resnet101",
        weights=str(tmp_path / "caffe.pth"),
        stride_on="1x1",
        trunk_input="bgr_caffe",
    )
    segmenter = DeepLabV2(config)
    images = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    released = (
        images.flip(1).double() - torch.tensor([104.00698793, 116.66876762, 122.67891434])[:, None, None]
    )
    wanted = torch.nn.functional.conv2d(released, first.double(), stride=2, padding=3)
    got = segmenter.trunk.conv1(segmenter.normalise(images))
    torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-3)
    for made_by_us in ("none", "imagenet"):
        with pytest.raises(ValueError, match="bgr_caffe is said of a file"):
            DeepLabV2Config(name="deeplabv2_resnet101", weights=made_by_us, trunk_input="bgr_caffe")


@pytest.mark.usefixtures("undrawn")
def test_imagenet_is_found_in_the_hub_folder(tmp_path, monkeypatch, torchvision_like):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(torchvision_like, tmp_path / "hub/checkpoints/resnet101-63fe2227.pth")
    trunk = deeplab("imagenet").trunk
    assert torch.equal(trunk.layer1[0].conv1.weight, torchvision_like["layer1.0.conv1.weight"])


@pytest.mark.usefixtures("undrawn")
def test_imagenet_without_network_says_what_to_download_and_where_to_put_it(tmp_path, monkeypatch):
    assert ResNet101_Weights.IMAGENET1K_V1.url == weights.RESNET101_URL
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "RESNET101_URL", "http://127.0.0.1:9/resnet101-63fe2227.pth")
    with pytest.raises(ConfigError) as caught:
        deeplab("imagenet")
    for part in (weights.RESNET101_URL, "resnet101-63fe2227.pth", str(tmp_path / "hub/checkpoints")):
        assert part in str(caught.value)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("damage", ["truncated", "web page", "other text"])
def test_a_damaged_download_is_a_clear_error(tmp_path, monkeypatch, torchvision_like, damage):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    path = tmp_path / "hub/checkpoints/resnet101-63fe2227.pth"
    torch.save(torchvision_like, path)
    contents = {"truncated": path.read_bytes()[:-500], "web page": b"<!DOCTYPE html>", "other text": b"half"}
    path.write_bytes(contents[damage])
    with pytest.raises(ConfigError, match="could not be had"):
        deeplab("imagenet")


@pytest.mark.usefixtures("undrawn")
def test_names_or_shapes_that_do_not_fit_are_named(tmp_path, torchvision_like):
    wrong = {**torchvision_like, "conv1.weight": torch.zeros(64, 3, 3, 3), "stem.weight": torch.zeros(1)}
    del wrong["bn1.bias"]
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(ConfigError) as caught:
        deeplab(tmp_path / "wrong.pth")
    for part in (
        "wrong.pth",
        "lacks bn1.bias",
        "stem.weight",
        "conv1.weight is (64, 3, 3, 3)",
        "(64, 3, 7, 7)",
    ):
        assert part in str(caught.value)


def test_lite0_imagenet_is_loaded_in_order():
    package = list(weights.lite0_imagenet().values())
    encoder = Lite0(Lite0Config(name="lite0")).encoder.state_dict()
    assert len(package) == 296
    assert len(encoder) == 288
    assert torch.equal(encoder["conv_stem.weight"], package[0])
    assert torch.equal(encoder["blocks.6.0.bn3.running_var"], package[286])
    assert all(torch.equal(a, b) for a, b in zip(encoder.values(), package, strict=False))


def test_lite0_refuses_tensors_in_another_order(tmp_path):
    names, tensors = zip(*weights.lite0_imagenet().items(), strict=True)
    torch.save(dict(zip(names, reversed(tensors), strict=True)), tmp_path / "reversed.pth")
    with pytest.raises(ConfigError, match=r"reversed.pth.*conv_stem.weight is \(1000,\).*more"):
        Lite0(Lite0Config(name="lite0", weights=str(tmp_path / "reversed.pth")))
    torch.save(dict(zip(names[:9], tensors[:9], strict=True)), tmp_path / "short.pth")
    with pytest.raises(ConfigError, match="holds 9 tensors, the trunk needs 288"):
        Lite0(Lite0Config(name="lite0", weights=str(tmp_path / "short.pth")))


def test_a_whole_segmenter_brings_its_own_normalisation(tmp_path):
    torch.manual_seed(0)
    trained = Lite0(Lite0Config(name="lite0", weights="none"))
    trained.mean.fill_(100.0)
    torch.save(trained.state_dict(), tmp_path / "state.pt")
    torch.save({"step": 3, "networks": {"segmenter": trained.state_dict()}}, tmp_path / "final.pt")
    for file in ("state.pt", "final.pt"):
        loaded = Lite0(Lite0Config(name="lite0", weights=str(tmp_path / file))).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in trained.state_dict().items())


@pytest.mark.parametrize("content", [None, b"no tensors"])
def test_missing_or_unreadable_files_are_named(tmp_path, content):
    path = tmp_path / "weights.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"weights\.pt cannot be read: (.|\n)*; allowed: none, imagenet or a file"
    ):
        weights.read_tensors(path)


def test_a_word_that_is_no_file_is_answered_with_a_near_one():
    with pytest.raises(ConfigError, match="did you mean 'imagenet'"):
        weights.read_tensors(Path("imagnet"))


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match="neither a state dict nor a checkpoint"):
        weights.read_tensors(tmp_path / "other.pt")
