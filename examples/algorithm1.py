"""The first GAN on one page: Algorithm 1 of Goodfellow et al. 2014 (arXiv 1406.2661) in plain PyTorch.

A generator G makes images of noise z; a discriminator D gives the probability that an image comes from the data. They
play for one value (equation 1), which D raises and G lowers:

    V(D, G) = E[ln D(x)] + E[ln(1 - D(G(z)))]

At G's best, D can only guess: D = 1/2 everywhere (equation 2) and V = -2 ln 2 = -1.386 (Theorem 1).

zerosum gives three things here: images, their order, and seeds by name. With them this page ends with the weights of
`zerosum.train("gan", ...)` to the bit, as tests/examples/test_examples.py sees. Run: python examples/algorithm1.py
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import zerosum
from zerosum.data.sampler import batch_indices
from zerosum.data.tensors import to_float
from zerosum.utils.pictures import grid, save_picture
from zerosum.utils.seeds import seed_of

LATENT_DIM = 64


def train(images: Tensor, steps: int, k: int, batch: int, seed: int, minimax: bool) -> tuple[nn.Module, nn.Module]:
    """Algorithm 1 on images (count, C, H, W) in [-1, 1]: each step is k turns of D and one of G. Returns G and D."""
    count, shape, pixels = len(images), images.shape[1:], images[0].numel()
    torch.manual_seed(seed_of("initialisation", seed))  # seed_of: a number that depends on these words alone
    generator = nn.Sequential(
        nn.Linear(LATENT_DIM, 256), nn.ReLU(),  # (N, 256)
        nn.Linear(256, 256), nn.ReLU(),  # (N, 256)
        nn.Linear(256, pixels), nn.Tanh(), nn.Unflatten(1, shape),  # (N, C, H, W)
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, 256), nn.LeakyReLU(0.2),  # (N, 256)
        nn.Linear(256, 256), nn.LeakyReLU(0.2),  # (N, 256)
        nn.Linear(256, 1), nn.Flatten(0),  # logits s (N,), of which D is the sigmoid
    )  # fmt: skip
    # The algorithm leaves the update rule open. The paper used momentum; Adam works here without tuning.
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=5e-4, betas=(0.5, 0.999), fused=True)
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.999), fused=True)

    for step in range(steps):
        for turn in range(k):
            torch.manual_seed(seed_of("turn", seed, step, "discriminator", turn))
            with torch.no_grad():  # G stays as it is
                fake = generator(torch.randn(batch, LATENT_DIM))  # (N, C, H, W)
            # batch_indices: the N images that come next in an endless row of shuffled epochs
            seen = (step * k + turn) * batch
            real = images[batch_indices(count, batch, seen, seed_of(seed, "discriminator"))]  # (N, C, H, W)
            # -ln D = softplus(-s) and -ln(1 - D) = softplus(s), without underflow. Their sum is -V (equation 1).
            d_loss = softplus(-discriminator(real)).mean() + softplus(discriminator(fake)).mean()
            d_optimizer.zero_grad()
            d_loss.backward()
            d_optimizer.step()  # D raises V

        torch.manual_seed(seed_of("turn", seed, step, "generator", 0))
        logits = discriminator(generator(torch.randn(batch, LATENT_DIM)))  # (N,), of fresh noise
        # Of V only ln(1 - D) depends on G. Its gradient fades where D is sure, so section 3 raises ln D instead, which
        # has the same fixed point.
        g_loss = -softplus(logits).mean() if minimax else softplus(-logits).mean()
        g_optimizer.zero_grad()
        g_loss.backward()  # also fills the gradients of D, which its next zero_grad drops
        g_optimizer.step()  # G lowers V
        if (step + 1) % 100 == 0:
            print(f"step {step + 1:5}   V(D, G) = {-d_loss.item():.3f}   (-1.386: D can only guess)")
    return generator, discriminator


def main() -> None:
    """Train on drawn portraits, and show what G makes of 64 latents."""
    parser = argparse.ArgumentParser(description="Algorithm 1 of Goodfellow et al. 2014 on small images.")
    parser.add_argument("--data", default="builtin:portraits:2000", help="images: whatever zerosum reads")
    parser.add_argument("--size", type=int, default=16, help="pixels a side")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--k", type=int, default=1, help="turns of the discriminator in a step")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minimax", action="store_true", help="the generator's loss as printed in Algorithm 1")
    parser.add_argument("--out", type=Path, default=Path("runs/algorithm1.png"))
    given = parser.parse_args()
    torch.set_num_threads(1)  # networks this small are fastest on one, and another number rounds otherwise
    data = zerosum.open_dataset(given.data, (given.size, given.size))  # packed once, then kept in a cache
    images = to_float(data.images, data.info)  # (count, C, H, W) in [-1, 1]
    generator, _ = train(images, given.steps, given.k, given.batch, given.seed, given.minimax)
    with torch.no_grad():
        fakes = generator(torch.randn(64, LATENT_DIM)).permute(0, 2, 3, 1)  # (64, H, W, C)
    save_picture(grid(fakes.numpy(), 8, 8, value_range=(-1, 1)), given.out)
    print(f"64 samples: {given.out}")


if __name__ == "__main__":
    main()
