"""pix2pixHD's generators: the published sizes, coarse to fine; instances."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, instance_norm, pad

from zerosum.nn.networks.pix2pixhd import (
    FeatureEncoder,
    GlobalGenerator,
    LocalEnhancer,
    Residual,
    boundaries,
    instance_means,
)

torch.set_num_threads(1)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def conv(inputs: int, outputs: int, kernel: int) -> int:
    return kernel**2 * inputs * outputs + outputs


def by_hand(inputs: int, width: int, downs: int, blocks: int) -> int:
    """With biases, which instance norm leaves to the convolutions, up to the last convolution."""
    steps = [(width << level, width << (level + 1)) for level in range(downs)]
    wide = width << downs
    resampling = sum(conv(a, b, 3) + conv(b, a, 3) for a, b in steps)
    return conv(inputs, width, 7) + resampling + 2 * blocks * conv(wide, wide, 3)


def test_golden_counts() -> None:
    end = conv(64, 3, 7)
    with torch.device("meta"):
        for channels, expected in ((36, 182_546_755), (39, 182_556_163), (3, 182_443_267)):
            assert count(GlobalGenerator(channels, 3)) == by_hand(channels, 64, 4, 9) + end == expected
        assert count(GlobalGenerator(36, 3, downs=3)) == by_hand(36, 64, 3, 9) + end == 45_696_835
        enhancer = LocalEnhancer(GlobalGenerator(36, 3), 36, 3)
        own = by_hand(36, 32, 1, 3) + conv(32, 3, 7)
        assert sum(parameter.numel() for parameter in enhancer.enhancer_parameters()) == own
        assert count(enhancer) == by_hand(36, 64, 4, 9) + own == 182_857_059
        assert count(FeatureEncoder(3)) == by_hand(3, 16, 4, 0) + conv(16, 3, 7) == 788_803


def test_golden_counts_of_cyclegan() -> None:
    """Batch norm: gains and shifts instead of biases; the last convolution keeps its own."""
    with torch.device("meta"):
        instance, batch = (GlobalGenerator(3, 3, downs=2, norm=norm) for norm in ("instance", "batch"))
        assert count(instance) == by_hand(3, 64, 2, 9) + conv(64, 3, 7) == 11_378_179
        normed = 64 + 128 + 256 + 18 * 256 + 128 + 64
        assert count(batch) == count(instance) + normed == 11_383_427  # 11.4 million
        assert count(GlobalGenerator(3, 3, downs=2, blocks=6)) == by_hand(3, 64, 2, 6) + conv(64, 3, 7) == 7_837_699


def maps(network: nn.Module, *inputs: torch.Tensor) -> list[tuple[int, ...]]:
    """Shapes (C, H, W) that leave the modules of interest, in order."""
    seen: list[tuple[int, ...]] = []
    kinds = nn.Conv2d | nn.ConvTranspose2d | Residual
    inside = {id(layer) for block in network.modules() if isinstance(block, Residual) for layer in block.layers}
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(tuple(output.shape[1:])))
        for layer in network.modules()
        if isinstance(layer, kinds) and id(layer) not in inside
    ]
    network(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


def test_feature_maps_at_512_by_1024_pixels() -> None:
    with torch.device("meta"):
        network, images = GlobalGenerator(36, 3), torch.empty(1, 36, 512, 1024)
        assert network.features(images).shape == (1, 64, 512, 1024)
    down = [(64, 512, 1024), (128, 256, 512), (256, 128, 256), (512, 64, 128), (1024, 32, 64)]
    assert maps(network, images) == [*down, *9 * [(1024, 32, 64)], *down[-2::-1], (3, 512, 1024)]


def test_feature_maps_of_the_enhancer() -> None:
    with torch.device("meta"):
        network, images = LocalEnhancer(GlobalGenerator(36, 3), 36, 3), torch.empty(1, 36, 1024, 2048)
        assert network.inner(torch.empty(1, 36, 512, 1024)).shape == (1, 64, 512, 1024)
    own = [(32, 1024, 2048), (64, 512, 1024), *3 * [(64, 512, 1024)], (32, 1024, 2048), (3, 1024, 2048)]
    seen = maps(network, images)
    inner = len(seen) - len(own)
    assert inner == 1 + 4 + 9 + 4  # no last convolution
    assert seen[inner:] == own
    assert network.multiple == 32


def small_global(**arguments: Any) -> GlobalGenerator:
    return GlobalGenerator(3, 2, **{"width": 4, "downs": 2, "blocks": 2} | arguments)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize(("size", "channels"), [((16, 16), (3, 3)), ((8, 24), (1, 2)), ((20, 12), (5, 4))])
def test_any_size_and_any_channels(norm: Any, size: tuple[int, int], channels: tuple[int, int]) -> None:
    torch.manual_seed(0)
    inner = GlobalGenerator(*channels, width=4, downs=2, blocks=1, norm=norm)
    network, enhancer = inner, LocalEnhancer(GlobalGenerator(*channels, 4, 1, 1, norm), *channels, width=2, blocks=1)
    for generator in (network, enhancer):
        images = generator(torch.randn(2, channels[0], *size))
        assert images.shape == (2, channels[1], *size)
        assert images.abs().max() < 1
        images.square().sum().backward()
        assert all(parameter.grad is not None for parameter in generator.parameters())


def test_a_residual_block_by_the_formula() -> None:
    torch.manual_seed(0)
    block, x = Residual(4, "instance"), torch.randn(2, 4, 6, 5)
    first, second = block.layers.conv1, block.layers.conv2

    def reflected(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(pad(x, (1, 1, 1, 1), mode="reflect"), layer.weight, layer.bias)

    inner = instance_norm(reflected(first, x)).relu()
    torch.testing.assert_close(block(x), x + instance_norm(reflected(second, inner)))  # nothing after the sum


def test_dropout_lies_within_the_blocks() -> None:
    torch.manual_seed(0)
    network, x = small_global(dropout=0.5), torch.randn(2, 3, 16, 16)
    assert sum(isinstance(layer, nn.Dropout) for layer in network.modules()) == 2
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
    assert [layer for layer in small_global().modules() if isinstance(layer, nn.Dropout)] == []


def test_unbounded_outputs_and_features() -> None:
    torch.manual_seed(0)
    network, x = small_global(), torch.randn(2, 3, 16, 16)
    logits = small_global(bounded=False)
    logits.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(x), logits(x).tanh())
    assert network.features(x).shape == (2, 4, 16, 16)
    torch.testing.assert_close(network.exit(network.features(x)), logits(x))
    enhancers = [LocalEnhancer(small_global(), 3, 2, width=2, bounded=bounded) for bounded in (True, False)]
    enhancers[1].load_state_dict(enhancers[0].state_dict())
    torch.testing.assert_close(enhancers[0](x), enhancers[1](x).tanh())


def test_the_enhancer_adds_the_global_generator_s_features() -> None:
    torch.manual_seed(0)
    inner = small_global()
    network, x = LocalEnhancer(inner, 3, 2, width=2, blocks=1), torch.randn(2, 3, 16, 32)
    coarse = inner.features(avg_pool2d(x, 3, 2, 1, count_include_pad=False))
    trunk = network.trunk
    summed = trunk.down(trunk.entry(x)) + coarse
    torch.testing.assert_close(network(x), network.exit(trunk.up(trunk.blocks(summed))).tanh())


def test_the_enhancer_takes_the_global_generator_as_it_is() -> None:
    torch.manual_seed(0)
    inner = small_global()
    before = {name: tensor.clone() for name, tensor in inner.state_dict().items()}
    network = LocalEnhancer(inner, 3, 2, width=2)
    after = inner.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    shared = {id(parameter) for parameter in inner.parameters()}
    own = {id(parameter) for parameter in network.enhancer_parameters()}
    assert not own & shared
    last = {id(parameter) for parameter in inner.exit.parameters()}
    assert own | shared - last == {id(parameter) for parameter in network.parameters()}


def test_initial_weights() -> None:
    torch.manual_seed(0)
    inner = small_global(width=32)
    network = LocalEnhancer(inner, 3, 2, width=16)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.08)
            assert layer.bias is not None
            assert not layer.bias.any()


def test_wrong_sizes_are_named() -> None:
    network = small_global()
    assert network.multiple == 4
    for size in ((18, 16), (16, 6), (4, 16)):
        with pytest.raises(ValueError, match=rf"multiples of 4 pixels of at least 8, got {size[0]}x{size[1]}"):
            network(torch.zeros(1, 3, *size))
    enhancer = LocalEnhancer(network, 3, 2, width=2)
    with pytest.raises(ValueError, match="multiples of 8 pixels of at least 16, got 20x16"):
        enhancer(torch.zeros(1, 3, 20, 16))
    with pytest.raises(ValueError, match="multiples of 16 pixels of at least 32, got 32x40"):
        FeatureEncoder(3)(torch.zeros(1, 3, 32, 40))
    with pytest.raises(ValueError, match="half the global generator's 4, got 32"):
        LocalEnhancer(network, 3, 2)
    with pytest.raises(ValueError, match="downs must be at least 1, got 0"):
        GlobalGenerator(3, 3, downs=0)


def one_by_one(features: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    means = torch.empty_like(features)
    for image, plane, mean in zip(features, ids, means, strict=True):
        for instance in plane.unique():
            inside = plane == instance
            mean[:, inside] = image[:, inside].mean(dim=1, keepdim=True)
    return means


def test_each_instance_has_its_mean() -> None:
    torch.manual_seed(0)
    names = torch.tensor([0, 7, 26_001, 33_005, 2**40, -1])  # ids of Cityscapes go beyond 16 bits with a sign
    ids = names[torch.randint(6, (3, 9, 14))]
    features = torch.randn(3, 4, 9, 14, requires_grad=True)
    means = instance_means(features, ids)
    torch.testing.assert_close(means, one_by_one(features.detach(), ids))
    torch.testing.assert_close(instance_means(means, ids), means)
    torch.testing.assert_close(means.mean(dim=(2, 3)), features.mean(dim=(2, 3)))
    weights = torch.randn(3, 4, 9, 14)  # the mean's derivative is the mean of the derivative
    (means * weights).sum().backward()
    torch.testing.assert_close(features.grad, one_by_one(weights, ids))


def test_equal_ids_of_two_images_are_two_instances() -> None:
    """Pooled together in pix2pixHD's issue 30."""
    features = torch.stack((torch.zeros(1, 2, 3), torch.ones(1, 2, 3)))
    assert torch.equal(instance_means(features, torch.full((2, 2, 3), 5)), features)


