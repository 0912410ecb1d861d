"""The patchwise contrastive loss against the paper's formula in NumPy, its chance level and its gradients."""

import math

import numpy as np
import pytest
import torch

from zerosum.nn.losses.contrastive import patch_nce


def unit(*shape, seed=0):
    features = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return features / features.norm(dim=-1, keepdim=True)


def as_printed(queries, keys, temperature):
    """Park et al. 2020, equations 3 and 4: for each patch the cross-entropy of its own key among those of its image."""
    losses = []
    for query, key in zip(queries.numpy().astype(float), keys.numpy().astype(float), strict=True):
        for place in range(len(query)):
            similarity = np.exp(query[place] @ key.T / temperature)
            losses.append(-math.log(similarity[place] / similarity.sum()))
    return float(np.mean(losses))


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_it_is_the_formula_of_the_paper(temperature):
    queries, keys = unit(3, 9, 5), unit(3, 9, 5, seed=1)
    assert float(patch_nce(queries, keys, temperature)) == pytest.approx(
        as_printed(queries, keys, temperature), rel=1e-5
    )


def test_features_that_tell_nothing_apart_give_the_logarithm_of_the_number_of_patches():
    alike = torch.ones(2, 256, 4) / 2
    assert float(patch_nce(alike, alike)) == pytest.approx(math.log(256), rel=1e-4)  # 5.545 nats


def test_negatives_are_patches_of_the_same_image_alone():
    queries, keys = unit(2, 6, 8), unit(2, 6, 8, seed=1)
    other = keys.clone()
    other[1] = unit(6, 8, seed=2)
    by_image = [patch_nce(queries[:1], one[:1]) for one in (keys, other)]
    torch.testing.assert_close(*by_image)


def test_the_keys_get_no_gradient():
    queries, keys = unit(1, 6, 8).requires_grad_(), unit(1, 6, 8, seed=1).requires_grad_()
    patch_nce(queries, keys).backward()
    assert keys.grad is None
    assert queries.grad is not None
    assert queries.grad.abs().sum() > 0


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        patch_nce(unit(1, 6, 8), unit(1, 7, 8))
