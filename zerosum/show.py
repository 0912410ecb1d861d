"""The pictures that a run writes while it trains: the same seeds every time."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

from zerosum import pictures
from zerosum.data.convert import to_float, to_stored
from zerosum.data.dataset import Dataset
from zerosum.data.densities import DENSITIES
from zerosum.data.order import epoch_order
from zerosum.engine.players import System
from zerosum.files import write_whole
from zerosum.metrics.diversity import diversity

SHEET_SIDE = 1024  # pixels; a grid has 8 x 8 images, or fewer when they are large
POINTS = 2000  # shown of a set of vectors


class SampleSheets:
    """Writes `reals.png` once and a sheet of generated images whenever called; measures their diversity."""

    def __init__(self, folder: Path, system: System, data: Dataset, seed: int) -> None:
        self.folder, self.system, self.info = folder, system, data.info
        side = max(2, min(8, SHEET_SIDE // max(self.info.shape[:2]))) if not self.info.is_vectors else 0
        self.rows = self.cols = side
        count = min(len(data), POINTS if self.info.is_vectors else side * side)
        self.reals = data.batch(epoch_order(len(data), seed, 0)[:count])["image"]
        self.seeds = range(POINTS if self.info.is_vectors else side * side)
        if not (folder / "reals.png").exists():
            self._save("reals.png", self._picture(self.reals, None))

    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` from the network. Returns `health/diversity`, 1 where as varied as the data; nothing
        for data without variety."""
        device = next(network.parameters()).device
        with torch.inference_mode():
            parts = [network(self.system.latents(seeds).to(device)) for seeds in _chunks(self.seeds, 64)]
        fakes = to_stored(torch.cat(parts), self.info)
        self._save(f"{images:09d}.png", self._picture(fakes, self._score(device)))
        if len(self.reals) < 2:
            return {}
        spread = diversity(to_float(fakes[:64], self.info), to_float(self.reals[:64], self.info))
        return {"health/diversity": spread} if math.isfinite(spread) else {}  # nan: the data has no variety itself

    def _picture(self, images: np.ndarray, score: pictures.Function | None) -> "pictures.Image.Image":
        if not self.info.is_vectors:
            return pictures.grid(images, self.rows, self.cols, value_range=self.info.value_range)
        if self.info.shape[0] > 2:  # drawn by their first two numbers, without a density
            return pictures.density_picture(self.reals[:, :2], images[:, :2])
        origin, _, name = self.info.source.partition(":")
        known = DENSITIES.get(name.partition(":")[0]) if origin == "builtin" else None
        density = (lambda x: np.exp(known.log_density(x))) if known else None
        return pictures.density_picture(self.reals, images, score, density)

    def _score(self, device: torch.device) -> pictures.Function | None:
        judge = self.system.score
        if judge is None or not self.info.is_vectors:
            return None

        def probability(x: np.ndarray) -> np.ndarray:
            training = judge.training
            judge.eval()  # no dropout, and the statistics of batch norm stay as training left them
            with torch.no_grad():
                scores = torch.sigmoid(judge(torch.from_numpy(x).float().to(device))).cpu().numpy()
            judge.train(training)
            return scores

        return probability

    def _save(self, name: str, picture: "pictures.Image.Image") -> None:
        file = io.BytesIO()
        picture.save(file, format="PNG")
        write_whole(self.folder / name, file.getvalue(), durable=False)


def _chunks(values: range, size: int) -> list[range]:
    return [values[i : i + size] for i in range(0, len(values), size)]
