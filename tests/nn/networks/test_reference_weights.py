"""Files of the reference code in our networks: the same outputs, and sentences for what does not fit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.nn.networks.reference_code import BATCH, INSTANCE, OLD_INSTANCE, Local, Normed, residual, trained, u_net
from zerosum.nn.networks import pix2pixhd, unet
from zerosum.nn.networks.reference_weights import identify_generator

torch.set_num_threads(1)

CASES = {
    "U-Net, batch norm": (u_net(3, 2, BATCH, False), "unet"),
    "U-Net, instance norm": (u_net(1, 3, INSTANCE, True), "unet"),
    "9 blocks": (residual(3, 2, 4, 2, 9), "resnet"),
    "9 blocks, batch norm, dropout": (residual(3, 3, 4, 2, 9, BATCH, False, True), "resnet"),
    "9 blocks, batch norm": (residual(3, 3, 4, 2, 9, BATCH, False), "resnet"),
    "6 blocks, dropout": (residual(3, 3, 4, 2, 6, dropout=True), "resnet"),
    "6 blocks": (residual(4, 3, 4, 2, 6), "resnet"),
    "no block": (residual(4, 3, 4, 2, 0), "resnet"),
    "global": (residual(5, 3, 4, 4, 3), "resnet"),
    "local": (Local(5, 3, 4, 3, 3, 2), "local"),
    "local, as published but for the width": (Local(5, 3, 2, 4, 9, 3), "local"),
}


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_same_output(name: str) -> None:
    reference, kind = CASES[name]
    found = identify_generator(trained(reference).state_dict())
    network = found.network().eval()
    inputs = found.arguments["in_channels"]
    assert found.kind == kind
    classes = {"unet": unet.Generator, "resnet": pix2pixhd.GlobalGenerator, "local": pix2pixhd.LocalEnhancer}
    assert type(network) is classes[kind]
    for size in ((64, 64), (64, 128)):
        images = torch.rand(2, inputs, *size) * 2 - 1
        theirs = reference(images.clone())
        assert theirs.std() > 0.05
        torch.testing.assert_close(network(images), theirs, rtol=0, atol=1e-6)


def test_the_names_are_those_of_the_files() -> None:
    """Some of each, as the reference's files have them."""
    inner = ".".join(["model"] + ["model.1"] + ["model.3"] * 4 + ["model"])
    names = u_net(3, 3, BATCH, False).state_dict().keys()
    assert {"model.model.0.weight", "model.model.3.bias", "model.model.1.model.1.weight", f"{inner}.4.running_var",
            "model.model.1.model.2.weight", "model.model.1.model.3.model.5.weight"} <= names  # fmt: skip
    names = residual(3, 3, 4, 2, 9).state_dict().keys()
    assert {"model.1.weight", "model.10.conv_block.1.weight", "model.18.conv_block.5.bias", "model.19.weight",
            "model.26.bias"} <= names  # fmt: skip
    names = Local(3, 3, 4, 4, 9, 3).state_dict().keys()
    assert {"model.1.weight", "model1_1.4.weight", "model1_2.0.conv_block.1.weight", "model1_2.3.weight",
            "model1_2.7.bias"} <= names  # fmt: skip


@torch.no_grad()
def test_dropout_of_the_u_net_is_where_the_reference_has_it() -> None:
    """A file does not tell, but from the same stream both drop the same."""
    reference = trained(u_net(3, 2, INSTANCE, True))
    network = identify_generator(reference.state_dict()).network().train()
    images = torch.rand(2, 3, 64, 64)
    torch.manual_seed(5)
    theirs = reference.train()(images.clone())
    torch.manual_seed(5)
    torch.testing.assert_close(network(images), theirs, rtol=0, atol=1e-6)


def test_arguments_tell_how_it_was_built() -> None:
    found = {name: identify_generator(reference.state_dict()) for name, (reference, _) in CASES.items()}
    assert found["U-Net, batch norm"].arguments == {
        "in_channels": 3, "out_channels": 2, "width": 4, "depth": 6, "norm": "batch", "dropout": 0.5,
        "dropout_innermost": False,
    }  # fmt: skip
    assert found["U-Net, instance norm"].arguments["norm"] == "instance"
    assert found["9 blocks, batch norm, dropout"].arguments == {
        "in_channels": 3, "out_channels": 3, "width": 4, "downs": 2, "blocks": 9, "norm": "batch", "dropout": 0.5,
    }  # fmt: skip
    assert found["6 blocks"].arguments["dropout"] == 0
    assert found["local"].arguments == {"in_channels": 5, "out_channels": 3, "width": 4, "blocks": 2}
    assert found["local"].inner == {
        "in_channels": 5, "out_channels": 3, "width": 8, "downs": 3, "blocks": 3, "norm": "instance",
    }  # fmt: skip
    assert found["global"].inner == {}


