"""Torque-free rotation of many bodies at once, and how it depends on where it starts.

Euler's equations about the principal axes are

    dw_i/dt = k_i w_j w_l,   k_i = (I_j - I_l) / I_i,   (i, j, l) = (0, 1, 2) and its turns,

so only the ratios of the moments matter, through the three `coupling` coefficients k, each in
[-1, 1]. The equations are quadratic: the Taylor series of the angular velocity, of the attitude and
of their derivatives follow from products of series, and a step of the series to order 16 over a
fifth of a radian is exact to rounding. `satgen.trajectory.tumble` has the closed form for one body;
this is for thousands, with derivatives, at any times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.predict.rotations import hat
from satgen.errors import InputError
from satgen.geometry import Floats, normalise, quaternion_multiply, quaternion_to_matrix

ORDER = 16
"""Order of the series at which energy and momentum hold to rounding."""

STEP_RAD = 0.2
"""Largest turn in a step. The series converges within 1 radian (|k| <= 1), mostly within pi/2."""

_NEXT, _LAST = [1, 2, 0], [2, 0, 1]


@dataclass(frozen=True)
class Bodies:
    """Inertia of B bodies.

    Attributes:
        moments: (B, 3) principal moments in any unit, in the order of `axes`.
        axes: (B, 3, 3) right-handed; the rows are the principal axes in target coordinates.
        centre: (B, 3) centre of mass in target coordinates, metres; None where it is not known.
    """

    moments: Floats
    axes: Floats
    centre: Floats | None = None

    def __len__(self) -> int:
        """Number of bodies."""
        return len(self.moments)

    def take(self, rows: ArrayLike) -> Bodies:
        """The given rows."""
        rows = np.asarray(rows)
        centre = None if self.centre is None else self.centre[rows]
        return Bodies(self.moments[rows], self.axes[rows], centre)


def make_bodies(
    moments: ArrayLike,
    axes: ArrayLike | None = None,
    centre: ArrayLike | None = None,
) -> Bodies:
    """Bodies from moments (B, 3) or (3,), axes (B, 3, 3) or (3, 3) and centres (B, 3) or (3,).

    The axes are the target's if None; the centre of mass is not known if None.

    Raises:
        InputError: moments of no body, axes that are not right-handed unit vectors, or a centre
            that is no point.
    """
    values = np.atleast_2d(np.asarray(moments, dtype=np.float64))
    frame = np.asarray(np.eye(3) if axes is None else axes, dtype=np.float64)
    if values.ndim != 2 or values.shape[-1] != 3 or not np.isfinite(values).all():
        raise InputError(f"moments {moments!r}: must be three finite numbers a body")
    if values.min() <= 0.0:
        raise InputError(f"moments {values.min():g}: must be more than 0")
    worst = np.argmax(2.0 * values.max(axis=1) / values.sum(axis=1))
    if 2.0 * values[worst].max() > values[worst].sum() * (1.0 + 1e-9):
        raise InputError(
            f"moments {values[worst].tolist()}: no moment may exceed the other two's sum"
        )
    if frame.shape[-2:] != (3, 3) or not np.isfinite(frame).all():
        raise InputError("axes: must be three vectors a body")
    off = np.abs(frame @ np.swapaxes(frame, -1, -2) - np.eye(3)).max()
    if off > 1e-6 or np.linalg.det(frame).min() < 0.0:
        raise InputError("axes: must be right-handed perpendicular unit vectors")
    point = None if centre is None else np.asarray(centre, dtype=np.float64)
    if point is not None and not (point.shape[-1:] == (3,) and np.isfinite(point).all()):
        raise InputError(f"centre of mass {centre!r}: must be three finite numbers a body")
    count = max(len(values), len(frame) if frame.ndim == 3 else 1)
    return Bodies(
        np.broadcast_to(values, (count, 3)).copy(),
        np.broadcast_to(frame, (count, 3, 3)).copy(),
        None if point is None else np.broadcast_to(point, (count, 3)).copy(),
    )


def coupling(moments: ArrayLike) -> Floats:
    """Coefficients k (..., 3) of Euler's equations from moments (..., 3)."""
    m = np.asarray(moments, dtype=np.float64)
    return np.asarray((m[..., _NEXT] - m[..., _LAST]) / m)


@dataclass(frozen=True)
class FreeMotion:
    """B bodies at N times. Angular velocities and derivatives are about the principal axes.

    Attributes:
        omega: (B, N, 3) rad/s.
        turn: (B, N, 3, 3) takes principal axes at that time to principal axes at time 0.
        omega_by: (B, N, 3, 3+P) derivative of omega by the angular velocity at time 0 and by P
            parameters of the coupling; empty unless asked for.
        turn_by: (B, N, 3, 3+P) the same of the attitude, as a rotation vector on the right of
            `turn`: radians a unit.
    """

    omega: Floats
    turn: Floats
    omega_by: Floats
    turn_by: Floats


