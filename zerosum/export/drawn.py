"""Pictures that may travel with a network: those that the program draws, which show nobody."""

import tempfile
from pathlib import Path

import numpy as np

from zerosum.data.open import open_dataset
from zerosum.models.base import Loaded

DRAWN = "builtin:portraits"


def drawn_inputs(model: Loaded, count: int) -> np.ndarray | None:
    """Inputs (count, H, W, C) as stored that the network has not seen, of the test part of drawn portraits; None for a
    network that learnt from other data, since a face belongs to somebody."""
    info = model.info
    if not f"{info.source}:".startswith(f"{DRAWN}:"):  # a count may follow
        return None
    with tempfile.TemporaryDirectory() as cache:
        size = (info.shape[0], info.shape[1])
        found = open_dataset(f"{DRAWN}:{count}", size, model.settings.data, cache=Path(cache), part="test")
        return np.array(found.images if found.inputs is None else found.inputs)
