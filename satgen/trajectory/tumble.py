"""Torque-free rotation of a rigid target before a camera that is fixed in inertial space.

The closed form of Euler's equations (Landau and Lifshitz, Mechanics, section 37) with Jacobi's
elliptic functions gives the angular velocity at any time; the precession about the angular momentum
follows from the incomplete elliptic integral of the third kind, here by Carlson's symmetric forms.
Nothing is integrated step by step, so energy and angular momentum hold to rounding at every index.

Of the principal axes, `a` is the one that the angular momentum circles (the largest moment's or
the smallest's), `c` the other extreme and `b` the middle one. With tau = nu t + tau0,

    omega_c = A_c cn(tau),   omega_b = A_b sn(tau),   omega_a = A_a dn(tau).

The inertial axes are the target's at index 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.errors import InputError
from satgen.geometry import normalise
from satgen.trajectory.angles import rotation_from_angles
from satgen.trajectory.config import INDEX_MIN, TrajectoryConfig, finite, finite_vector

Floats = NDArray[np.float64]

DEFAULT_RATES_DEG_S = (0.3, 0.9, 0.3)
"""About the smallest, middle and largest moment: mostly about the unstable middle axis."""

_NAMES = ("moments", "axes", "rates_deg_s", "dt_s", "view_deg")


def tumble_params(
    moments: ArrayLike,
    axes: ArrayLike | None = None,
    rates_deg_s: ArrayLike = DEFAULT_RATES_DEG_S,
    dt_s: float = 1.0,
    view_deg: ArrayLike = (30.0, 15.0),
) -> dict[str, Any]:
    """Parameters of kind tumble.

    Args:
        moments: (3,) principal moments of inertia, any unit; only their ratios matter.
        axes: (3, 3), rows the principal axes in target coordinates (identity if None); see
            `framing.principal_inertia`.
        rates_deg_s: (3,) angular velocity at index 1 about those axes, degrees a second.
        dt_s: seconds from one index to the next.
        view_deg: azimuth and elevation of the camera at index 1.
    """
    return {
        "moments": np.asarray(moments, dtype=np.float64).tolist(),
        "axes": np.asarray(np.eye(3) if axes is None else axes, dtype=np.float64).tolist(),
        "rates_deg_s": np.asarray(rates_deg_s, dtype=np.float64).tolist(),
        "dt_s": float(dt_s),
        "view_deg": np.asarray(view_deg, dtype=np.float64).tolist(),
    }


@dataclass(frozen=True)
class _Body:
    """Checked parameters: `axes` is right-handed, (3, 3), rows, in ascending order of moment."""

    moments: Floats
    axes: Floats
    rates: Floats
    dt_s: float
    view_deg: tuple[float, ...]


def _checked(config: TrajectoryConfig) -> _Body:
    """Parameters as a body; InputError where they describe none."""
    config.check_params(_NAMES)
    if "moments" not in config.params:
        raise InputError("trajectory tumble: needs the target's principal moments of inertia")
    p = {**tumble_params([1.0, 1.0, 1.0]), **config.params}
    moments = np.array(finite_vector(p["moments"], 3, "moments"))
    if moments.min() <= 0.0:
        raise InputError(f"moments {moments.tolist()}: must be more than 0")
    if 2.0 * moments.max() > moments.sum() * (1.0 + 1e-9):
        raise InputError(f"moments {moments.tolist()}: no moment may exceed the other two's sum")
    if not isinstance(p["axes"], list) or len(p["axes"]) != 3:
        raise InputError(f"axes {p['axes']!r}: must be three vectors")
    axes = np.array([finite_vector(row, 3, "axes") for row in p["axes"]])
    if np.abs(axes @ axes.T - np.eye(3)).max() > 1e-6:
        raise InputError(f"axes {axes.tolist()}: must be perpendicular unit vectors")
    left, _, right = np.linalg.svd(axes)
    axes = left @ right
    rates = np.radians(finite_vector(p["rates_deg_s"], 3, "rates_deg_s"))
    order = np.argsort(moments, kind="stable")
    moments, axes, rates = moments[order] / moments.max(), axes[order], rates[order]
    if np.linalg.det(axes) < 0.0:
        axes[2], rates[2] = -axes[2], -rates[2]
    dt = finite(p["dt_s"], "dt_s")
    if dt <= 0.0:
        raise InputError(f"dt_s {dt:g}: must be more than 0 seconds")
    fastest = math.degrees(float(np.linalg.norm(moments * rates)) / moments[0] * dt)
    if fastest > 90.0:
        raise InputError(
            f"rates_deg_s {p['rates_deg_s']}: may turn {fastest:.0f} degrees from one index to the "
            "next, which must stay under 90"
        )
    view = finite_vector(p["view_deg"], 2, "view_deg")
    if abs(view[1]) > 90.0:
        raise InputError(f"view_deg {list(view)}: elevation must be between -90 and 90 degrees")
    return _Body(moments, axes, rates, dt, view)


def _rotation(axis: int, angle: Floats) -> Floats:
    """Matrices (N, 3, 3) that turn vectors by `angle` (N,) radians about coordinate `axis`."""
    matrices = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrices[:, axis, axis] = 1.0
    matrices[:, i, i] = matrices[:, j, j] = np.cos(angle)
    matrices[:, j, i] = np.sin(angle)
    matrices[:, i, j] = -np.sin(angle)
    return matrices


def _steady(time: Floats, rates: Floats) -> tuple[Floats, Floats]:
    """Rotation about an axis that stays fixed in the body: rates (N, 3), body to inertial."""
    speed = float(np.linalg.norm(rates))
    axis = rates / speed if speed > 0.0 else np.array([0.0, 0.0, 1.0])
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    angle = np.mod(speed * time, 2.0 * np.pi)[:, None, None]
    turn = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    return np.broadcast_to(rates, (len(time), 3)).copy(), turn


def jacobi(u: Floats, m1: float) -> tuple[Floats, Floats, Floats]:
    """Jacobi's sn, cn and dn of u (N,) for the complementary parameter m1 = 1 - m in (0, 1].

    By the arithmetic-geometric mean (Abramowitz and Stegun, 16.4). scipy's takes m, and so cannot
    tell one motion close to the separatrix from another.
    """
    mean = 1.0
    ratios: list[float] = []
    geometric = math.sqrt(m1)
    while abs(mean - geometric) > 1e-17 * mean and len(ratios) < 20:
        half = (mean - geometric) / 2.0
        mean, geometric = (mean + geometric) / 2.0, math.sqrt(mean * geometric)
        ratios.append(half / mean)
    phi = 2.0 ** len(ratios) * mean * np.asarray(u, dtype=np.float64)
    for ratio in reversed(ratios):
        phi = (phi + np.arcsin(ratio * np.sin(phi))) / 2.0
    sn, cn = np.sin(phi), np.cos(phi)
    return sn, cn, np.sqrt(cn**2 + m1 * sn**2)


def free_rotation(moments: Floats, rates: Floats, time: Floats) -> tuple[Floats, Floats]:
    """Torque-free motion from rest axes aligned with the inertial ones at time 0.

    Args:
        moments: (3,) principal moments, ascending.
        rates: (3,) angular velocity at time 0 about the principal axes, rad/s.
        time: (N,) seconds.

    Returns:
        Angular velocity about the principal axes (N, 3), rad/s, and the rotation from principal
        to inertial axes (N, 3, 3), the identity at time 0.
    """
    from scipy.special import ellipkm1, elliprf, elliprj

    i1, i2, i3 = moments
    momentum = float(np.linalg.norm(moments * rates))
    torque = float(np.linalg.norm(np.cross(rates, moments * rates)))
    if torque <= 1e-14 * momentum * float(np.linalg.norm(rates)):
        return _steady(time, rates)
    # 2E I - L^2 for each axis, written as sums without cancellation where it can be.
    excess = np.array(
        [
            -i2 * (i2 - i1) * rates[1] ** 2 - i3 * (i3 - i1) * rates[2] ** 2,
            i1 * (i2 - i1) * rates[0] ** 2 - i3 * (i3 - i2) * rates[2] ** 2,
            i1 * (i3 - i1) * rates[0] ** 2 + i2 * (i3 - i2) * rates[1] ** 2,
        ]
    )
    a, b, c = (2, 1, 0) if excess[1] <= 0.0 else (0, 1, 2)
    ia, ib, ic = moments[a], moments[b], moments[c]
    amp_c = math.sqrt(excess[a] / (ic * (ia - ic)))
    amp_b = math.copysign(math.sqrt(excess[a] / (ib * (ia - ib))), rates[a])
    amp_a = math.copysign(math.sqrt(excess[c] / (ia * (ic - ia))), rates[a])
    nu = math.sqrt((ia - ib) * -excess[c] / (ia * ib * ic))
    # The complementary parameter 1 - m: it is what vanishes beside the middle axis, on the
    # separatrix between the two regimes, and there m itself would have no digits left.
    m1 = (ia - ic) * excess[b] / ((ia - ib) * excess[c])
    m1 = min(max(m1, 1e-300), 1.0)
    n = ia * (ic - ib) / (ic * (ia - ib))  # characteristic of the third-kind integral, <= 0

    sn, cn = normalise([rates[b] / amp_b, rates[c] / amp_c])
    start = sn * float(elliprf(cn**2, cn**2 + m1 * sn**2, 1.0))
    quarter = float(ellipkm1(m1))
    if cn < 0.0:
        start = math.copysign(2.0 * quarter, sn) - start
    times = np.concatenate([[0.0], time])
    tau = times * nu + start
    half_turns = np.round(tau / (2.0 * quarter))
    sign = np.where(half_turns % 2 == 0, 1.0, -1.0)
    sn, cn, dn = jacobi(tau - 2.0 * quarter * half_turns, m1)
    # Third-kind integral from 0: Carlson's forms within a half turn, plus whole half turns.
    pole = 1.0 - n * sn**2
    third = sn * elliprf(cn**2, dn**2, 1.0) + n / 3.0 * sn**3 * elliprj(cn**2, dn**2, 1.0, pole)
    whole = quarter + n / 3.0 * elliprj(0.0, m1, 1.0, 1.0 - n)
    third = third + 2.0 * half_turns * whole
    precession = momentum / ia * times + momentum * (ia - ic) / (ia * ic * nu) * third

    omega = np.zeros((len(times), 3))
    omega[:, c] = amp_c * sign * cn
    omega[:, b] = amp_b * sign * sn
    omega[:, a] = amp_a * dn
    # Euler angles z-x-z from the frame whose z is the angular momentum; (x, y, a) right-handed.
    # The common factor of the two components is left out, so that a pure spin about a is regular.
    along = {
        c: math.sqrt(abs(ic / (ia - ic))) * sign * cn,
        b: math.copysign(math.sqrt(abs(ib / (ia - ib))), rates[a]) * sign * sn,
    }
    x, y = (a + 1) % 3, (a + 2) % 3
    spin_angle = np.arctan2(along[x], along[y])
    sine = math.sqrt(abs(excess[a])) * np.hypot(along[x], along[y]) / momentum
    nutation = np.arctan2(sine, ia * omega[:, a] / momentum)
    euler = _rotation(2, precession) @ _rotation(0, nutation) @ _rotation(2, spin_angle)
    attitude = np.zeros_like(euler)
    attitude[:, :, [x, y, a]] = euler
    return omega[1:], attitude[0].T @ attitude[1:]


def tumble_motion(
    config: TrajectoryConfig, index: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    """Time (N,) s since index 1, angular velocity (N, 3) rad/s and attitude (N, 3, 3).

    The angular velocity is in target axes; the attitude takes target axes to inertial ones.
    """
    body = _checked(config)
    time = np.asarray((index - INDEX_MIN) * body.dt_s, dtype=np.float64)
    omega, attitude = free_rotation(body.moments, body.rates, time)
    return time, omega @ body.axes, body.axes.T @ attitude @ body.axes


def tumble_views(
    config: TrajectoryConfig, index: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    """Rotation of T_cam_target (N, 3, 3), distance (N,) m, inertial-to-target (N, 3, 3)."""
    _, _, inertial_target = tumble_motion(config, index)
    azimuth, elevation = _checked(config).view_deg
    cam_inertial = rotation_from_angles(azimuth, elevation, config.roll_deg)
    distance = np.full(len(index), config.distance_m)
    return cam_inertial @ inertial_target, distance, np.swapaxes(inertial_target, -1, -2).copy()
