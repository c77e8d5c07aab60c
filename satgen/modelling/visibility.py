"""Which triangles of a target can be seen from outside it.

Parts are closed solids that are pushed into one another, so that a good part of their surface lies
inside others. It costs time in every frame and shows in none: it is left out of the built models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 2000
"""Rays a triangle gets before it counts as hidden: one that is seen through a thousandth of the
directions is kept with a probability of 86 %, through a hundredth with all but certainty."""
_LIFT_M = 1e-5


def seen_from_outside(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], seed: int = 0, rounds: int = ROUNDS
) -> NDArray[np.bool_]:
    """Faces from which a ray reaches the outside.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3), counter-clockwise seen from outside.
        seed, rounds: of the rays, one a round from a random point of each face that is undecided,
            in a random direction of the half-space in front of it.

    Returns:
        (F,) bool.

    Raises:
        ImportError: embreex, of the extra `verify`, is not installed.
    """
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    scene = rtcore_scene.EmbreeScene(robust=True)
    corners = vertices[faces]
    mesh = TriangleMesh(scene, corners.astype(np.float32))
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    rng = np.random.Generator(np.random.PCG64(seed))
    hidden = np.arange(len(faces))
    for _ in range(rounds):
        if not len(hidden):
            break
        # Uniform over the triangle: two numbers, folded at the diagonal.
        at = rng.random((len(hidden), 2))
        at = np.where(at.sum(axis=1, keepdims=True) > 1.0, 1.0 - at, at)
        origin = corners[hidden, 0] + _LIFT_M * normals[hidden]
        origin += at[:, :1] * (corners[hidden, 1] - corners[hidden, 0])
        origin += at[:, 1:] * (corners[hidden, 2] - corners[hidden, 0])
        direction = rng.standard_normal((len(hidden), 3))
        behind = np.einsum("ij,ij->i", direction, normals[hidden]) < 0.0
        direction[behind] *= -1.0
        met = scene.run(origin.astype(np.float32), direction.astype(np.float32))
        hidden = hidden[met >= 0]
    del mesh  # Embree holds it by reference until here
    seen = np.ones(len(faces), dtype=bool)
    seen[hidden] = False
    return seen
