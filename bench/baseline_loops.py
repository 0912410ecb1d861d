"""Plain PyTorch loops as the baseline of zerosum's speed: float32, eager, contiguous, as in tutorials and the papers'
code. Each is a step over a DataLoader of images in memory.

The networks are those of the zerosum recipe with PyTorch's own layers, so that the arithmetic is the same. LOOPS are
transcriptions of papers' code or PyTorch's tutorial. For the other recipes `the_same_losses` runs zerosum's losses in a
typical loop: opponents are not frozen, and every term is read in every step.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, softplus
from torch.utils.data import DataLoader, TensorDataset

from zerosum.engine.players import Batch, System
from zerosum.nn.layers.layout import Flatten, Unflatten
from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.layers.resample import AvgPool2x2

Step = Callable[[], None]


@dataclass(frozen=True)
class Loop:
    """A step, and the network that people would use: the generator, or the average of it where the loop keeps one."""

    step: Step
    network: nn.Module


def endless(batch: int, *tensors: Tensor) -> Iterator[list[Tensor]]:
    """Shuffled batches, for ever."""
    loader = DataLoader(TensorDataset(*(one.contiguous() for one in tensors)), batch, shuffle=True, drop_last=True)
    while True:
        yield from loader


def plain(network: nn.Module) -> nn.Module:
    """A copy in PyTorch's own layout with PyTorch's own rectifiers, pools and reshapes."""
    network = copy.deepcopy(network)
    make_plain(network)
    return network.train()


def make_plain(network: nn.Module) -> None:
    """The same in place."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, LeakyReLU):
                setattr(parent, name, nn.LeakyReLU(child.slope))
            elif isinstance(child, AvgPool2x2):
                setattr(parent, name, nn.AvgPool2d(2))
            elif isinstance(child, Flatten):
                setattr(parent, name, nn.Flatten())
            elif isinstance(child, Unflatten):
                setattr(parent, name, nn.Unflatten(child.dim, child.unflattened_size))
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()


