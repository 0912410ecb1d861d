"""Images that may be exported with a network: those drawn by the program, which show no real person."""

import tempfile
from pathlib import Path

import numpy as np

from zerosum.data.open import open_dataset
from zerosum.models.base import Loaded

DRAWN = "builtin:portraits"


def drawn_inputs(model: Loaded, count: int) -> np.ndarray | None:
    """Inputs (count, H, W, C) as stored, from the test part of the drawn portraits; None for networks trained on other
    data, which may show real people."""
    info = model.info
    if not f"{info.source}:".startswith(f"{DRAWN}:"):  # a count may follow
        return None
    with tempfile.TemporaryDirectory() as cache:
        size = (info.shape[0], info.shape[1])
        portraits = open_dataset(f"{DRAWN}:{count}", size, model.settings.data, cache=Path(cache), part="test")
        making = getattr(model.settings, "making", None)
        if making is not None:
            portraits = making.applied(portraits)
        return np.array(portraits.images if portraits.inputs is None else portraits.inputs[:])
