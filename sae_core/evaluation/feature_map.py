"""A dictionary's features in two dimensions: those whose decoder directions are alike lie together.

UMAP (McInnes, Healy and Melville 2018) with the cosine of decoder rows:

1. Each row is scaled to length 1; rows that are 0 or not finite have no direction and no place.
2. The nearest neighbours of each row are computed exactly, block by block.
3. UMAP weighs these pairs, and moves the points so that heavy pairs come close. It starts from the
   two principal components of the directions instead of from eigenvectors of the graph: that never
   fails where the graph falls into parts, and costs little.
4. Places are rounded to a grid that is finer than any screen.

Dead features have directions, too, and lie among the others: the map follows from the weights
alone, whatever text was harvested.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import MapError

EXTRA = "featurescope[map]"
NEIGHBOURS = 15  # each point itself among them, as UMAP counts
MIN_DIST = 0.1
GRID = 65_534  # the last step of either axis
NOWHERE = 65_535
BLOCK = 2_048
_MARGIN = 0.02  # of the map, on each side
_FEWEST = 16  # directions; fewer have no neighbourhoods to lay out
_ROUNDS = 8  # of the search for principal components
_FEW_THOUSAND = 10_000  # directions up to which UMAP's authors move points 500 times, else 200


@dataclass(frozen=True)
class FeatureLayout:
    """Where features lie.

    Attributes:
        places: x and y of each feature, uint16 [d_sae, 2], from 0 to `GRID`; `NOWHERE` where it has
            no direction.
        heads: the attention head that most of each direction lies in, uint16 [d_sae], and 0 where
            it has none; empty where directions are not made of heads.
        method: `umap`, or `principal components` where there are too few directions for it.
        neighbours: of each direction, itself among them.
        epochs: how often the points were moved.
        seed: of all that was drawn.
        version: of umap-learn; empty: it was not needed.
    """

    places: NDArray[np.uint16]
    heads: NDArray[np.uint16]
    method: str
    neighbours: int
    epochs: int
    seed: int
    version: str


def check_umap() -> None:
    """Find out whether umap-learn is installed, before anything is computed.

    Raises:
        MapError: it is not; the sentence says how to install it.
    """
    try:
        version("umap-learn")
    except ModuleNotFoundError:
        raise MapError(
            f"A map needs umap-learn, which is not installed: pip install '{EXTRA}'."
        ) from None


@torch.inference_mode()
def lay_out(
    dictionary: Dictionary, seed: int = 0, n_heads: int = 0, block: int = BLOCK, quiet: bool = False
) -> FeatureLayout:
    """Place the features of a dictionary in the plane.

    Memory: the decoder once more in float32, and `block` squared numbers. Time: d_sae^2 * d_in for
    the neighbours, on the dictionary's device; then d_sae * epochs for the layout, on one CPU core.

    Args:
        dictionary: the one whose decoder rows are laid out.
        seed: the same seed gives the same places on the same machine.
        n_heads: of how many attention heads a row is made, side by side; 0: of none.
        block: how many rows are compared at a time.
        quiet: show no progress.

    Raises:
        MapError: umap-learn is needed and not installed, or no feature has a direction.
    """
    rows, directed = _directions(dictionary, block)
    n = len(directed)
    if n == 0:
        raise MapError("No feature here has a direction: there is nothing to lay out.")
    start = _principal_components(rows, seed)
    neighbours = min(NEIGHBOURS, n)
    if n < _FEWEST:
        method, epochs, points, made_by = "principal components", 0, start, ""
    else:
        check_umap()
        made_by, method = version("umap-learn"), "umap"
        epochs = 500 if n <= _FEW_THOUSAND else 200
        others, cosines = nearest_directions(rows, neighbours - 1, block, quiet)
        points = _umap(start, others, cosines, epochs, seed, quiet)
    places = np.full((dictionary.d_sae, 2), NOWHERE, dtype=np.uint16)
    places[directed] = _on_grid(points)
    heads = np.zeros(dictionary.d_sae if n_heads > 1 else 0, dtype=np.uint16)
    if n_heads > 1:
        shares = rows.reshape(n, n_heads, -1).square().sum(dim=-1)
        heads[directed] = shares.argmax(dim=1).cpu().numpy()
    return FeatureLayout(places, heads, method, neighbours, epochs, seed, made_by)


def _directions(dictionary: Dictionary, block: int) -> tuple[Tensor, NDArray[np.int64]]:
    """Rows at length 1, float32 [n, d_in], and which features they are of, int64 [n]."""
    features = torch.arange(dictionary.d_sae, device=dictionary.b_dec.device)
    kept, units = [], []
    for part in torch.split(features, block):
        rows = dictionary.rows_of(part).float()
        largest = rows.abs().amax(dim=-1, keepdim=True)
        there = (torch.isfinite(largest) & (largest > 0))[:, 0]
        # first by the largest entry: squares of tiny or huge numbers would vanish or overflow
        units.append(functional.normalize(rows[there] / largest[there], dim=-1))
        kept.append(part[there])
    return torch.cat(units), torch.cat(kept).cpu().numpy()


def _principal_components(rows: Tensor, seed: int) -> NDArray[np.float32]:
    """The two directions in which rows [n, d] differ most, by subspace iteration: [n, 2]."""
    generator = torch.Generator().manual_seed(seed)
    n, d = rows.shape
    mean = rows.mean(dim=0)
    basis = torch.randn(d, min(6, d), generator=generator).to(rows.device)
    for _ in range(_ROUNDS):
        scores = rows @ basis - mean @ basis
        basis = torch.linalg.qr(rows.T @ scores - torch.outer(mean, scores.sum(dim=0))).Q
    scores = (rows @ basis - mean @ basis).double()
    main = torch.linalg.eigh(scores.T @ scores).eigenvectors[:, -2:].flip(1)
    points = torch.zeros(n, 2, dtype=torch.float64)
    points[:, : main.shape[1]] = (scores @ main).cpu()
    # Noise keeps equal directions apart, and a plane that is only a line from being none.
    scale = max(float(points.abs().max()), 1e-6)
    points += 1e-4 * scale * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return points.numpy().astype(np.float32)


def nearest_directions(
    rows: Tensor, count: int, block: int = BLOCK, quiet: bool = True
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The rows of largest cosine with each row, itself left out.

    Args:
        rows: of length 1, [n, d].
        count: how many, less than n.
        block: how many are compared at a time.
        quiet: show no progress.

    Returns:
        Their indices, int32 [n, count], and cosines, float32 [n, count], the largest first.
    """
    n = len(rows)
    indices = np.empty((n, count), dtype=np.int32)
    cosines = np.empty((n, count), dtype=np.float32)
    with tqdm(total=n, desc="neighbours", unit="feature", unit_scale=True, disable=quiet) as bar:
        for i in range(0, n, block):
            left = rows[i : i + block]
            best: list[Tensor] = []
            where: list[Tensor] = []
            for j in range(0, n, block):
                cosine = left @ rows[j : j + block].T
                if i == j:
                    cosine.fill_diagonal_(-2.0)
                values, places = cosine.topk(min(count, cosine.shape[1]), dim=1)
                best.append(values)
                where.append(places + j)
                if len(best) == 8 or j + block >= n:  # keep no more than are still in question
                    value, place = torch.cat(best, dim=1), torch.cat(where, dim=1)
                    value, order = value.topk(min(count, value.shape[1]), dim=1)
                    best, where = [value], [place.gather(1, order)]
            indices[i : i + block] = where[0].cpu().numpy()
            cosines[i : i + block] = best[0].cpu().numpy()
            bar.update(len(left))
    return indices, cosines


