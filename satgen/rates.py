"""Angular velocities from attitudes alone, by differences, and how far these can be trusted.

A witness for the angular velocities that a dataset states: those come in closed form from the
trajectory, these from the quaternions in its table and nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from satgen.geometry import Floats, quaternion_conjugate, quaternion_multiply

REACH = 4
"""Rows on either side that a difference takes."""

_SIXTH = (3.0 / 4.0, -3.0 / 20.0, 1.0 / 60.0, 0.0)
_EIGHTH = (4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0)
"""Coefficients of central first differences of sixth and eighth order, by distance."""

_MOST_RAD = 2.8
"""Beyond this angle over the reach a rotation may have gone the other way around."""


def rotation_vectors(q: ArrayLike) -> Floats:
    """Rotation vectors (..., 3), radians, at most π long, of unit quaternions (..., 4)."""
    q = np.asarray(q, dtype=np.float64)
    q = np.where(q[..., :1] < 0.0, -q, q)
    length = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(length, q[..., :1])
    scale = np.where(length > 0.0, angle / np.where(length > 0.0, length, 1.0), 2.0)
    return np.asarray(q[..., 1:] * scale)


def differenced_velocity(index: NDArray[np.int64], quaternion: Floats) -> tuple[Floats, Floats]:
    """How fast attitudes turn, by central differences of eighth order.

    Args:
        index: (N,) observation indices, ascending.
        quaternion: (N, 4), (w, x, y, z), of rotations R of body axes to any others.

    Returns:
        The angular velocity (N, 3) in body axes, radians an index, dR/dk = R [w]x; and its distance
        (N,) from the difference of sixth order, the largest of the rows around, which is a generous
        bound of its error: of one row alone it can vanish where the error does not. NaN and
        infinite for rows without four neighbours at equal steps on either side, or where the
        attitude turns too far within these.
    """
    n = len(index)
    velocity, error = np.full((n, 3), np.nan), np.full(n, np.inf)
    if n < 2 * REACH + 1:
        return velocity, error
    rows = np.arange(REACH, n - REACH)
    offsets = np.arange(-REACH, REACH + 1)
    step = index[rows + 1] - index[rows]
    even = (index[rows[:, None] + offsets] - index[rows][:, None] == step[:, None] * offsets).all(1)
    rows, step = rows[even & (step > 0)], step[even & (step > 0)]
    here = quaternion_conjugate(quaternion[rows])

    def turned(offset: int) -> Floats:
        return rotation_vectors(quaternion_multiply(here, quaternion[rows + offset]))

    sixth, eighth = np.zeros((len(rows), 3)), np.zeros((len(rows), 3))
    for distance in range(1, REACH + 1):
        apart = turned(distance) - turned(-distance)
        sixth += _SIXTH[distance - 1] * apart
        eighth += _EIGHTH[distance - 1] * apart
    near = np.linalg.norm(turned(1), axis=1) * REACH < _MOST_RAD
    rows, step = rows[near], step[near, None]
    velocity[rows] = eighth[near] / step
    apart = np.zeros(n + 2 * REACH)
    apart[rows + REACH] = np.linalg.norm((eighth - sixth)[near] / step, axis=1)
    error[rows] = sliding_window_view(apart, 2 * REACH + 1)[rows].max(axis=1)
    return velocity, error