def propagate(
    k: ArrayLike,
    omega: ArrayLike,
    times: ArrayLike,
    *,
    k_by: ArrayLike | None = None,
    derivatives: bool = False,
    order: int = ORDER,
) -> FreeMotion:
    """Torque-free motion of B bodies from time 0 to N times each.

    Args:
        k: (B, 3) `coupling`.
        omega: (B, 3) angular velocity at time 0 about the principal axes, rad/s.
        times: (B, N) seconds from time 0, each row taken in turn: in order of time, or in the
            reverse order for the past.
        k_by: (B, 3, P) derivatives of k by parameters.
        derivatives: fill `omega_by` and `turn_by`.
        order: of the series; the error of a step is about 0.13 ** (order + 1).
    """
    k = np.asarray(k, dtype=np.float64)
    w = np.asarray(omega, dtype=np.float64)
    times = np.asarray(times, dtype=np.float64)
    bodies, count = times.shape
    slopes = np.zeros((bodies, 3, 0 if k_by is None else np.shape(k_by)[-1]))
    if k_by is not None:
        slopes[:] = k_by
    columns = 3 + slopes.shape[-1] if derivatives else 0
    by = np.concatenate([np.zeros((bodies, 3, 3)), slopes], axis=-1)[..., :columns]
    w_by = np.broadcast_to(np.eye(3, max(columns, 3))[:, :columns], (bodies, 3, columns)).copy()
    turn_by = np.zeros((bodies, 3, columns))
    q = np.broadcast_to([1.0, 0.0, 0.0, 0.0], (bodies, 4)).copy()
    omegas = np.zeros((bodies, count, 3))
    turns = np.zeros((bodies, count, 4))
    omegas_by, turns_by = np.zeros((2, bodies, count, 3, columns))
    now = np.zeros(bodies)
    for n in range(count):
        left = times[:, n] - now
        while True:
            turn = float(np.max(np.linalg.norm(w, axis=-1) * np.abs(left), initial=0.0))
            steps = max(1, math.ceil(turn / STEP_RAD)) if math.isfinite(turn) else 1
            w, dq, w_by, turn_by = _step(k, by, w, w_by, turn_by, left / steps, order)
            q = normalise(quaternion_multiply(q, dq))
            left = left * ((steps - 1) / steps)
            if steps == 1:
                break
        now = times[:, n]
        omegas[:, n], turns[:, n], omegas_by[:, n], turns_by[:, n] = w, q, w_by, turn_by
    return FreeMotion(omegas, quaternion_to_matrix(turns), omegas_by, turns_by)


def _step(
    k: Floats, by: Floats, w: Floats, w_by: Floats, turn_by: Floats, h: Floats, order: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """One step of h (B,) seconds by series in t / h: omega, its turn as quaternion, derivatives."""
    bodies, columns = len(w), w_by.shape[-1]
    # Coefficients of h * omega and of its derivatives, so that no power of h is needed.
    a = np.zeros((order + 1, bodies, 3))
    following, preceding = np.zeros((2, order + 1, bodies, 3))
    cross = np.zeros((order + 1, bodies, 3, 3))
    b = np.zeros((order + 1, bodies, 3, columns))
    c = np.zeros((order + 1, bodies, 3, columns))
    q = np.zeros((order + 1, bodies, 4))
    a[0], b[0], c[0], q[0, :, 0] = w * h[:, None], w_by * h[:, None, None], turn_by, 1.0
    for n in range(order):
        following[n], preceding[n], cross[n] = a[n][:, _NEXT], a[n][:, _LAST], hat(a[n])
        back = slice(n, None, -1)
        product = np.einsum("mbi,mbi->bi", following[: n + 1], preceding[back])
        a[n + 1] = k * product / (n + 1)
        # Half of q times the pure quaternion of the angular velocity.
        half, vector = 0.5 / (n + 1), q[: n + 1, :, 1:]
        q[n + 1, :, 0] = -half * np.einsum("mbi,mbi->b", vector, a[back])
        q[n + 1, :, 1:] = half * (
            np.einsum("mb,mbi->bi", q[: n + 1, :, 0], a[back])
            - np.einsum("mbij,mbj->bi", cross[back], vector)
        )
        if columns:
            mixed = np.einsum("mbi,mbip->bip", preceding[back], b[: n + 1][:, :, _NEXT])
            mixed += np.einsum("mbi,mbip->bip", following[back], b[: n + 1][:, :, _LAST])
            b[n + 1] = (k[..., None] * mixed + by * product[..., None]) / (n + 1)
            c[n + 1] = (b[n] - np.einsum("mbij,mbjp->bip", cross[back], c[: n + 1])) / (n + 1)
    moved = h != 0.0
    safe = np.where(moved, h, 1.0)
    w_end = np.where(moved[:, None], a.sum(axis=0) / safe[:, None], w)
    by_end = np.where(moved[:, None, None], b.sum(axis=0) / safe[:, None, None], w_by)
    return w_end, q.sum(axis=0), by_end, c.sum(axis=0)
