"""The perceptual distance on networks whose features are known, and VGG-19 from files."""

from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19

from zerosum.nn.losses.perceptual import CONV5_4, CUTS, RELU5_4, WEIGHTS, Perceptual, vgg19_features
from zerosum.utils import weights as weights_module
from zerosum.utils.errors import ConfigError, DataError

torch.set_num_threads(1)


def narrow(seed: int = 0) -> nn.Sequential:
    """VGG-19's layers in its order, 64 times thinner."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    before = 3
    for width, convolutions in ((1, 2), (2, 2), (4, 4), (8, 4), (8, 4)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
            nn.init.kaiming_normal_(layers[-2].weight)
            nn.init.constant_(layers[-2].bias, 0.1)  # so that of one channel something passes
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_cuts_are_the_first_relu_of_each_block() -> None:
    with torch.device("meta"):
        features = vgg19().features
    assert [type(layer) for layer in features] == [type(layer) for layer in narrow()]
    pools = [i for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    starts = [0, *(pool + 1 for pool in pools[:-1])]
    assert [start + 2 for start in starts] == list(CUTS)
    assert all(isinstance(features[cut - 1], nn.ReLU) for cut in CUTS)
    assert WEIGHTS == (0.03125, 0.0625, 0.125, 0.25, 1)


def test_golden_count_up_to_relu5_1() -> None:
    """9 i o + o weights a convolution: 1,792 + 36,928; 73,856 + 147,584; 295,168 + 3 · 590,080;
    1,180,160 + 3 · 2,359,808; 2,359,808. The other three of block 5 are dropped, and all are frozen."""
    with torch.device("meta"):
        perceptual = Perceptual(vgg19().features)
    assert sum(parameter.numel() for parameter in perceptual.parameters()) == 12_944_960
    assert not any(parameter.requires_grad for parameter in perceptual.parameters())
    assert perceptual.smallest_side == 16


def test_the_sum_over_stages() -> None:
    features, (real, fake) = narrow(), images(2, 2, 3, 32, 48)
    expected = 0.0
    for cut, weight in zip((2, 7, 12, 21, 30), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), strict=True):
        gap = (features[:cut](real) - features[:cut](fake)).abs().mean().item()
        assert gap > 0
        expected += weight * gap
    distance = Perceptual(features)
    torch.testing.assert_close(distance(real, fake).item(), expected)
    torch.testing.assert_close(distance(fake, real).item(), expected)
    assert distance(real, real).item() == 0


def test_a_layer_that_works_in_place_does_not_change_what_was_compared() -> None:
    """Cut between a convolution and its ReLU. The images given stay as they were, too."""
    (real, fake), features = images(2, 2, 3, 8, 8), nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True))
    before = features[0](real), features[0](fake)
    expected = (before[0] - before[1]).abs().mean() + 2 * (before[0].relu() - before[1].relu()).abs().mean()
    torch.testing.assert_close(Perceptual(features, (1, 2), (1, 2))(real, fake), expected.detach())
    assert torch.equal(torch.stack([real, fake]), images(2, 2, 3, 8, 8))


def test_values_go_in_as_they_are() -> None:
    """Of the identity it is the mean gap itself: no ImageNet mean, no deviation."""
    distance = Perceptual(nn.Sequential(nn.Identity()), (1,), (1.0,))
    assert distance(torch.full((1, 3, 4, 4), -1.0), torch.full((1, 3, 4, 4), 0.5)).item() == 1.5


def test_squared_and_standardised() -> None:
    """SRGAN squares the differences; ESRGAN gives VGG what its weights were trained on."""
    real, fake = torch.full((1, 3, 4, 4), -1.0), torch.full((1, 3, 4, 4), 0.5)
    identity = nn.Sequential(nn.Identity())
    assert Perceptual(identity, (1,), (2.0,), squared=True)(real, fake).item() == 2 * 1.5**2
    expected = sum(0.75 / deviation for deviation in (0.229, 0.224, 0.225)) / 3  # a mean changes no difference
    found = Perceptual(identity, (1,), (1.0,), standardised=True)(real, fake)
    torch.testing.assert_close(found.item(), expected)
    above = Perceptual(nn.Sequential(nn.ReLU()), (1,), (1.0,), standardised=True)  # where the mean matters
    middle = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None].expand(1, 3, 2, 2) * 2 - 1
    assert above(middle, middle - 0.1).item() == 0


def test_the_last_convolution_of_vgg() -> None:
    with torch.device("meta"):
        features = vgg19().features
    assert isinstance(features[CONV5_4 - 1], nn.Conv2d)
    assert isinstance(features[RELU5_4 - 1], nn.ReLU)
    assert not any(isinstance(layer, nn.Conv2d) for layer in features[CONV5_4:])


def test_gray_is_colour_of_three_equal_channels() -> None:
    (real, fake), distance = images(2, 2, 1, 16, 16), Perceptual(narrow())
    torch.testing.assert_close(distance(real, fake), distance(real.repeat(1, 3, 1, 1), fake.repeat(1, 3, 1, 1)))


def test_frozen_and_always_in_eval_mode() -> None:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    holder = nn.Sequential(Perceptual(features, (3,), (1.0,)))
    before = {name: tensor.clone() for name, tensor in holder.state_dict().items()}
    (real, fake), distance = images(2, 2, 3, 8, 8), holder[0]
    holder.train()
    assert not any(module.training for module in distance.modules())
    assert distance(real, fake) == distance(real, fake)
    real.requires_grad_()
    fake.requires_grad_()
    graphs: list[bool] = []
    distance.stages[0].register_forward_hook(lambda stage, given, result: graphs.append(result.requires_grad))
    distance(real, fake).backward()
    assert graphs == [False, True]  # no memory is held for the real images
    assert real.grad is None
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in holder.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in holder.state_dict().items())


def test_it_moves_with_to() -> None:
    distance = Perceptual(narrow()).to(torch.float64)
    real, fake = images(2, 2, 3, 16, 16).double()
    assert distance(real, fake).dtype == torch.float64
    assert distance.to("meta")(real.to("meta"), fake.to("meta")).device.type == "meta"


def test_a_fake_that_follows_the_gradient_comes_nearer() -> None:
    distance, real = Perceptual(narrow(3)), images(1, 3, 16, 16)
    fake = images(1, 3, 16, 16, seed=2).requires_grad_()
    first = distance(real, fake).item()
    optimiser = torch.optim.Adam([fake], lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        distance(real, fake).backward()
        optimiser.step()
    assert distance(real, fake).item() < 0.5 * first


def test_wrong_input_is_named() -> None:
    distance = Perceptual(narrow())
    with pytest.raises(ValueError, match=r"one shape .* got \(1, 3, 16, 16\) and \(2, 3, 16, 16\)"):
        distance(images(1, 3, 16, 16), images(2, 3, 16, 16))
    with pytest.raises(ValueError, match="gray or RGB"):
        distance(images(1, 4, 16, 16), images(1, 4, 16, 16))
    with pytest.raises(ValueError, match="at least 16x16 pixels, got 15x40"):
        distance(images(1, 3, 15, 40), images(1, 3, 15, 40))
    assert distance(images(1, 3, 16, 16), images(1, 3, 16, 16, seed=2)).item() > 0
    for cuts in ((), (0, 2), (2, 2), (7, 2), (2, 38)):
        with pytest.raises(ValueError, match="increase from 1 to 37"):
            Perceptual(narrow(), cuts, [1.0] * len(cuts))
    with pytest.raises(ValueError, match="4 weights for 5 cuts"):
        Perceptual(narrow(), weights=WEIGHTS[:4])


# weights


def state() -> dict[str, Tensor]:
    """VGG-19's state dict, each tensor a number of its own throughout, which takes next to no room in a .pth file."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in vgg19().state_dict().items()}
    numbers = count(1)
    return {name: torch.tensor(float(next(numbers))).expand(shape) for name, shape in shapes.items()}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    torch.save(state(), tmp_path / "vgg19.pth")
    return tmp_path / "vgg19.pth"


