"""Packed sets of arrays at hand, without a folder."""

from pathlib import Path

from zerosum.data.dataset import Dataset, DatasetInfo, Side


def packed(images, labels=None, inputs=None, input_labels=(), target_labels=()):
    """A set of uint8 images (N, H, W, C), with labels (N,) or with inputs (N, H, W, C) that they are made from."""
    names = () if labels is None else tuple(f"class {n}" for n in range(labels.max() + 1))
    side = None if inputs is None else Side(inputs.shape[3], "uint8", (0, 255), False, input_labels)
    info = DatasetInfo(
        "made", len(images), images.shape[1:], "uint8", (0, 255), False, names, "", input=side, labels=target_labels
    )
    return Dataset(Path("there is no such folder"), info, images, labels, {}, None, inputs)