@pytest.mark.parametrize("built", [lambda norm: u_net(3, 3, norm, True), lambda norm: residual(3, 3, 4, 2, 2, norm)])
@torch.no_grad()
def test_statistics_of_old_instance_norms_are_left_out(built: Callable[[Normed], nn.Module]) -> None:
    old, new = trained(built(OLD_INSTANCE)), trained(built(INSTANCE))
    assert any(name.endswith("running_var") for name in old.state_dict())
    found = identify_generator(old.state_dict())
    assert found.arguments["norm"] == "instance"
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(found.network().eval()(images), new(images.clone()), rtol=0, atol=1e-6)


def test_prefixes_of_parallel_training_and_missing_counters() -> None:
    state = trained(u_net(3, 3, BATCH, False)).state_dict()
    plain = identify_generator(state).state
    bare = {f"module.{name}": tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    found = identify_generator(bare)
    assert found.state.keys() == {name for name in plain if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(tensor, plain[name]) for name, tensor in found.state.items())
    found.network()


def test_the_published_sizes() -> None:
    """Files of the sizes that the authors offer are identify_generator, without their gigabytes."""
    with torch.device("meta"):
        state = residual(36, 3, 64, 4, 9).state_dict()
        found = identify_generator(state)
        assert found.arguments == {
            "in_channels": 36, "out_channels": 3, "width": 64, "downs": 4, "blocks": 9, "norm": "instance",
            "dropout": 0.0,
        }  # fmt: skip
        assert sum(tensor.numel() for tensor in found.state.values()) == 182_546_755
        local = identify_generator(Local(36, 3, 32, 4, 9, 3).state_dict())
        assert sum(tensor.numel() for tensor in local.state.values()) == 182_857_059


def changed(state: dict[str, Tensor], **changes: Any) -> dict[str, Tensor]:
    """Tensors by the names in `changes` ("__" for "."), new, replaced, or taken out by None."""
    state = {**state, **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


RESNET = residual(3, 3, 4, 2, 2).state_dict()
UNET = u_net(3, 3, BATCH, False).state_dict()
LOCAL = Local(3, 3, 4, 2, 1, 1).state_dict()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({}, r"have no kernel model\.1\.weight$"),
        ({"conv1.weight": torch.zeros(4, 3, 7, 7)}, r"no kernel model\.1\.weight, and begin with conv1\.weight"),
        ({"model.0.weight": torch.zeros(4, 3, 4, 4)}, r"no kernel model\.1\.weight, and begin with model\.0\.weight"),
        (changed(RESNET, model__4__weight=None), r"^model\.4\.weight is missing from a resnet generator"),
        (
            changed(RESNET, model__4__bias=None),
            r"^model\.4\.bias is missing from a resnet generator with in_channels 3",
        ),
        (changed(RESNET, model__5__weight=torch.ones(8)), r"^model\.5\.weight has no place in a resnet generator"),
        (
            {f"model.{i}.weight": torch.zeros(1, 1, 1, 1) for i in range(400)},
            r"no kernel model\.1199\.weight, and begin with model\.0",
        ),
        (changed(RESNET, model__20__filter=torch.ones(8)), r"^model\.20\.filter has no place"),
        (
            changed(RESNET, model__10__conv_block__5__weight=torch.zeros(16, 16, 1, 1)),
            r"^model\.10\.conv_block\.5\.weight has shape \(16, 16, 1, 1\), not \(16, 16, 3, 3\)",
        ),
        (
            changed(UNET, model__model__0__bias=torch.zeros(4)),
            r"^model\.model\.0\.bias has no place in a unet generator",
        ),
        (
            changed(UNET, model__model__1__model__2__running_var=None),
            r"^model\.model\.1\.model\.2\.running_var is missing from a unet generator",
        ),
        (changed(UNET, model__model__3__weight=None), r"no kernel model\.model\.3\.weight"),
        (
            changed(UNET, model__model__1__model__1__weight=None),
            r"^model\.model\.1\.model\.1\.weight is missing from a unet generator",
        ),
        (changed(LOCAL, model2_1__1__weight=torch.zeros(4, 3, 7, 7)), r"^model2_1\.1\.weight has no place in a local"),
        (changed(LOCAL, model1_1__4__weight=None), r"^model1_1\.4\.weight is missing from a local generator"),
        (
            changed(LOCAL, model1_1__1__weight=torch.zeros(6, 3, 7, 7)),
            r"^model1_1\.1\.weight has 6 kernels, not half the 8 of model\.1\.weight",
        ),
    ],
)
def test_what_does_not_fit_is_named(state: dict[str, Tensor], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        identify_generator(state)
