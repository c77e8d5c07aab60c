"""Edges of shadows, and which of them move over the body from one frame to another.

A cast shadow's edge looks like a corner or a line of the surface, but moves over it as the sun or
the target turns: features on it are matched to the wrong points of the body.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satgen.dataset import SHADOW_LABELS
from satgen.frame import Frame, TwoViews

LIT, ATTACHED, CAST = (SHADOW_LABELS[name] for name in ("lit", "attached", "cast"))


def shadow_edges(frame: Frame) -> NDArray[np.bool_]:
    """(H, W) bool: pixels with a neighbour (of four) that is lit where they are in cast shadow, or
    the other way round, on the same part.

    Raises:
        InputError: the frame has no shadow labels.
    """
    shadow, parts = frame.shadow, frame.parts
    edge = np.zeros(shadow.shape, dtype=bool)
    for here, there in (
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        crossing = (shadow[here] != shadow[there]) & (parts[here] == parts[there])
        pair = np.stack([shadow[here], shadow[there]])
        crossing &= (pair.min(axis=0) == LIT) & (pair.max(axis=0) == CAST)
        edge[here] |= crossing
        edge[there] |= crossing
    return edge


def moving_edges(a: Frame, b: Frame, *, within: float = 1.5) -> NDArray[np.bool_]:
    """(H, W) bool: pixels of frame a on a shadow's edge, whose point of the body frame b shows, but
    with no shadow's edge near it.

    Args:
        a, b: frames of one target with shadow labels.
        within: pixels of frame b that count as near.

    Raises:
        InputError: other targets, or no shadow labels.
    """
    edges = shadow_edges(a)
    flow = TwoViews(a, b).flow
    v, u = np.nonzero(edges & flow.visible)
    at = np.stack([u, v], axis=-1) + flow.flow[v, u]
    moving = np.zeros(edges.shape, dtype=bool)
    moving[v, u] = ~near(distance_to(shadow_edges(b)), at, within)
    return moving


def distance_to(edges: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(H, W) distance of each pixel to the nearest of `edges`, pixels; infinite without any."""
    from scipy.ndimage import distance_transform_edt

    if not edges.any():
        return np.full(edges.shape, np.inf)
    return np.asarray(distance_transform_edt(~edges))


def near(
    distance: NDArray[np.float64], points: NDArray[np.float64], within: float
) -> NDArray[np.bool_]:
    """Which pixels (N, 2), rounded to whole ones of the image, are at most `within` pixels from
    the edges of which `distance_to` told."""
    height, width = distance.shape
    x, y = np.rint(points).astype(int).T
    return np.asarray(distance[y.clip(0, height - 1), x.clip(0, width - 1)] <= within)
