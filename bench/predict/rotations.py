"""Maps between rotations and vectors, for batches.

Rotations are matrices (..., 3, 3) and turn column vectors. Rotation vectors are radians. "Left" and
"right" say on which side of a rotation a small turn is multiplied: R' = exp(d) R or R' = R exp(d).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from satgen.geometry import Floats, matrix_to_quaternion, quaternion_to_matrix

_SMALL = 1e-4
"""Angle in radians below which the Jacobians are taken from their series."""


def hat(v: ArrayLike) -> Floats:
    """Matrices (..., 3, 3) of the cross product with v (..., 3): hat(v) @ x = v x x."""
    v = np.asarray(v, dtype=np.float64)
    out = np.zeros((*v.shape, 3))
    out[..., 2, 1], out[..., 0, 2], out[..., 1, 0] = v[..., 0], v[..., 1], v[..., 2]
    out[..., 1, 2], out[..., 2, 0], out[..., 0, 1] = -v[..., 0], -v[..., 1], -v[..., 2]
    return out


def exp(v: ArrayLike) -> Floats:
    """Rotations (..., 3, 3) of rotation vectors (..., 3)."""
    v = np.asarray(v, dtype=np.float64)
    half = np.linalg.norm(v, axis=-1, keepdims=True) / 2.0
    # sinc(x) is sin(pi x) / (pi x): sin(half) / half without a division by 0.
    vector = np.sinc(half / np.pi) * v / 2.0
    return quaternion_to_matrix(np.concatenate([np.cos(half), vector], axis=-1))


def log(R: ArrayLike) -> Floats:
    """Rotation vectors (..., 3), of length at most pi, of rotations (..., 3, 3)."""
    q = matrix_to_quaternion(R)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[..., :1])
    scale = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)
    return np.asarray(q[..., 1:] * scale)


def left_jacobian(v: ArrayLike) -> Floats:
    """J (..., 3, 3) with exp(v + d) = exp(J d) exp(v) to first order in d."""
    v = np.asarray(v, dtype=np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    safe = np.where(angle < _SMALL, 1.0, angle)
    first = np.where(angle < _SMALL, 0.5 - angle**2 / 24.0, (1.0 - np.cos(safe)) / safe**2)
    second = np.where(angle < _SMALL, 1.0 / 6.0, (safe - np.sin(safe)) / safe**3)
    cross = hat(v)
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def left_jacobian_inverse(v: ArrayLike) -> Floats:
    """Inverse (..., 3, 3) of `left_jacobian`, for angles below 2 pi."""
    v = np.asarray(v, dtype=np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    safe = np.where(angle < _SMALL, 1.0, angle)
    half = safe / 2.0
    second = np.where(angle < _SMALL, 1.0 / 12.0, (1.0 - half / np.tan(half)) / safe**2)
    cross = hat(v)
    return np.asarray(np.eye(3) - cross / 2.0 + second * (cross @ cross))


def matrix_to_6d(R: ArrayLike) -> Floats:
    """First two columns of rotations (..., 3, 3), one after the other: (..., 6).

    The continuous representation of Zhou et al., CVPR 2019.
    """
    R = np.asarray(R, dtype=np.float64)
    return np.concatenate([R[..., 0], R[..., 1]], axis=-1)


def random_rotations(rng: np.random.Generator, count: int) -> Floats:
    """Rotations (count, 3, 3), uniform over all of them."""
    return quaternion_to_matrix(rng.normal(size=(count, 4)))