def networks(system: System) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator, plain."""
    modules = {player.name: player.module for player in system.players}
    return plain(modules["generator"]), plain(modules["discriminator"])


def adam(network: nn.Module, lr: float, *betas: float) -> torch.optim.Optimizer:
    """Adam as it comes."""
    return torch.optim.Adam(network.parameters(), lr, (betas[0], betas[1]))


@torch.no_grad()
def update(average: nn.Module, network: nn.Module) -> None:
    """One step of a moving average, parameter by parameter."""
    for mean, parameter in zip(average.parameters(), network.parameters(), strict=True):
        mean.mul_(0.999).add_(parameter, alpha=0.001)


def dcgan(system: System, settings: Any, batch: int, data: Batch) -> Loop:
    """The loop of PyTorch's DCGAN tutorial: binary cross-entropy of probabilities, the fakes of D's turn again in G's,
    five numbers read each step."""
    generator, discriminator = networks(system)
    steps_d, steps_g = adam(discriminator, 2e-4, 0.5, 0.999), adam(generator, 2e-4, 0.5, 0.999)
    batches, loss = endless(batch, data["image"]), nn.BCELoss()

    def step() -> None:
        (real,) = next(batches)
        discriminator.zero_grad()
        opinions = discriminator(real).sigmoid()
        error_real = loss(opinions, torch.ones(batch))
        error_real.backward()
        seen = opinions.mean().item()
        fake = generator(torch.randn(batch, settings.generator.latent_dim))
        opinions = discriminator(fake.detach()).sigmoid()
        error_fake = loss(opinions, torch.zeros(batch))
        error_fake.backward()
        before = opinions.mean().item()
        steps_d.step()
        generator.zero_grad()
        opinions = discriminator(fake).sigmoid()
        error = loss(opinions, torch.ones(batch))
        error.backward()
        steps_g.step()
        _ = seen, before, opinions.mean().item(), (error_real + error_fake).item(), error.item()

    return Loop(step, generator)


def progressive(system: System, settings: Any, batch: int, data: Batch) -> Loop:
    """WGAN-GP at the full size: critic on real and fake images, the penalty with a pass of its own, the drift term;
    then the generator on fresh noise, and a moving average of it."""
    generator, discriminator = networks(system)
    average = copy.deepcopy(generator).requires_grad_(False)
    steps_d, steps_g = adam(discriminator, 1e-3, 0.0, 0.99), adam(generator, 1e-3, 0.0, 0.99)
    batches = endless(batch, data["image"])

    def step() -> None:
        (real,) = next(batches)
        steps_d.zero_grad()
        fake = generator(torch.randn(batch, settings.network.latent_dim)).detach()
        on_real, on_fake = discriminator(real), discriminator(fake)
        share = torch.rand(batch, 1, 1, 1)
        points = (share * real + (1 - share) * fake).requires_grad_()
        (slopes,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
        penalty = 10 * (slopes.flatten(1).norm(dim=1) - 1).square().mean() + 1e-3 * on_real.square().mean()
        loss = on_fake.mean() - on_real.mean() + penalty
        loss.backward()
        steps_d.step()
        steps_g.zero_grad()
        error = -discriminator(generator(torch.randn(batch, settings.network.latent_dim))).mean()
        error.backward()
        steps_g.step()
        update(average, generator)
        _ = loss.item(), error.item()

    return Loop(step, average)


def r3gan(system: System, settings: Any, batch: int, data: Batch) -> Loop:
    """Relativistic loss with R1 and R2 on its own passes, as the authors' trainer has them, and a moving average."""
    generator, discriminator = networks(system)
    average = copy.deepcopy(generator).requires_grad_(False)
    steps_d, steps_g = adam(discriminator, 2e-4, 0.0, 0.99), adam(generator, 2e-4, 0.0, 0.99)
    batches, strength = endless(batch, data["image"]), settings.penalty.r1 / 2

    def step() -> None:
        (real,) = next(batches)
        steps_d.zero_grad()
        real = real.requires_grad_()
        fake = generator(torch.randn(batch, settings.network.latent_dim)).detach().requires_grad_()
        on_real, on_fake = discriminator(real), discriminator(fake)
        penalties = []
        for logits, images in ((on_real, real), (on_fake, fake)):
            (slopes,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            penalties.append(slopes.square().sum(dim=(1, 2, 3)).mean())
        loss = softplus(on_fake - on_real).mean() + strength * sum(penalties)
        loss.backward()
        steps_d.step()
        (real,) = next(batches)
        discriminator.requires_grad_(False)
        steps_g.zero_grad()
        on_fake = discriminator(generator(torch.randn(batch, settings.network.latent_dim)))
        error = softplus(discriminator(real) - on_fake).mean()
        error.backward()
        steps_g.step()
        discriminator.requires_grad_(True)
        update(average, generator)
        _ = loss.item(), error.item()

    return Loop(step, average)


def pix2pix(system: System, settings: Any, batch: int, data: Batch) -> Loop:
    """The order of the authors' PyTorch code: one generated picture for both turns, D frozen in G's."""
    generator, discriminator = networks(system)
    steps_d, steps_g = adam(discriminator, 2e-4, 0.5, 0.999), adam(generator, 2e-4, 0.5, 0.999)
    batches = endless(batch, data["image"], data["input"])

    def judged(images: Tensor, inputs: Tensor, real: bool) -> Tensor:
        logits = discriminator(torch.cat((inputs, images), dim=1))[-1]
        return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    def step() -> None:
        real, inputs = next(batches)
        fake = generator(inputs)
        discriminator.requires_grad_(True)
        steps_d.zero_grad()
        loss = 0.5 * (judged(fake.detach(), inputs, False) + judged(real, inputs, True))
        loss.backward()
        steps_d.step()
        discriminator.requires_grad_(False)
        steps_g.zero_grad()
        fooling, gap = judged(fake, inputs, True), 100 * l1_loss(fake, real)
        (fooling + gap).backward()
        steps_g.step()
        _ = loss.item(), fooling.item(), gap.item()

    return Loop(step, generator)


def the_same_losses(system: System, settings: Any, batch: int, data: Batch) -> Loop:
    """zerosum's own losses in a loop as it is often written: no opponent frozen, optimisers as they come, every term
    read in every step, an average parameter by parameter."""
    names = [name for name, value in data.items() if isinstance(value, Tensor)]
    average = copy.deepcopy(system.network).requires_grad_(False)
    for player in system.players:
        make_plain(player.module.train())
        for group in player.optimizer.param_groups:
            group["fused"] = False
    batches, steps = endless(batch, *(data[name] for name in names)), 0

    def step() -> None:
        nonlocal steps
        told: Batch = {}
        for player in system.players:
            for turn in range(player.steps):
                joint = system.joint_forward
                if not told or joint is None or turn:
                    told = dict(zip(names, next(batches), strict=True))
                    told |= {"images_seen": data["images_seen"], "step": steps}
                    told = told if joint is None else joint(told)
                terms, scores = player.losses(told)
                for other in system.players:
                    other.module.zero_grad()
                torch.stack(list(terms.values())).sum().backward()
                player.optimizer.step()
                player.after_step()
                _ = [value.item() for value in (*terms.values(), *scores.values())]
        update(average, system.network)
        steps += 1

    return Loop(step, average)


LOOPS: dict[str, Callable[..., Loop]] = {"dcgan": dcgan, "pix2pix": pix2pix, "progressive": progressive, "r3gan": r3gan}
