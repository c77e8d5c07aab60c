"""Rods thinner than a pixel: drawn a pixel wide and as much less opaque, so that none is dotted.

Samples lie half a pixel apart, and whatever is thinner falls between them in places. So the picture
(not the depth, nor the parts, which are those at the pixels' centres) shows such a rod widened to
one pixel, as measured along the image axis that it is steeper to: each column of samples that it
crosses then hits it exactly once, whatever its place and slope. It covers what is behind by its
true width (after Persson, "Phone-wire AA", 2012).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from satgen.grouping import connected

SLENDER = 4.0
"""How many times as long as it is wide a body must be to be a rod."""
_SHORTEST = 3.0
"""Pixels of length below which a rod is seen end on, and is drawn as it is."""
_THINNEST = 1e-4
"""Pixels of width below which nothing of a rod is seen."""


@dataclass(frozen=True)
class ThinRods:
    """The rods that a view widens.

    Attributes:
        opacity: (F,) float32 of each face of the model, by its rod; 1 of all else.
        faces: (N,) of the model, of these rods.
        corners: (N, 3, 3) of these faces as they are widened, camera frame, metres.
    """

    opacity: NDArray[np.float32]
    faces: NDArray[np.intp]
    corners: NDArray[np.float64]


@dataclass(frozen=True)
class Rods:
    """Straight thin bodies of a model, (R,) of them; each a surface that hangs together.

    Attributes:
        middle: (R, 3) of their axes, target frame about the model's centre.
        reach: (R, 3) from there to the end.
        width: (R,) the widest across the axis, metres.
        vertices: (P, 3) rod by rod.
        first: (R + 1,) of these, each rod's first.
        faces: (N,) of the model, rod by rod; corners: (N, 3) into `vertices`.
        of_face: (N,) the rod.
    """

    middle: NDArray[np.float64]
    reach: NDArray[np.float64]
    width: NDArray[np.float64]
    vertices: NDArray[np.float64]
    first: NDArray[np.intp]
    faces: NDArray[np.intp]
    corners: NDArray[np.intp]
    of_face: NDArray[np.intp]

    def thin(
        self,
        rotation: NDArray[np.float64],
        translation: NDArray[np.float64],
        focal: tuple[float, float],
        near: float,
        faces: int,
    ) -> ThinRods | None:
        """Those that are less than a pixel wide in a view; None for none.

        Args:
            rotation, translation: (3, 3), (3,) to the camera frame.
            focal: fx, fy in pixels.
            near: nothing nearer is seen, metres.
            faces: of the model.
        """
        if len(self.width) == 0:
            return None
        middle = self.middle @ rotation.T + translation
        reach = self.reach @ rotation.T
        nearest = middle[:, 2] - np.abs(reach[:, 2])
        chosen = (nearest > near) & (self.width * max(focal) < 2.0 * np.maximum(nearest, near))
        if not chosen.any():
            return None
        f = np.array(focal)
        with np.errstate(divide="ignore", invalid="ignore"):
            end = f * (middle + reach)[:, :2] / (middle + reach)[:, 2:]
            start = f * (middle - reach)[:, :2] / (middle - reach)[:, 2:]
        along = end - start
        steep = np.abs(along[:, 1]) > np.abs(along[:, 0])
        along[steep], start[steep] = along[steep, ::-1], start[steep, ::-1]
        chosen &= np.abs(along[:, 0]) >= _SHORTEST
        numbers = np.flatnonzero(chosen)
        if len(numbers) == 0:
            return None

        counts = np.diff(self.first)[numbers]
        begin = np.cumsum(counts) - counts
        at = np.repeat(self.first[numbers] - begin, counts) + np.arange(counts.sum())
        rod = np.repeat(numbers, counts)
        points = self.vertices[at] @ rotation.T + translation
        seen = f * points[:, :2] / points[:, 2:]
        upright = steep[rod]
        seen[upright] = seen[upright, ::-1]
        # How far each vertex is off the axis, along the image axis across.
        offset = seen - start[rod]
        offset = offset[:, 1] - offset[:, 0] * (along[:, 1] / along[:, 0])[rod]
        high, low = np.maximum.reduceat(offset, begin), np.minimum.reduceat(offset, begin)
        width = high - low
        thin = (width < 1.0) & (width > _THINNEST)
        if not thin.any():
            return None
        shares = np.ones(len(self.width))
        shares[numbers[thin]] = width[thin]
        places = np.zeros(len(self.vertices), dtype=np.intp)
        places[at] = np.arange(len(at))
        middles = np.repeat((high + low) / 2.0, counts)
        moved = (offset - middles) * (1.0 / shares[rod] - 1.0)
        axis = np.where(upright, 0, 1)
        points[np.arange(len(points)), axis] += moved * points[:, 2] / f[axis]
        mine = shares[self.of_face] < 1.0
        opacity = np.ones(faces, dtype=np.float32)
        opacity[self.faces[mine]] = shares[self.of_face[mine]]
        return ThinRods(opacity, self.faces[mine], points[places[self.corners[mine]]])


def find_rods(
    vertices: NDArray[np.float32], faces: NDArray[np.uint32], whole: NDArray[np.bool_]
) -> Rods:
    """The rods among the bodies of a model.

    Args:
        vertices: (V, 3) each place once.
        faces: (F, 3) of these.
        whole: (F,) bool, faces that are not cut out by their opacity.
    """
    ends = faces.astype(np.int64)
    body = connected(ends[:, [0, 1]].ravel(), ends[:, [1, 2]].ravel(), len(vertices))
    order = np.argsort(body, kind="stable")
    count = np.bincount(body)
    first = np.append(0, np.cumsum(count))
    points = vertices[order].astype(np.float64)
    begin = first[:-1]
    means = np.add.reduceat(points, begin) / count[:, None]
    numbers = np.repeat(np.arange(len(count)), count)
    points -= means[numbers]
    spread = np.empty((len(count), 3, 3))
    for i in range(3):
        for j in range(i, 3):
            spread[:, i, j] = np.add.reduceat(points[:, i] * points[:, j], begin) / count
            spread[:, j, i] = spread[:, i, j]
    axes = np.linalg.eigh(spread)[1]
    own = np.einsum("ni,nij->nj", points, axes[numbers])
    high, low = np.maximum.reduceat(own, begin), np.minimum.reduceat(own, begin)
    size = high - low
    width = np.hypot(size[:, 0], size[:, 1])
    rods = (SLENDER * width < size[:, 2]) & (width > 0.0)
    rods[np.unique(body[ends[~whole]])] = False

    chosen = np.flatnonzero(rods)
    rank = np.full(len(count), -1)
    rank[chosen] = np.arange(len(chosen))
    held = rods[numbers]
    place = np.full(len(vertices), -1)
    place[order[held]] = np.arange(int(held.sum()))
    of_face = rank[body[ends[:, 0]]]
    mine = np.flatnonzero(of_face >= 0)
    mine = mine[np.argsort(of_face[mine], kind="stable")]
    middle = np.einsum("nij,nj->ni", axes, (high + low) / 2.0) + means
    return Rods(
        middle=middle[chosen],
        reach=(axes[:, :, 2] * size[:, 2:] / 2.0)[chosen],
        width=width[chosen],
        vertices=vertices[order[held]].astype(np.float64),
        first=np.append(0, np.cumsum(count[chosen])),
        faces=mine,
        corners=place[ends[mine]],
        of_face=of_face[mine],
    )
