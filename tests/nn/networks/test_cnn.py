"""The CNN classics: golden counts and shapes, any image they can take, and other people's weights."""

import copy
import math

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zerosum.nn.networks import cnn as cnn_module
from zerosum.nn.networks.cnn import NETWORKS, Cnn, cnn, imagenet_weights, smallest_side
from zerosum.nn.networks.small_cnns import Residual
from zerosum.utils import weights as weights_module
from zerosum.utils.errors import ConfigError

torch.set_num_threads(1)

LIGHT = ("small", "lenet5", "resnet20", "vgg-small", "googlenet", "resnet18")  # quick enough to run with numbers in
SHALLOW = ("small", "lenet5", "resnet20", "vgg-small", "alexnet", "vgg11", "googlenet", "resnet18", "resnet50")
MEAN, STD = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def on_paper(name: str, shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000) -> Cnn:
    """The network without numbers, so that the large ones cost nothing."""
    with torch.device("meta"):
        return cnn(name, shape, classes)


def made(name: str, shape: tuple[int, int, int], classes: int = 3, **options: object) -> Cnn:
    torch.manual_seed(0)
    return cnn(name, shape, classes, **options)  # type: ignore[arg-type]


def images(n: int, shape: tuple[int, ...], seed: int = 1) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def maps_of(network: Cnn, batch: Tensor) -> list[tuple[int, ...]]:
    seen: list[Tensor] = []
    network._maps(batch, seen.append)
    return [tuple(maps.shape[1:]) for maps in seen]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("alexnet", 61_100_840),
        ("vgg11", 132_863_336),
        ("vgg13", 133_047_848),
        ("vgg16", 138_357_544),
        ("vgg19", 143_667_240),
        ("googlenet", 13_004_888),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
    ],
)
def test_golden_counts_for_imagenet(name: str, parameters: int) -> None:
    assert count(on_paper(name)) == parameters


def test_golden_counts_of_parts() -> None:
    assert count(on_paper("vgg16").convolutions) == 14_714_688
    googlenet = on_paper("googlenet")
    assert count(googlenet) - count(googlenet.auxiliary) - count(googlenet.head[1:]) == 6_624_904


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_golden_counts_for_cifar(depth: int, millions: float) -> None:
    """Table 6 of He et al. 2016; n pairs a stage, 6 n + 2 layers, shortcuts without parameters."""
    n = (depth - 2) // 6
    first = 9 * 3 * 16 + 2 * 16
    stages = sum(
        9 * inputs * outputs + (2 * n - 1) * 9 * outputs**2 + 2 * n * 2 * outputs
        for inputs, outputs in ((16, 16), (16, 32), (32, 64))
    )
    network = on_paper(f"resnet{depth}", (3, 32, 32), 10)
    assert count(network) == first + stages + 65 * 10
    assert count(network) / 1e6 == pytest.approx(millions, abs=0.005)
    weighted = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weighted) == depth


def test_lenet5_has_a_margin_below_32_pixels() -> None:
    batch = torch.empty(2, 1, 31, 32, device="meta")
    assert maps_of(on_paper("lenet5", (1, 31, 32), 10), batch) == [(6, 31, 28), (16, 11, 10)]


@pytest.mark.parametrize("side", [28, 32])
def test_golden_count_of_lenet5(side: int) -> None:
    """C1 156, C3 2,416, C5 48,120, F6 10,164, output 850: the digits of MNIST get the paper's margin."""
    network = on_paper("lenet5", (1, side, side), 10)
    assert count(network) == 26 * 6 + 151 * 16 + 401 * 120 + 121 * 84 + 85 * 10 == 61_706
    assert maps_of(network, torch.empty(2, 1, side, side, device="meta")) == [(6, 28, 28), (16, 10, 10)]


