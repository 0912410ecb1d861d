"""Extractors: what they are called, what they do to images first, and the Inception network against another's."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from zerosum.metrics import features as features_module
from zerosum.metrics.features import (
    BACKBONES,
    Backbone,
    Extractor,
    Inception,
    RandomFeatures,
    open_extractor,
    quantised,
    resized,
)
from zerosum.utils.errors import ConfigError, DataError

torch.set_num_threads(1)


def images(n: int, shape: tuple[int, ...], seed: int = 1) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def shaken(network: nn.Module) -> nn.Module:
    """Running statistics of its own, so that forgetting them shows, and kernels that let the image through."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory) -> Path:
    """Random weights under the names of the FID network's."""
    torch.manual_seed(0)
    network = shaken(torchvision.models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False))
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(dict(network.state_dict()), path)
    return path


@pytest.fixture(scope="module")
def inception(inception_file: Path) -> Inception:
    return Inception(3, path=inception_file)


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    torch.manual_seed(1)
    return shaken(torchvision.models.resnet18(weights=None, num_classes=20))


@pytest.fixture(scope="module")
def resnet18_file(resnet18: nn.Module, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(resnet18.state_dict(), path)
    return path


# images


def test_quantised_images_are_those_that_a_picture_file_gives_back() -> None:
    every = torch.arange(256, dtype=torch.float32) / 127.5 - 1
    torch.testing.assert_close(quantised(every), every)
    moved = every[1:-1] + torch.linspace(-0.49, 0.49, 254) / 127.5
    torch.testing.assert_close(quantised(moved), every[1:-1])
    assert quantised(torch.tensor([-1.7, 1.2])).tolist() == [-1, 1]
    once = quantised(images(2, (3, 9, 9)))
    assert torch.equal(quantised(once), once)


@pytest.mark.parametrize("side", [20, 77])
def test_resizing_is_pillows_clamped(side: int) -> None:
    """Smaller and larger, floats, one channel at a time, clamped and not rounded, as clean-fid does it."""
    black_and_white = images(1, (3, 50, 41)).sign()  # edges, at which a bicubic filter overshoots
    for batch in (images(1, (3, 50, 41)), black_and_white):
        found = resized(batch, side)[0]
        for channel, expected in zip((batch[0] + 1) * 127.5, (found + 1) * 127.5, strict=True):
            picture = Image.fromarray(channel.numpy()).resize((side, side), Image.Resampling.BICUBIC)
            np.testing.assert_allclose(expected.numpy(), np.asarray(picture).clip(0, 255), atol=1e-2)
    if side > 50:
        assert np.asarray(picture).max() > 270  # what there is to clamp
    square = images(1, (3, side, side))
    assert resized(square, side) is square


@pytest.mark.parametrize("name", ["inception", "resnet18"])
def test_networks_see_no_value_beyond_black_and_white(name: str, inception_file: Path, resnet18_file: Path) -> None:
    """A step from black to white overshoots when it is resized; clean-fid clamps to 0..255."""
    step = torch.ones(1, 3, 16, 16)
    step[..., :8] = -1
    seen = []

    class Record(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.mean(dim=(2, 3))

    if name == "inception":
        extractor: Inception | Backbone = Inception(3, path=inception_file)
        darkest, lightest = torch.full((3,), -1.0), torch.full((3,), 127 / 128)
    else:
        extractor = Backbone("resnet18", 3, path=resnet18_file)
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        darkest, lightest = -mean / deviation, (1 - mean) / deviation
    extractor.network = Record()
    extractor(step)
    torch.testing.assert_close(seen[0].amin(dim=(0, 2, 3)), darkest)
    torch.testing.assert_close(seen[0].amax(dim=(0, 2, 3)), lightest)


# random features


@pytest.mark.parametrize(("channels", "size"), [(1, (8, 8)), (2, (28, 28)), (3, (31, 64)), (7, (9, 12))])
def test_random_features_see_any_images(channels: int, size: tuple[int, int]) -> None:
    extractor = open_extractor("random", channels)
    found = extractor(images(3, (channels, *size)))
    assert found.shape == (3, extractor.dimension) == (3, 64 * channels + 896)
    assert found.dtype == torch.float32
    assert (extractor.name, extractor.resize) == ("random", "none")
    torch.testing.assert_close(found[1:2], extractor(images(3, (channels, *size))[1:2]))


def test_random_features_are_the_same_numbers_everywhere() -> None:
    """A change here makes old scores incomparable: then the digit in RandomFeatures.hash must rise."""
    torch.manual_seed(5)  # plays no part
    batch = (torch.arange(2 * 3 * 16 * 16) % 251).reshape(2, 3, 16, 16) / 125 - 1
    found = RandomFeatures(3)(batch)
    assert RandomFeatures.hash == "random-net-1"
    assert found[:, :192].mean().item() == pytest.approx(-0.0173049, rel=1e-4)
    assert found[:, 192:].mean().item() == pytest.approx(0.1034980, rel=1e-4)
    assert torch.equal(found, RandomFeatures(3)(batch))
    assert torch.equal(found, RandomFeatures(3)(quantised(batch) + 0.3 / 127.5))  # less than half a gray


def test_random_features_refuse_in_words() -> None:
    with pytest.raises(
        ValueError, match=r"images of 3 channels and 8 pixels or more each way, got \(3, 7, 9\): enlarge"
    ):
        RandomFeatures(3)(images(1, (3, 7, 9)))
    with pytest.raises(ValueError, match=r"got \(4, 9, 9\)"):
        RandomFeatures(3)(images(1, (4, 9, 9)))


# inception


def test_inception_is_the_network_of_fid(inception: Inception, inception_file: Path) -> None:
    """torch-fidelity assembled its own from the TensorFlow graph; at 299 pixels no resizing stands between the two."""
    pixels = torch.randint(0, 256, (2, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    theirs = FeatureExtractorInceptionV3("fid", ["2048", "logits_unbiased"], str(inception_file))
    with torch.no_grad():
        expected, logits = theirs(pixels)
    batch = pixels / 127.5 - 1
    found = inception(batch)
    assert found.shape == (2, 2048)
    scale = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * scale)
    torch.testing.assert_close(inception.probabilities(inception(batch)), logits.softmax(dim=1), rtol=1e-3, atol=1e-7)
    # torchvision's own pooling is not it
    plain = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False)
    plain.load_state_dict(torch.load(inception_file, weights_only=True))
    plain.fc = nn.Identity()
    with torch.no_grad():
        assert (plain.eval()((pixels.float() - 128) / 128) - expected).abs().max() > 1e-2 * scale


def test_only_the_weights_of_fid_may_call_themselves_so(
    inception: Inception, inception_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(inception_file.read_bytes()).hexdigest()
    assert not inception.is_fid
    assert (inception.name, inception.hash) == (f"inception-{digest[:8]}", digest[:12])
    monkeypatch.setattr(features_module, "fingerprint", lambda path: "6726825d0af5" + "0" * 52)
    genuine = Inception(3, path=inception_file)
    assert genuine.is_fid
    assert (genuine.name, genuine.hash) == ("inception", "6726825d0af5")


def test_inception_finds_what_is_in_torchs_cache(
    inception_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "pt_inception-2015-12-05-6726825d.pth").write_bytes(inception_file.read_bytes())
    with pytest.raises(DataError, match="damaged: its sha256 does not begin with 6726825d"):
        open_extractor("inception", 3)
    monkeypatch.setattr("zerosum.utils.weights.fingerprint", lambda path: "6726825d" + "0" * 56)
    monkeypatch.setattr(features_module, "fingerprint", lambda path: "6726825d" + "0" * 56)
    assert open_extractor("inception", 3).name == "inception"


# backbones


def test_a_backbone_is_torchvisions_network_before_its_last_layer(resnet18: nn.Module, resnet18_file: Path) -> None:
    extractor = open_extractor(f"resnet18:{resnet18_file}", 3)
    assert isinstance(extractor, Backbone)
    digest = hashlib.sha256(resnet18_file.read_bytes()).hexdigest()
    assert (extractor.name, extractor.hash, extractor.dimension) == (f"resnet18-{digest[:8]}", digest[:12], 512)
    batch = quantised(images(2, (3, 224, 224)))
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = resnet18(((batch + 1) / 2 - mean) / std).softmax(dim=1)
    torch.testing.assert_close(extractor.probabilities(extractor(batch)), expected)
    found = extractor(batch)
    assert found.shape == (2, 512)
    with torch.no_grad():
        torch.testing.assert_close(resnet18.fc(found).softmax(dim=1), expected)


def test_googlenet_sees_what_its_weights_were_made_for(tmp_path: Path) -> None:
    torch.manual_seed(2)
    theirs = shaken(torchvision.models.googlenet(weights=None, num_classes=9, transform_input=True, init_weights=True))
    torch.save(theirs.state_dict(), tmp_path / "googlenet.pth")
    extractor = Backbone("googlenet", 3, path=tmp_path / "googlenet.pth")
    batch = quantised(images(1, (3, 224, 224)))
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    theirs.fc = nn.Identity()
    with torch.no_grad():
        expected = theirs(((batch + 1) / 2 - mean) / std)
    torch.testing.assert_close(extractor(batch), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())
    assert extractor.dimension == 1024


class Mirror(nn.Module):
    """Gives back what it is given."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1)


def test_pixels_in_the_units_of_each_network(inception_file: Path, resnet18_file: Path) -> None:
    """(p - 128) / 128 in TensorFlow's graph, which is not quite [-1, 1]; ImageNet's norm in torchvision."""
    pixels = torch.tensor([0.0, 64.0, 128.0, 255.0])[:, None, None, None]
    for extractor, expected in (
        (Inception(3, path=inception_file), (pixels - 128) / 128),
        (Backbone("resnet18", 3, path=resnet18_file), (pixels / 255 - 0.485) / 0.229),
    ):
        extractor.network = Mirror()
        side = int(extractor.resize.partition("x")[2].partition(",")[0])
        given = extractor((pixels / 127.5 - 1).expand(4, 3, side, side))
        torch.testing.assert_close(given[:, :1], expected[:, :, 0, 0])


def test_gray_and_alpha_become_colour_and_that_is_said(resnet18_file: Path) -> None:
    def opened(channels: int, alpha: bool) -> Extractor:
        return open_extractor(f"resnet18:{resnet18_file}", channels, alpha)

    colour = opened(3, False)
    assert colour.resize == "bicubic to 224x224, antialiased, clamped"
    gray = images(1, (1, 30, 30))
    expected = colour(gray.expand(-1, 3, -1, -1))
    torch.testing.assert_close(opened(1, False)(gray), expected)
    assert opened(1, False).resize == "gray to colour, " + colour.resize
    opaque, clear = torch.ones(1, 1, 30, 30), -torch.ones(1, 1, 30, 30)
    torch.testing.assert_close(opened(2, True)(torch.cat([gray, opaque], dim=1)), expected)
    assert opened(2, True).resize == "alpha laid over white, gray to colour, " + colour.resize
    picture = images(1, (3, 30, 30))
    torch.testing.assert_close(opened(4, True)(torch.cat([picture, opaque], dim=1)), colour(picture))
    torch.testing.assert_close(opened(4, True)(torch.cat([picture, clear], dim=1)), colour(torch.ones(1, 3, 30, 30)))
    half = quantised(torch.zeros(1, 1, 30, 30))
    over = (quantised(picture) * (half + 1) + (1 - half)) / 2
    see = opened(4, True)
    torch.testing.assert_close(see.colour(quantised(torch.cat([picture, half], dim=1))), over)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="opened for images of 4 channels, got 3"):
        see(picture)


@pytest.mark.parametrize(("channels", "alpha"), [(2, False), (4, False), (3, True), (6, False)])
def test_other_channels_are_refused_with_a_remedy(channels: int, alpha: bool, resnet18_file: Path) -> None:
    for text in ("inception", f"resnet18:{resnet18_file}"):
        with pytest.raises(ConfigError, match=rf"these images have {channels} channels: take --features random, or"):
            open_extractor(text, channels, alpha)


def test_many_images_go_through_in_parts(resnet18_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, batch = Backbone("resnet18", 3, path=resnet18_file), images(5, (3, 16, 16))
    whole = extractor(batch)
    monkeypatch.setattr(features_module, "PART", 2)
    torch.testing.assert_close(extractor(batch), whole)


def test_every_backbone_is_one_of_torchvisions() -> None:
    for name in BACKBONES:
        assert torchvision.models.get_model_weights(name).DEFAULT.transforms().crop_size == [features_module.SIDE]


# names and files


def test_unknown_features_are_named_with_the_nearest() -> None:
    for text, near in {"inceptoin": "inception", "resnet5": "resnet50", "ramdom": "random"}.items():
        with pytest.raises(ConfigError, match=rf"no features '{text}'\. Did you mean {near}\? There are random, incep"):
            open_extractor(text, 3)
    with pytest.raises(ConfigError, match=r"no features 'random:weights.pt'\. There are"):
        open_extractor("random:weights.pt", 3)


def test_no_weights_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    for name in ("inception", "resnet50"):
        with pytest.raises(ConfigError, match=rf"No weights: .*no route to host.*--features {name}:FILE, .* random"):
            open_extractor(name, 3)


def test_other_weights_are_data_errors(resnet18_file: Path, inception_file: Path, tmp_path: Path) -> None:
    for text, what in {
        f"resnet34:{resnet18_file}": "torchvision's resnet34: .*missing",
        f"resnet18:{inception_file}": "torchvision's resnet18: .*do not belong",
        f"inception:{resnet18_file}": "FID's Inception-v3: .*missing",
    }.items():
        with pytest.raises(DataError, match=rf"{text.partition(':')[2]} does not hold the weights of {what}"):
            open_extractor(text, 3)
    with pytest.raises(DataError, match="There is no weights file"):
        open_extractor(f"inception:{tmp_path / 'none.pth'}", 3)
