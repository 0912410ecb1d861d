"""Loading generators trained with the authors' PyTorch code into our networks.

pytorch-CycleGAN-and-pix2pix saves U-Nets and residual generators, contrastive-unpaired-translation (CUT) residual ones
with fixed filters, pix2pixHD global generators and local enhancers. Their tensors are named by index in nested
sequences, which also count modules without tensors; the indices reveal the architecture.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zerosum.nn.networks import pix2pixhd, unet

Kind = Literal["unet", "resnet", "local"]

DROPOUT = 0.5  # of all the reference networks that have any
FILTER = ".filt"  # the buffers of CUT's resampling layers
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class ReferenceGenerator:
    """A reference generator in our terms.

    kind: `unet` (`unet.Generator`), `resnet` (`pix2pixhd.GlobalGenerator`) or `local` (`pix2pixhd.LocalEnhancer`).
    arguments: for the class; for `local` without the global generator, whose own are in `inner`.
    state: the tensors under our names."""

    kind: Kind
    arguments: dict[str, Any]
    state: dict[str, Tensor]
    inner: dict[str, Any] = field(default_factory=dict)

    def network(self) -> nn.Module:
        """Our network with these weights."""
        built = _build(self.kind, self.arguments, self.inner)
        built.load_state_dict(self.state)
        return built


def identify_generator(state: Mapping[str, Tensor]) -> ReferenceGenerator:
    """The generator in a state dict of the reference code.

    "module.", which DataParallel puts before every name, is removed; statistics that old versions of PyTorch stored
    for instance norm, and the fixed filters of CUT, are ignored. A U-Net's file does not tell whether it was trained
    with dropout: it gets pix2pix's, in the layers of the reference code, which matters in train mode only. Raises
    ValueError, naming the first tensor that does not fit."""
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    antialias = any(name.endswith(FILTER) for name in state)
    state = {name: tensor for name, tensor in state.items() if not name.endswith(FILTER)}
    norm = _norm(state)
    inner: dict[str, Any] = {}
    kind: Kind
    if any(name.startswith("model1_") for name in state):
        kind, (arguments, inner, modules) = "local", _local(state, norm)
    elif any(name.startswith("model.model.") for name in state):
        kind, (arguments, modules) = "unet", _unet(state, norm)
    else:
        kind, (arguments, modules) = "resnet", _resnet(state, norm, antialias)
    described = f"a {kind} generator with " + ", ".join(f"{name} {value}" for name, value in arguments.items())

    names = {}  # by ours, before anything of that size is built
    for name in state:
        module, _, last = name.rpartition(".")
        if module not in modules:
            raise ValueError(f"{name} has no place in {described}")
        if norm == "batch" or last not in STATISTICS:
            names[f"{modules[module]}.{last}"] = name
    with torch.device("meta"):
        own = _build(kind, arguments, inner).state_dict()
    renamed = {}
    for ours, name in names.items():
        tensor = state[name]
        if ours not in own:
            raise ValueError(f"{name} has no place in {described}")
        if tensor.shape != own[ours].shape:
            wanted = tuple(own[ours].shape)
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, not {wanted}, as the other tensors have it")
        renamed[ours] = tensor
    theirs = {ours: module for module, ours in modules.items()}
    for ours in own:
        module, _, last = ours.rpartition(".")
        if ours not in renamed and last != "num_batches_tracked":  # which old versions of PyTorch did not count
            raise ValueError(f"{theirs[module]}.{last} is missing from {described}")
    return ReferenceGenerator(kind, arguments, renamed, inner)


def _build(kind: Kind, arguments: Mapping[str, Any], inner: Mapping[str, Any]) -> nn.Module:
    if kind == "unet":
        return unet.Generator(**arguments)
    if kind == "resnet":
        return pix2pixhd.GlobalGenerator(**arguments)
    return pix2pixhd.LocalEnhancer(pix2pixhd.GlobalGenerator(**inner), **arguments)


def _unet(state: Mapping[str, Tensor], norm: unet.Norm) -> tuple[dict[str, Any], dict[str, str]]:
    """Arguments, and a mapping from the reference's module names to ours. Blocks are nested: each is a sequence of its
    downsampling, the inner block, and its upsampling."""
    depth = max(2, max(name.split(".").count("model") for name in state) - 1)
    prefix = "model.model"
    modules: dict[str, str] = {}
    for level in range(depth):
        down, up = f"down.{level}", f"up.{depth - 1 - level}"
        if level == 0:
            named = {0: f"{down}.conv", 3: f"{up}.conv"}
        elif level == depth - 1:
            named = {1: f"{down}.conv", 3: f"{up}.conv", 4: f"{up}.norm"}
        else:
            named = {1: f"{down}.conv", 2: f"{down}.norm", 5: f"{up}.conv", 6: f"{up}.norm"}
        modules |= {f"{prefix}.{index}": ours for index, ours in named.items()}
        prefix += ".3.model" if level else ".1.model"
    first, last = _kernel(state, "model.model.0.weight"), _kernel(state, "model.model.3.weight")
    arguments = {"in_channels": first[1], "out_channels": last[1], "width": first[0], "depth": depth, "norm": norm}
    return arguments | {"dropout": DROPOUT, "dropout_innermost": False}, modules


def _resnet(state: Mapping[str, Tensor], norm: unet.Norm, antialias: bool) -> tuple[dict[str, Any], dict[str, str]]:
    blocks = _blocks(state, "model")
    downs = max(
        1, (_kernels(state) - 1) // 2
    )  # beside the first and the last as many down as up, of which one may miss
    # the second convolution of a block is one index later where dropout precedes it
    dropout = any(name.endswith(".conv_block.6.weight") and _is_kernel(state, name) for name in state)
    named = _trunk(downs, blocks, dropout, antialias)
    end = 4 + 2 * (3 + antialias) * downs + blocks + 1
    first, last = _kernel(state, "model.1.weight"), _kernel(state, f"model.{end}.weight")
    arguments: dict[str, Any] = {"in_channels": first[1], "out_channels": last[0], "width": first[0], "downs": downs}
    arguments |= {"blocks": blocks, "norm": norm, "dropout": DROPOUT if dropout else 0.0}
    arguments |= {"antialias": True} if antialias else {}
    modules = {f"model.{index}": f"trunk.{ours}" for index, ours in named.items()} | {f"model.{end}": "exit"}
    return arguments, modules


def _local(state: Mapping[str, Tensor], norm: unet.Norm) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """The global generator's sequence without its end, and the enhancer's, cut where the features are added."""
    inner_blocks, blocks = _blocks(state, "model"), _blocks(state, "model1_2")
    downs = max(1, _kernels(state) // 2)  # beside the first as many down as up, of which one may miss
    modules = {f"model.{index}": f"inner.{ours}" for index, ours in _trunk(downs, inner_blocks).items()}
    cut = 7  # modules of the first layer and one down
    for index, ours in _trunk(1, blocks).items():
        start, dot, rest = index.partition(".")
        within = f"model1_1.{start}" if int(start) < cut else f"model1_2.{int(start) - cut}"
        modules[f"{within}{dot}{rest}"] = f"trunk.{ours}"
    end = f"model1_2.{blocks + 4}"
    modules[end] = "exit"
    wide, first, last = (_kernel(state, f"{module}.weight") for module in ("model.1", "model1_1.1", end))
    if wide[0] != 2 * first[0]:
        raise ValueError(f"model1_1.1.weight has {first[0]} kernels, not half the {wide[0]} of model.1.weight")
    arguments = {"in_channels": first[1], "out_channels": last[0], "width": first[0], "blocks": blocks}
    inner: dict[str, Any] = {"in_channels": wide[1], "out_channels": last[0], "width": wide[0], "downs": downs}
    return arguments, inner | {"blocks": inner_blocks, "norm": norm}, modules


def _trunk(downs: int, blocks: int, dropout: bool = False, antialias: bool = False) -> dict[str, str]:
    """A mapping from indices in the reference's sequence, where padding and ReLU count too, to modules of
    `pix2pixhd.Trunk`. Fixed filters lie behind the layers that downsample and before those that upsample."""
    layer = 4 if antialias else 3
    named = {"1": "entry.conv", "2": "entry.norm"}
    for level in range(downs):
        index = 4 + layer * level
        named |= {f"{index}": f"down.{level}.conv", f"{index + 1}": f"down.{level}.norm"}
    second = 6 if dropout else 5
    for block in range(blocks):
        index = 4 + layer * downs + block
        for within, ours in {1: "conv1", 2: "norm1", second: "conv2", second + 1: "norm2"}.items():
            named[f"{index}.conv_block.{within}"] = f"blocks.{block}.layers.{ours}"
    for level in range(downs):
        index = 4 + layer * downs + blocks + layer * level + antialias
        named |= {f"{index}": f"up.{level}.conv", f"{index + 1}": f"up.{level}.norm"}
    return named


def _blocks(state: Mapping[str, Tensor], sequence: str) -> int:
    """How many residual blocks a sequence has."""
    found = (re.match(rf"{sequence}\.(\d+)\.conv_block\.", name) for name in state)
    return len({match[1] for match in found if match})


def _kernels(state: Mapping[str, Tensor]) -> int:
    """How many convolutions the sequence `model` has beside the residual blocks."""
    return sum(re.fullmatch(r"model\.\d+\.weight", name) is not None and _is_kernel(state, name) for name in state)


def _norm(state: Mapping[str, Tensor]) -> unet.Norm:
    """Batch norm keeps statistics beside its gains; instance norm keeps nothing, or (once) statistics alone."""
    kept = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    return "batch" if any(f"{module}weight" in state for module in kept) else "instance"


def _is_kernel(state: Mapping[str, Tensor], name: str) -> bool:
    return name in state and state[name].ndim == 4


def _kernel(state: Mapping[str, Tensor], name: str) -> torch.Size:
    """The shape of a convolution's kernel, which tells the channels."""
    if not _is_kernel(state, name):
        begins = f", and begin with {next(iter(state))}" if state else ""
        raise ValueError(f"no generator of pix2pix, CycleGAN or pix2pixHD: the weights have no kernel {name}{begins}")
    return state[name].shape