def test_feature_maps_for_imagenet() -> None:
    batch = torch.empty(2, 3, 224, 224, device="meta")
    expected = {
        "alexnet": [(64, 27, 27), (192, 13, 13), (384, 13, 13), (256, 13, 13), (256, 13, 13)],
        "vgg16": [(64, 224, 224), (128, 112, 112), (256, 56, 56), (512, 28, 28), (512, 14, 14)],
        "googlenet": [(192, 28, 28), (480, 14, 14), (512, 14, 14), (528, 14, 14), (1024, 7, 7)],
        "resnet50": [(64, 56, 56), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)],
    }
    for name, maps in expected.items():
        assert maps_of(on_paper(name), batch) == maps
    dimensions = {name: on_paper(name).dimension for name in expected}
    assert dimensions == {"alexnet": 4096, "vgg16": 4096, "googlenet": 1024, "resnet50": 2048}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_before_the_head_is_in_one_stage(name: str) -> None:
    network = on_paper(name)
    staged = [id(tensor) for part in (*network.stages, network.head) for tensor in part.parameters()]
    assert len(staged) == len(set(staged))
    assert set(staged) == {id(tensor) for tensor in network.parameters()}
    depends = {key for key, tensor in on_paper(name, classes=13).state_dict().items() if tensor.shape[:1] == (13,)}
    assert depends == {key for key in network.state_dict() if key.startswith("head.")}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", SHALLOW)
def test_the_smallest_image(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns there, with a gradient for all; a pixel less is refused in words, and really cannot be done."""
    side = smallest_side(name)
    network = on_paper(name, (3, side, side + 1), 5)
    logits, auxiliary = network.forward_all(torch.empty(2, 3, side, side + 1, device="meta"))
    torch.stack([logits, *auxiliary]).sum().backward()
    assert logits.shape == (2, 5)
    assert all(parameter.grad is not None for parameter in network.parameters())
    with pytest.raises(ValueError, match=rf"images of {side}x{side - 1} pixels .* needs {side} each way: enlarge"):
        cnn(name, (3, side, side - 1))
    monkeypatch.setattr(cnn_module, "smallest_side", lambda name: 0)
    with pytest.raises((RuntimeError, ValueError)):  # with memory: torch 2.11 convolves any shape without
        on_paper(name, (3, side, side - 1)).to_empty(device="cpu")(torch.zeros(2, 3, side, side - 1))


@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 33, 17), (6, 16, 31)])
@pytest.mark.parametrize("name", LIGHT)
def test_any_size_and_any_channels(name: str, shape: tuple[int, int, int]) -> None:
    network, batch = made(name, shape), images(3, shape)
    logits, auxiliary = network.forward_all(batch)
    assert logits.shape == (3, 3)
    assert logits.isfinite().all()
    torch.stack([logits, *auxiliary]).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.eval()
    maps, logits = network.feature_maps_and_logits(batch)
    assert maps.ndim == 4
    torch.testing.assert_close(logits, network(batch))
    torch.testing.assert_close(logits, network.head[0](network.features(batch)))
    torch.testing.assert_close(logits, network.forward_all(batch)[0])
    torch.testing.assert_close(logits[1:2], network(batch[1:2]), rtol=1e-4, atol=1e-5)
    assert network.features(batch).shape == (3, network.dimension)
    (slopes,) = torch.autograd.grad(logits.sum(), maps)
    assert slopes.shape == maps.shape
    assert slopes.abs().sum() > 0


def test_the_same_seed_gives_the_same_network() -> None:
    states = [made("small", (3, 16, 16)).state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("name", ["small", "lenet5", "resnet20", "vgg-small"])
def test_it_learns_which_way_stripes_run(name: str) -> None:
    """Across or down, at any offset: thirty steps tell the two apart on images never seen."""
    torch.manual_seed(0)
    network = cnn(name, (1, 12, 12), 2, width=8)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)

    def striped(n: int, seed: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(n) % 2
        stream = torch.Generator().manual_seed(seed)
        waves = (2 * torch.pi * (torch.arange(12) / 4 + torch.rand(n, 1, 1, generator=stream))).sin().expand(n, 12, 12)
        batch = torch.where(labels[:, None, None] == 0, waves, waves.mT)[:, None]
        return batch + 0.2 * torch.randn(batch.shape, generator=stream), labels

    for step in range(30):
        batch, labels = striped(16, step)
        optimizer.zero_grad()
        cross_entropy(network(batch), labels).backward()
        optimizer.step()
    batch, labels = striped(64, 1000)
    assert (network.eval()(batch).argmax(dim=1) == labels).float().mean() > 0.9


def test_the_width_of_small() -> None:
    narrow, wide = (on_paper_small(width) for width in (16, 32))
    kernels = 9 * (3 * 32 + 32 * 64 + 2 * 64 * 64 + 64 * 128 + 128 * 256)
    assert count(wide) == kernels + 2 * (32 + 3 * 64 + 128 + 256) + 257 * 10 == 465_450
    assert count(wide) / count(narrow) == pytest.approx(4, rel=0.05)
    assert (narrow.dimension, wide.dimension) == (128, 256)


def on_paper_small(width: int) -> Cnn:
    with torch.device("meta"):
        return cnn("small", (3, 32, 32), 10, width=width)


def test_the_shortcut_has_no_parameters() -> None:
    """Where the convolutions say nothing the signal passes: every other pixel, and zeros in the channels that are new
    (option A)."""
    maps = images(2, (4, 6, 6))
    for outputs in (4, 7):
        block = Residual(4, outputs).eval()
        nn.init.zeros_(block.second[1].weight)
        step = 1 if outputs == 4 else 2
        torch.testing.assert_close(block(maps)[:, :4], maps[:, :, ::step, ::step].relu())
        assert not block(maps)[:, 4:].any()


@pytest.mark.parametrize("name", ["small", "resnet20", "vgg-small", "resnet18"])
def test_initial_values_keep_the_signal(name: str) -> None:
    network = made(name, (5, 32, 32))
    for layer in network.convolutions.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels * math.prod(layer.kernel_size)
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)


# other people's weights


def torchvisions(name: str, classes: int = 1000) -> nn.Module:
    torch.manual_seed(3)
    # as torchvision builds it for its own weights
    options = {"transform_input": True, "aux_logits": True, "init_weights": True} if name == "googlenet" else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    return torchvisions("resnet18")


def normalised(batch: Tensor) -> Tensor:
    """Colours in [-1, 1] to what torchvision's networks are given."""
    return ((batch + 1) / 2 - MEAN) / STD


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "alexnet"])
def test_torchvisions_weights_give_torchvisions_logits(name: str) -> None:
    theirs, batch = torchvisions(name), images(2, (3, 64, 64))
    ours = made(name, (3, 64, 64), 1000, weights=theirs.state_dict()).eval()
    with torch.no_grad():
        expected = theirs(normalised(batch))
        torch.testing.assert_close(ours(batch), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_other_classes_leave_the_head_fresh(resnet18: nn.Module) -> None:
    state = resnet18.state_dict()
    fresh, taken = made("resnet18", (3, 32, 32), 10), made("resnet18", (3, 32, 32), 10, weights=state)
    assert torch.equal(taken.head[0].weight, fresh.head[0].weight)
    assert torch.equal(taken.convolutions[0][0].weight, state["conv1.weight"])
    assert not torch.equal(fresh.convolutions[0][0].weight, state["conv1.weight"])
    same = made("resnet18", (3, 32, 32), 1000, weights=state)
    assert torch.equal(same.head[0].weight, state["fc.weight"])


def test_gray_is_seen_as_the_gray_picture_it_is(resnet18: nn.Module) -> None:
    gray = images(2, (1, 40, 40))
    network = made("resnet18", (1, 40, 40), 1000, weights=resnet18.state_dict()).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(gray), resnet18(normalised(gray.expand(-1, 3, -1, -1))))


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_further_channels_start_unheard(channels: int, resnet18: nn.Module) -> None:
    """Gray with alpha, colour with alpha, or more: the logits are those of the colours, until the rest has learnt."""
    batch = images(2, (channels, 40, 40))
    network = made("resnet18", (channels, 40, 40), 1000, weights=resnet18.state_dict()).eval()
    colours = batch[:, :1].expand(-1, 3, -1, -1) if channels == 2 else batch[:, :3]
    logits = network(batch)
    torch.testing.assert_close(logits, resnet18(normalised(colours)))
    logits.sum().backward()
    kernels = network.convolutions[0][0].weight
    assert kernels.shape[1] == (4 if channels == 2 else channels)
    assert kernels.grad[:, 3:].abs().sum() > 0


