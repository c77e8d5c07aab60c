"""Where triangles are cut out by their opacity, as the shader `mapped.glsl` has it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satgen.rendering.packing import FACE_TEXELS, MATERIAL_TEXELS, WRAPS, PackedModel


def are_clear(
    packed: PackedModel, faces: NDArray[np.intp], u: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether points of triangles (N,) are clear: neither seen nor in the light's way.

    Args:
        packed: the target.
        faces: (N,) the triangles.
        u, v: (N,) shares of the second and the third corner in the points.
    """
    clear = np.zeros(len(faces), dtype=bool)
    at = np.flatnonzero(packed.cut[faces])
    if len(at) == 0:
        return clear
    texels = packed.face_texels.reshape(-1, packed.face_stride, 4)[faces[at]].astype(np.float64)
    material = texels[:, 1, 3].astype(np.int64)
    of_material = packed.material_texels.reshape(-1, MATERIAL_TEXELS, 4)[material]
    bary = np.stack([u[at], v[at]], axis=1)
    st = texels[:, 3, :2] + bary[:, :1] * texels[:, 3, 2:] + bary[:, 1:] * texels[:, 4, :2]
    wraps = of_material[:, 3, 2].astype(np.int64)
    layer = of_material[:, 1, 2].astype(np.int64)
    opacity = of_material[:, 3, 0] * _looked_up(packed.glow_alpha, layer, st, wraps)
    if packed.colours:
        first = packed.colours
        assert first >= FACE_TEXELS
        a, b, c = (texels[:, first + k, 3] for k in range(3))
        opacity *= a + bary[:, 0] * (b - a) + bary[:, 1] * (c - a)
    clear[at] = opacity < of_material[:, 3, 1]
    return clear


def _looked_up(
    layers: NDArray[np.uint8],
    layer: NDArray[np.int64],
    st: NDArray[np.float64],
    wraps: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Opacity (N,) between the texels of layers (L, S, S, 4) at coordinates (N, 2)."""
    side = layers.shape[1]
    how = np.stack([wraps % 3, wraps // 3], axis=1)
    mirrored = 1.0 - np.abs(np.mod(st, 2.0) - 1.0)
    inside = np.where(how == WRAPS.index("mirror"), mirrored, st)
    inset = 0.5 / side
    held = np.where(how == WRAPS.index("repeat"), inside, np.clip(inside, inset, 1.0 - inset))
    place = held * side - 0.5
    low = np.floor(place).astype(np.int64)
    across, down = (place - low).T
    (x0, y0), (x1, y1) = (low % side).T, ((low + 1) % side).T

    def texel(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(layers[layer, y, x, 3] / 255.0)

    top = texel(x0, y0) * (1.0 - across) + texel(x1, y0) * across
    bottom = texel(x0, y1) * (1.0 - across) + texel(x1, y1) * across
    return np.asarray(top * (1.0 - down) + bottom * down)
