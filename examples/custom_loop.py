"""A training loop of your own over zerosum's parts: nothing here is the engine, and every line can be changed.

Networks of DCGAN, the relativistic game of R3GAN with its penalty R1, a moving average, and scores at the end. What
one gives up beside `zerosum.train` are checkpoints, exact resume, warnings and the report. Run:
python examples/custom_loop.py
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

import zerosum
from zerosum.data.dataset import Dataset
from zerosum.data.sampler import batch_indices
from zerosum.data.tensors import to_float
from zerosum.engine.ema import Ema
from zerosum.metrics.features import open_extractor
from zerosum.metrics.frechet import frechet_distance_of
from zerosum.metrics.neighbours import precision_recall
from zerosum.nn.losses.adversarial import relativistic, relativistic_generator
from zerosum.nn.losses.penalties import r1_from_logits
from zerosum.nn.networks.dcgan import Discriminator, Generator
from zerosum.utils.pictures import grid, save_picture

LATENT_DIM = 64


def train(data: Dataset, steps: int, batch: int, gamma: float) -> Ema:
    """The moving average of a generator after so many steps."""
    height, width, channels = data.info.shape
    generator = Generator((channels, height, width), LATENT_DIM, width=32)
    discriminator = Discriminator((channels, height, width), width=32, norm="none")  # a penalty needs no batch norm
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    ema = Ema(generator, half_life=2_000)  # in images

    for step in range(steps):
        # The next of an endless row of shuffled epochs, a function of the position in it: (batch,) int64
        rows = batch_indices(len(data), batch, step * batch, seed=0)
        real = to_float(data.batch(rows)["image"], data.info)  # (batch, channels, height, width) in [-1, 1]

        # The discriminator: each real image is to beat a fake (Huang et al. 2024, equation 2), and its slope at real
        # images is to be small (R1, Mescheder et al. 2018, equation 9).
        with torch.no_grad():
            fake = generator(torch.randn(batch, LATENT_DIM))  # (batch, channels, height, width)
        real.requires_grad_()
        real_logits, fake_logits = discriminator(real), discriminator(fake)  # (batch,) each
        d_loss = relativistic(real_logits, fake_logits)["pair"]
        penalty = gamma / 2 * r1_from_logits(real_logits, real)
        d_optimizer.zero_grad()
        (d_loss + penalty).backward()
        d_optimizer.step()

        # The generator: the same with the sides changed.
        with torch.no_grad():
            real_logits = discriminator(real)
        fake_logits = discriminator(generator(torch.randn(batch, LATENT_DIM)))
        g_loss = relativistic_generator(fake_logits, real_logits)
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()

        ema.update(generator, batch, images_seen=(step + 1) * batch)
        if (step + 1) % 100 == 0:
            lead = (real_logits - fake_logits).mean().item()  # how far the discriminator is ahead
            print(f"step {step + 1:5}   D {d_loss.item():.3f}   G {g_loss.item():.3f}   lead {lead:.2f}")
    return ema


@torch.no_grad()
def score(fakes: Tensor, data: Dataset, source: str) -> None:
    """Print scores of fakes (n, C, H, W), beside what other real images get in their place."""
    height, width, channels = data.info.shape
    unseen = zerosum.open_dataset(source, (height, width), part="test")
    count = min(len(fakes), len(data), len(unseen))
    # `random` needs no file of weights; "inception:FILE" sees as FID does. Its name belongs to the score.
    extractor = open_extractor("random", channels)
    real = extractor(to_float(data.images[:count], data.info))  # (count, extractor.dimension)
    rows = {"generated": fakes[:count], "real, not trained on": to_float(unseen.images[:count], unseen.info)}
    print(f"{count} images a side, features {extractor.name}:")
    for name, images in rows.items():
        seen = extractor(images)  # (count, extractor.dimension)
        precision, recall = precision_recall(real, seen)
        distance = frechet_distance_of(real, seen)
        print(f"  {name:22}Fréchet distance {distance:7.2f}   precision {precision:.2f}   recall {recall:.2f}")


def main() -> None:
    """Train on drawn portraits, save 64 samples, and score 1,000."""
    parser = argparse.ArgumentParser(description="A training loop of one's own over zerosum's parts.")
    parser.add_argument("--data", default="builtin:portraits:2000", help="images that have a test part")
    parser.add_argument("--size", type=int, default=16, help="pixels a side: 8, 16, 32, ...")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--gamma", type=float, default=1.0, help="weight of R1")
    parser.add_argument("--scored", type=int, default=1000, help="images to score")
    parser.add_argument("--out", type=Path, default=Path("runs/custom_loop.png"))
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # networks this small are fastest on one
    data = zerosum.open_dataset(given.data, (given.size, given.size))  # packed once, then kept in a cache
    ema = train(data, given.steps, given.batch, given.gamma)
    with torch.no_grad():
        fakes = ema.average(torch.randn(given.scored, LATENT_DIM))  # (scored, channels, height, width)
    save_picture(grid(fakes[:64].permute(0, 2, 3, 1).numpy(), 8, 8, value_range=(-1, 1)), given.out)
    print(f"64 samples: {given.out}")
    score(fakes, data, given.data)


if __name__ == "__main__":
    main()