def test_our_own_weights_come_back_in_any_classes_and_without_the_counters() -> None:
    for name in ("small", "googlenet"):
        source = made(name, (3, 32, 32), 4)
        state = {key: value for key, value in source.state_dict().items() if "num_batches" not in key}
        torch.manual_seed(9)
        same, other = cnn(name, (3, 32, 32), 4), cnn(name, (3, 32, 32), 7)
        for network in (same, other):
            network.load_pretrained(state)
        batch = images(2, (3, 32, 32))
        torch.testing.assert_close(same.eval()(batch), source.eval()(batch))
        torch.testing.assert_close(other.eval().features(batch), source.features(batch))


def test_weights_of_another_network_are_refused_and_change_nothing(resnet18: nn.Module) -> None:
    state = resnet18.state_dict()
    network = made("resnet18", (3, 32, 32))
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match=r"1 of 122 tensors are missing .* such as layer4.1.conv2.weight"):
        network.load_pretrained({key: value for key, value in state.items() if key != "layer4.1.conv2.weight"})
    with pytest.raises(ValueError, match=r"1 of 122 .* another shape, such as layer2.0.conv1.weight"):
        network.load_pretrained(state | {"layer2.0.conv1.weight": torch.zeros(128, 64, 1, 1)})
    with pytest.raises(ValueError, match=r"tensors do not belong to it, such as layer1\.2\.conv1\.weight"):
        # all that resnet18 needs is in it, in the right shapes
        network.load_pretrained(torchvision.models.resnet34(weights=None).state_dict())
    with pytest.raises(
        ValueError, match="100 of 122 tensors are missing"
    ):  # the others count batches, or are the head's
        network.load_pretrained({"weight": torch.zeros(3)})
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_weights_of_imagenet(tmp_path, monkeypatch, resnet18: nn.Module) -> None:
    """What torchvision's own download left in torch's cache is found; the file's name says what it must hash to."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = torchvision.models.ResNet18_Weights.DEFAULT.url
    path = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(resnet18.state_dict(), path)
    digest = path.stem.rpartition("-")[2]
    monkeypatch.setattr(weights_module, "fingerprint", lambda path: digest + "0" * 56)
    found = imagenet_weights("resnet18")
    assert torch.equal(found["fc.weight"], resnet18.state_dict()["fc.weight"])
    for name in ("small", "lenet5", "resnet20"):
        with pytest.raises(ConfigError, match=rf"no weights of ImageNet for {name}.*weights=FILE"):
            imagenet_weights(name)


def test_no_network_to_download_by(tmp_path, monkeypatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(ConfigError, match=r"No weights: .*resnet50-11ad3fa6.pth is not there.*no route.*weights=FILE"):
        imagenet_weights("resnet50")


# a frozen network


@pytest.mark.parametrize("name", ["small", "vgg-small", "googlenet"])
def test_frozen_features_stay_as_they_are(name: str) -> None:
    network, batch = made(name, (3, 32, 32)), images(8, (3, 32, 32))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.freeze_features()
    for module in (network, copy.deepcopy(network)):
        module.train()
        assert module.training
        logits, auxiliary = module.forward_all(batch)
        torch.stack([logits, *auxiliary]).sum().backward()
        assert all(
            (parameter.grad is not None) == key.startswith("head.") for key, parameter in module.named_parameters()
        )
        assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
        first = module.features(batch)
        assert torch.equal(first, module.features(batch))  # nothing is dropped
        torch.testing.assert_close(first[:1], module.features(batch[:1]), rtol=1e-4, atol=1e-5)


def test_thawed_features_move() -> None:
    network, batch = made("vgg-small", (3, 32, 32)).train(), images(8, (3, 32, 32))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first = network.features(batch)
    assert not torch.equal(first, network.features(batch))  # dropout
    moved = {key for key, value in network.state_dict().items() if not torch.equal(before[key], value)}
    assert any(key.endswith("running_mean") for key in moved)


def test_auxiliary_classifiers_speak_in_training_only() -> None:
    network, batch = made("googlenet", (3, 32, 32)), images(2, (3, 32, 32))
    assert [tuple(logits.shape) for logits in network.forward_all(batch)[1]] == [(2, 3), (2, 3)]
    assert network.eval().forward_all(batch)[1] == []
    assert made("resnet20", (3, 32, 32)).forward_all(batch)[1] == []


def test_auxiliary_classifiers_look_where_torchvisions_do() -> None:
    theirs = torchvisions("googlenet", 3)
    ours, batch = made("googlenet", (3, 32, 32), weights=theirs.state_dict()), images(4, (3, 32, 32))
    for module in (*theirs.modules(), *ours.modules()):
        module.p = 0.0 if isinstance(module, nn.Dropout) else None
    with torch.no_grad():
        expected = theirs.train()(normalised(batch))
        logits, auxiliary = ours.train().forward_all(batch)
    for found, known in zip(
        (logits, *auxiliary), (expected.logits, expected.aux_logits1, expected.aux_logits2), strict=True
    ):
        torch.testing.assert_close(found, known, rtol=1e-3, atol=1e-5)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"no network 'resnet19'; there are small, lenet5"):
        cnn("resnet19")
    with pytest.raises(ValueError, match=r"two classes .* got 3, 1 and 32"):
        cnn("small", classes=1)