def is_filled(features: nn.Sequential) -> bool:
    found = features.state_dict()
    return len(found) == 32 and all(
        bool((found[name[9:]] == tensor).all()) for name, tensor in state().items() if name.startswith("features.")
    )


def test_the_file_of_torchvision(whole: Path) -> None:
    features = vgg19_features(whole)
    assert is_filled(features)
    assert is_filled(vgg19_features(str(whole)))
    assert sum(parameter.numel() for parameter in features.parameters()) == 20_024_384
    assert len(features) == 37


def test_half_precision_without_the_classifier(tmp_path: Path) -> None:
    convolutions = {name: tensor.half().contiguous() for name, tensor in state().items() if "classifier" not in name}
    save_file(convolutions, tmp_path / "vgg19.safetensors")
    features = vgg19_features(tmp_path / "vgg19.safetensors")
    assert is_filled(features)
    assert features[0].weight.dtype == torch.float32


def test_weights_of_imagenet(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in torch's cache is found; what does not is fetched, or named."""

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(ConfigError, match=r"No weights: .*vgg19-dcbb9e9d.pth is not there.*no route.*Name a file"):
        vgg19_features("imagenet")
    path = tmp_path / "hub" / "checkpoints" / VGG19_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    whole.rename(path)
    with pytest.raises(DataError, match="damaged: its sha256"):
        vgg19_features("imagenet")
    monkeypatch.setattr(weights_module, "fingerprint", lambda path: "dcbb9e9d" + "0" * 56)
    assert is_filled(vgg19_features("imagenet"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no weights file .*vgg\.pth"):
        vgg19_features(tmp_path / "vgg.pth")
    (tmp_path / "vgg.pth").write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match="cannot be read as weights"):
        vgg19_features(tmp_path / "vgg.pth")
    thin = {name: tensor for name, tensor in state().items() if name != "features.34.bias"}
    torch.save(thin, tmp_path / "vgg.pth")
    with pytest.raises(DataError, match=r"the weights of VGG-19: 1 of 32 tensors.*features\.34\.bias.*without _bn"):
        vgg19_features(tmp_path / "vgg.pth")
    torch.save({**state(), "features.1.running_mean": torch.zeros(64)}, tmp_path / "vgg.pth")
    with pytest.raises(DataError, match=r"do not belong to it, such as features\.1\.running_mean"):
        vgg19_features(tmp_path / "vgg.pth")
