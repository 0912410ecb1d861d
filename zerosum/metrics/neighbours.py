"""Nearest-neighbour metrics: precision, recall, density, coverage, and memorisation (copies of training images).

Distances are Euclidean, in float64. Matrix products find who is near, for a few rows at a time, so that no table of all
distances is ever held. A product cannot tell an exact duplicate from one that is very near, so its squares are lowered
by as much as its rounding can have raised them: samples on the edge of a ball, and duplicates, are then within it
however the work was cut up. What is reported as a distance is the length of the difference, exactly 0 for duplicates.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.metrics.checks import check_pair

FEW = 2_000  # training images below which a discriminator learns them by heart within the usual length of a run

_CELLS = 2**22  # distances held at once: 34 MB
_ROWS = 8192  # samples in float64 at once: 134 MB of 2,048 features
_WHOLE = 2**25  # numbers up to which a set is held in float64 as a whole: 268 MB


class PrecisionRecall(NamedTuple):
    """The share of fakes that lie among the real samples, and of real samples that lie among the fakes."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """How densely real samples surround the fakes, and the share of real samples with a fake in their neighbourhood.

    For fakes of the same distribution 1 and 1 - 2⁻ᵏ are to be expected; density is above 1 for those that keep to its
    middle."""

    density: float
    coverage: float


@torch.no_grad()
def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    """Precision and recall of features (N, D) and (M, D) (Kynkäänniemi et al. 2019, equations 1 and 2).

    A set's region is the union of balls around its samples, each of which reaches to the k-th nearest other one.
    Raises ValueError unless both sets have more than k samples, or when features are not finite or not of one D."""
    check_pair(real, fake)
    return PrecisionRecall(_share_within(fake, real, k, "real"), _share_within(real, fake, k, "fake"))


@torch.no_grad()
def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> DensityCoverage:
    """Density and coverage of features (N, D) and (M, D) (Naeem et al. 2020, section 3).

    Only the balls around real samples count, so that a stray fake does no harm, which in recall has a large ball.
    Raises ValueError unless there are more than k real samples and a fake, and as `precision_recall` does."""
    check_pair(real, fake)
    if not len(fake):
        raise ValueError("density and coverage need at least one fake sample")
    reach = _squared_reach(real, k, "real")
    hits, covered = 0, torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for _, squares in _lowered_squares(fake, real):
        within = squares <= reach
        hits += int(within.sum())
        covered |= within.any(dim=0)
    return DensityCoverage(hits / (k * len(fake)), float(covered.double().mean()))


@torch.no_grad()
def nearest(queries: Tensor, references: Tensor, leave_self_out: bool = False) -> tuple[Tensor, Tensor]:
    """The distance (N,) from each of the queries (N, D) to the nearest of the references (M, D), and its index (N,).

    float64 and int64; of several that are equally near within rounding, the first. leave_self_out: queries are the
    references, and none is its own neighbour (its duplicate may be).
    Raises ValueError when there is no other to be near to, or features are not finite or not of one D."""
    check_pair(queries, references, ("queries", "references"))
    if leave_self_out and len(queries) != len(references):
        raise ValueError(f"leave_self_out is for a set and itself, got {len(queries)} and {len(references)} rows")
    if len(references) <= leave_self_out:
        raise ValueError(f"nothing to be near to: {len(references)} references" + ", itself left out" * leave_self_out)
    distances = torch.empty(len(queries), dtype=torch.float64, device=queries.device)
    indices = torch.empty(len(queries), dtype=torch.int64, device=queries.device)
    for rows, squares in _lowered_squares(queries, references, leave_self_out):
        points = queries[rows]
        reach = _squares(points, references[squares.argmin(dim=1)])
        indices[rows] = (squares <= reach[:, None]).to(torch.uint8).argmax(dim=1)  # argmax gives the first
        distances[rows] = _squares(points, references[indices[rows]]).sqrt()
    return distances, indices


@torch.no_grad()
def copying(fake: Tensor, train: Tensor) -> float:
    """The probability that a fake is nearer to its nearest training sample than a training sample to its nearest other
    one.

    From features (M, D) and (N, D); ties count half, so this is the Mann-Whitney statistic of the two lists of
    distances. 0.5 for new samples of the same distribution, 1 for copies, near 0 for samples off the manifold: a poor
    generator hides its copies, so read it beside precision. Meehan et al. 2020 compare with held-out samples in cells;
    here the training samples stand in for them, each left out of its own, and there is one cell.
    Raises ValueError for no fakes or fewer than two training samples, and as `nearest` does."""
    if not len(fake):
        raise ValueError("copying needs at least one fake sample")
    usual = nearest(train, train, leave_self_out=True)[0].sort().values
    found = nearest(fake, train)[0]
    # how many of the usual distances are larger, and how many equal
    upto, below = torch.searchsorted(usual, found, right=True), torch.searchsorted(usual, found)
    wins = (len(usual) - upto) + (upto - below) / 2
    return float(wins.double().mean() / len(usual))


def _share_within(points: Tensor, centres: Tensor, k: int, name: str) -> float:
    """The share of the points that lie within a ball around one of the centres, edge included."""
    reach = _squared_reach(centres, k, name)
    inside = [(squares <= reach).any(dim=1) for _, squares in _lowered_squares(points, centres)]
    return float(torch.cat(inside).double().mean())


def _squared_reach(points: Tensor, k: int, name: str) -> Tensor:
    """Squared distance (N,) from each point to its k-th nearest other one."""
    if not 1 <= k < len(points):
        raise ValueError(f"neighbour number {k} needs more than {k} {name} samples, got {len(points)}")
    reach = []
    for rows, squares in _lowered_squares(points, points, leave_self_out=True):
        kth = squares.topk(k, dim=1, largest=False).indices[:, -1]
        reach.append(_squares(points[rows], points[kth]))
    return torch.cat(reach)


def _lowered_squares(a: Tensor, b: Tensor, leave_self_out: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """Rows of a, and squared distances (n, M) from them to all of b, never above the true ones.

    leave_self_out: a is b, and the distance of a row to itself is infinite."""
    sums = [part.sum(dim=0, dtype=torch.float64) for part in b.split(_ROWS)]
    centre = torch.stack(sums).sum(dim=0) / len(b)  # distances do not notice, and small numbers keep more digits
    # A product of D terms is off by D * eps / 2 of |x| |y| at most, the squared lengths by as much of themselves
    # (Higham 2002, section 3.1); 8 more for the centring and the sums.
    lowered = 1 - 2 * (a.shape[1] + 8) * torch.finfo(torch.float64).eps
    # In float64, whatever they were; of a large set only a part at a time, for all of it would double its memory.
    centred = [b - centre] if b.numel() <= _WHOLE else None
    lengths = torch.cat([(part - centre).square().sum(dim=1) for part in b.split(_ROWS)]) * lowered
    for start in range(0, len(a), step := max(1, (_CELLS if centred else 4 * _CELLS) // len(b))):
        rows = slice(start, min(start + step, len(a)))
        points = a[rows] - centre
        squares = (points.square().sum(dim=1, keepdim=True) * lowered) + lengths
        left = 0
        for part in centred or (part - centre for part in b.split(_ROWS)):
            squares[:, left : left + len(part)].addmm_(points, part.T, alpha=-2)
            left += len(part)
        if leave_self_out:
            squares[:, rows].fill_diagonal_(torch.inf)
        yield rows, squares


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (n,) between rows of the same index."""
    return (a.double() - b.double()).square().sum(dim=1)
