"""Which surface points the sun reaches: the truth beside the picture's soft, filtered shadows.

A surface that is turned away from the sun is in attached shadow. Of the others, those are in cast
shadow whose ray to the sun meets another triangle. What the ray may meet is found with a visibility
buffer as the sun sees it, fitted to the points: of the triangles seen within a texel of a point,
each is tested with the ray in double precision. So a shadow's edge is exact; what can be missed is
a triangle that is seen in none of the nine texels, a sliver thinner than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satgen.dataset import SHADOW_LABELS
from satgen.rendering.cutouts import are_clear
from satgen.rendering.packing import PackedModel

if TYPE_CHECKING:
    from satgen.rendering.device import Device

CLEAR = 1e-5
"""How far above a point, in radii of the target, a triangle must be to shade it."""

FEWEST_TEXELS = 1024
"""Texels of the buffer in each direction at least, and four for each pixel: it is drawn in tiles of
the device's size."""

_MARGIN = 2.0
"""Texels around the points."""


def shadow_labels(
    device: Device,
    packed: PackedModel,
    points: NDArray[np.float64],
    faces: NDArray[np.intp],
    rays: NDArray[np.float64],
    sun: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Labels (K,), by `satgen.dataset.SHADOW_LABELS`.

    Args:
        device: draws; its context is current.
        packed: the target.
        points: (K, 3) on its surface, target frame about its centre.
        faces: (K,) the triangles that they are on.
        rays: (K, 3) from the eye to them, of any length.
        sun: (3,) unit vector to the sun.
    """
    labels = np.full(len(points), SHADOW_LABELS["attached"], dtype=np.uint8)
    normals = packed.face_normals[faces]
    # The normal on the viewer's side, as the picture is shaded.
    toward = (normals @ sun) * np.where(np.sum(normals * rays, axis=1) > 0.0, -1.0, 1.0)
    turned = np.flatnonzero(toward > 0.0)
    if len(turned) == 0:
        return labels
    hidden = _behind(device, packed, points[turned], faces[turned], sun)
    labels[turned] = np.where(hidden, SHADOW_LABELS["cast"], SHADOW_LABELS["lit"])
    return labels


def _behind(
    device: Device,
    packed: PackedModel,
    points: NDArray[np.float64],
    faces: NDArray[np.intp],
    sun: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether a triangle lies between each point and the sun."""
    aside = np.cross(sun, np.eye(3)[np.argmin(np.abs(sun))])
    aside /= np.linalg.norm(aside)
    light = np.stack([aside, np.cross(sun, aside), sun])
    place = points @ light.T
    low, high = place[:, :2].min(axis=0), place[:, :2].max(axis=0)
    width, height = device.grid
    tiles = np.maximum(2, -(-FEWEST_TEXELS // np.array([width, height])))
    counts = tiles * np.array([width, height])
    texel = np.maximum((high - low) / (counts - 2.0 * _MARGIN), 1e-9 * packed.radius)
    first = (low + high) / 2.0 - texel * counts / 2.0
    vertices = packed.vertices.astype(np.float64) @ light.T
    near, far = vertices[:, 2].max(), vertices[:, 2].min()
    depth = (near - far) / 2.0 + 1e-3 * packed.radius
    half = texel * np.array([width, height]) / 2.0
    seen = np.empty((counts[1], counts[0]), dtype=np.uint32)
    every = np.arange(len(packed.faces))
    for i, j in np.ndindex(*tiles):
        middle = first + half * (2.0 * np.array([i, j]) + 1.0)
        clip = np.eye(4)
        clip[:2, :3] = light[:2] / half[:, None]
        clip[:2, 3] = -middle / half
        clip[2, :3] = -light[2] / depth
        clip[2, 3] = (near + far) / 2.0 / depth
        window = (0, 0, (width - 1) // 2, (height - 1) // 2)
        seen[j * height : (j + 1) * height, i * width : (i + 1) * width] = device.draw_visibility(
            every, clip, window
        )

    corners = vertices[packed.faces]
    column, row = np.clip(((place[:, :2] - first) / texel).astype(np.int64), 0, counts - 1).T
    hidden = np.zeros(len(points), dtype=bool)
    tested = faces.astype(np.int64)  # the last triangle that each was tested with
    for down, across in _NEIGHBOURS:
        y = np.clip(row + down, 0, counts[1] - 1)
        x = np.clip(column + across, 0, counts[0] - 1)
        there = seen[y, x].astype(np.int64) - 1
        open_ = np.flatnonzero(~hidden & (there >= 0) & (there != faces) & (there != tested))
        a, b, c = np.moveaxis(corners[there[open_]], 1, 0)
        over, u, v = _above(place[open_], a, b, c, CLEAR * packed.radius)
        hit = open_[over]
        hidden[hit] = ~are_clear(packed, there[hit], u[over], v[over])
        tested[open_] = there[open_]
    return hidden


_NEIGHBOURS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))


def _above(
    p: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    c: NDArray[np.float64],
    clear: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Whether triangles cover points (N, 3) seen along -z, more than `clear` above them, and with
    what shares (N,) of the second and the third corner."""
    ab, ac, ap = b - a, c - a, p - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
        v = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
        height = a[:, 2] + u * ab[:, 2] + v * ac[:, 2]
        return (u >= 0) & (v >= 0) & (u + v <= 1.0) & (height > p[:, 2] + clear), u, v
