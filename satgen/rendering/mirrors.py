"""Which faces of a target mirror other parts of it, as a view sees them.

To trace a mirror image costs far more than to look up what was baked, even for a sample that then
sees nothing in it: the shader is told which faces have anything to show.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satgen.interreflection import BINS, SKY, BakedLight, frames, triangle

_REACH = 1  # bins beside the mirrored direction that are looked at, too


class Mirrors:
    """The smooth and flat faces of a target that has baked light.

    Args:
        light: of the target.
        faces: (M,) int64 which faces are mirrors.
        corners: (F, 3, 3) of all faces, about the model's centre, metres.

    Attributes:
        faces: (M,) those that have anything around them.
    """

    def __init__(
        self, light: BakedLight, faces: NDArray[np.int64], corners: NDArray[np.float64]
    ) -> None:
        starts = light.starts
        crowded = (light.hits != SKY).any(axis=(1, 2))
        kept, receivers, places = [], [], []
        for face in faces.tolist():
            n = int(light.levels[face])
            of_nodes = light.nodes[starts[face] : starts[face] + (n + 1) * (n + 2) // 2]
            if crowded[of_nodes].any():
                kept.append(face)
                receivers.append(of_nodes)
                places.append(triangle(n)[0] @ corners[face])
        self.faces = np.array(kept, dtype=np.int64)
        if not kept:
            return
        self._starts = np.cumsum([0, *(len(r) for r in receivers[:-1])])
        self._places = np.concatenate(places).astype(np.float32)
        used, self._slot = np.unique(np.concatenate(receivers), return_inverse=True)
        axes = frames(light.normals[used])[self._slot].astype(np.float32)
        self._tangent, self._bitangent, self._normal = axes.transpose(1, 0, 2).copy()
        around = np.zeros((len(used), BINS + 2 * _REACH, BINS + 2 * _REACH), dtype=bool)
        for i in range(2 * _REACH + 1):
            for j in range(2 * _REACH + 1):
                around[:, i : i + BINS, j : j + BINS] |= light.hits[used] != SKY
        self._around = around[:, _REACH:-_REACH, _REACH:-_REACH].copy()

    def show(self, eye: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of `faces` (M,) have anything near the mirrored direction for an eye (3,) at a
        place about the model's centre."""
        if not len(self.faces):
            return np.zeros(0, dtype=bool)
        out = eye.astype(np.float32) - self._places
        # Mirrored about the normal, x and y along the surface turn round.
        x = -np.einsum("ij,ij->i", out, self._tangent)
        y = -np.einsum("ij,ij->i", out, self._bitangent)
        z = np.einsum("ij,ij->i", out, self._normal)
        total = np.abs(x) + np.abs(y) + np.maximum(z, 0.0) + np.float32(1e-9)
        row = (((x + y) / total * 0.5 + 0.5) * BINS).astype(np.int64)
        column = (((x - y) / total * 0.5 + 0.5) * BINS).astype(np.int64)
        np.clip(row, 0, BINS - 1, out=row)
        np.clip(column, 0, BINS - 1, out=column)
        found: NDArray[np.bool_] = np.logical_or.reduceat(
            self._around[self._slot, row, column] & (z > 0.0), self._starts
        )
        return found