def test_half_precision_does_not_overflow() -> None:
    features = torch.full((1, 1, 64, 64), 100.0, dtype=torch.float16)  # their sum is beyond 65,504
    means = instance_means(features, torch.zeros(1, 64, 64, dtype=torch.int64))
    assert means.dtype == torch.float16
    assert torch.equal(means, features)


def test_the_encoder_s_features_are_pooled_where_instances_are_known() -> None:
    torch.manual_seed(0)
    encoder, images = FeatureEncoder(3, 2, width=4, downs=1), torch.randn(2, 3, 8, 12)
    ids = torch.randint(3, (2, 8, 12))
    features = encoder(images)
    assert features.shape == (2, 2, 8, 12)
    assert features.abs().max() < 1
    torch.testing.assert_close(encoder(images, ids), one_by_one(features.detach(), ids))


def test_boundaries_lie_on_both_sides() -> None:
    ids = torch.tensor([[[1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 1, 1], [1, 1, 1, 1]]])
    expected = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]).float()
    assert torch.equal(boundaries(ids), expected[None, None])
    assert boundaries(torch.full((2, 3, 5), 33_000)).eq(0).all()
    assert boundaries(torch.arange(12).reshape(1, 3, 4)).eq(1).all()
    assert boundaries(torch.zeros(2, 1, 4, dtype=torch.int64)).shape == (2, 1, 1, 4)