def _umap(
    start: NDArray[np.float32],
    others: NDArray[np.int32],
    cosines: NDArray[np.float32],
    epochs: int,
    seed: int,
    quiet: bool,
) -> NDArray[np.float32]:
    """Move points [n, 2] so that neighbours come together."""
    with warnings.catch_warnings():
        # It warns of what is meant: one thread, and a library that only another class of its needs.
        warnings.simplefilter("ignore")
        umap = import_module("umap.umap_")  # of the extra
        umap.numba.set_num_threads(1)  # sums in another order would move every point
        n = len(start)
        random = np.random.RandomState(seed)
        itself = np.arange(n, dtype=np.int32)[:, None]
        distances = np.concatenate([np.zeros((n, 1), np.float32), np.maximum(1 - cosines, 0)], 1)
        graph, _, _ = umap.fuzzy_simplicial_set(
            start,
            others.shape[1] + 1,
            random,
            "cosine",
            knn_indices=np.concatenate([itself, others], axis=1),
            knn_dists=distances,
        )
        a, b = umap.find_ab_params(1.0, MIN_DIST)
        points, _ = umap.simplicial_set_embedding(
            start,
            graph,
            n_components=2,
            initial_alpha=1.0,
            a=a,
            b=b,
            gamma=1.0,
            negative_sample_rate=5,
            n_epochs=epochs,
            init=start,
            random_state=random,
            metric="cosine",
            metric_kwds={},
            densmap=False,
            densmap_kwds={},
            output_dens=False,
            tqdm_kwds={"desc": "laying out", "unit": "epoch", "disable": quiet},
        )
    return np.asarray(points, dtype=np.float32)


def _on_grid(points: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Points [n, 2] as steps of the grid, in the middle, both axes at one scale."""
    low, high = points.min(axis=0), points.max(axis=0)
    span = max(float((high - low).max()), 1e-12)
    unit = (points - (low + high) / 2) / span  # from -1/2 to 1/2
    steps: NDArray[np.uint16] = np.rint(GRID * (0.5 + (1 - 2 * _MARGIN) * unit)).astype(np.uint16)
    return steps
