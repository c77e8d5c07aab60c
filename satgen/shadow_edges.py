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
    from scipy.ndimage import distance_transform_edt

    edges = shadow_edges(a)
    flow = TwoViews(a, b).flow
    there = distance_transform_edt(~shadow_edges(b))
    v, u = np.nonzero(edges & flow.visible)
    at = np.rint(np.stack([u, v], axis=-1) + flow.flow[v, u]).astype(int)
    height, width = there.shape
    x, y = np.clip(at[:, 0], 0, width - 1), np.clip(at[:, 1], 0, height - 1)
    moving = np.zeros(edges.shape, dtype=bool)
    moving[v, u] = there[y, x] > within
    return moving
