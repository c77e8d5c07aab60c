"""Which faces of a target mirror other parts of it, as a view sees them.

To trace a mirror image costs far more than to look up what was baked, even for a sample that then
sees nothing in it: the shader is told which faces have anything to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.interreflection import BINS, SKY, BakedLight, frames, triangle

_REACH = 1  # bins beside the mirrored direction that are looked at, too


@dataclass(frozen=True)
class Mirrors:
    """The smooth and flat faces of a target that has baked light.

    Attributes:
        faces: (M,) int64 those that have anything around them.
        starts: (M,) the first of each face's nodes.
        places: (P, 3) float32 of the nodes, about the model's centre, metres.
        slot: (P,) their receivers' rows in `around`.
        tangent, bitangent, normal: (P, 3) float32 axes of these receivers.
        around: (R, BINS, BINS) bool, whether anything lies in a direction over a receiver, or
            beside it.
    """

    faces: NDArray[np.int64]
    starts: NDArray[np.int64]
    places: NDArray[np.float32]
    slot: NDArray[np.int64]
    tangent: NDArray[np.float32]
    bitangent: NDArray[np.float32]
    normal: NDArray[np.float32]
    around: NDArray[np.bool_]

    def show(self, eye: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of `faces` (M,) have anything near the mirrored direction for an eye (3,) at a
        place about the model's centre."""
        if not len(self.faces):
            return np.zeros(0, dtype=bool)
        out = eye.astype(np.float32) - self.places
        # Mirrored about the normal, x and y along the surface turn round.
        x = -np.einsum("ij,ij->i", out, self.tangent)
        y = -np.einsum("ij,ij->i", out, self.bitangent)
        z = np.einsum("ij,ij->i", out, self.normal)
        total = np.abs(x) + np.abs(y) + np.maximum(z, 0.0) + np.float32(1e-9)
        row = (((x + y) / total * 0.5 + 0.5) * BINS).astype(np.int64)
        column = (((x - y) / total * 0.5 + 0.5) * BINS).astype(np.int64)
        np.clip(row, 0, BINS - 1, out=row)
        np.clip(column, 0, BINS - 1, out=column)
        found: NDArray[np.bool_] = np.logical_or.reduceat(
            self.around[self.slot, row, column] & (z > 0.0), self.starts
        )
        return found


def find_mirrors(
    light: BakedLight, faces: NDArray[np.int64], corners: NDArray[np.float64]
) -> Mirrors:
    """The mirrors among a target's smooth and flat faces.

    Args:
        light: of the target.
        faces: (N,) int64 which faces are smooth and flat.
        corners: (F, 3, 3) of all faces, about the model's centre, metres.
    """
    starts = light.starts
    crowded = (light.hits != SKY).any(axis=(1, 2))
    kept = []
    receivers: list[NDArray[Any]] = [np.zeros(0, dtype=np.int64)]
    places = [np.zeros((0, 3))]
    for face in faces.tolist():
        n = int(light.levels[face])
        of_nodes = light.nodes[starts[face] : starts[face] + (n + 1) * (n + 2) // 2]
        if crowded[of_nodes].any():
            kept.append(face)
            receivers.append(of_nodes)
            places.append(triangle(n)[0] @ corners[face])
    used, slot = np.unique(np.concatenate(receivers), return_inverse=True)
    axes = frames(light.normals[used])[slot].astype(np.float32)
    tangent, bitangent, normal = axes.transpose(1, 0, 2).copy()
    around = np.zeros((len(used), BINS + 2 * _REACH, BINS + 2 * _REACH), dtype=bool)
    for i in range(2 * _REACH + 1):
        for j in range(2 * _REACH + 1):
            around[:, i : i + BINS, j : j + BINS] |= light.hits[used] != SKY
    return Mirrors(
        faces=np.array(kept, dtype=np.int64),
        starts=np.cumsum([0, *map(len, receivers[1:-1])])[: len(kept)],
        places=np.concatenate(places).astype(np.float32),
        slot=slot.reshape(-1),
        tangent=tangent,
        bitangent=bitangent,
        normal=normal,
        around=around[:, _REACH:-_REACH, _REACH:-_REACH].copy(),
    )
