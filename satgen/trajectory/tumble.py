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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.geometry import Floats, axis_rotation, normalise
from satgen.settings import numbers, setting
from satgen.trajectory.angles import rotation_from_angles
from satgen.trajectory.looking import looking_along
from satgen.trajectory.motion import (
    INDEX_MAX,
    INDEX_MIN,
    Motion,
    Observations,
    Vector,
    finite,
    finite_vector,
    frame_period,
)

if TYPE_CHECKING:
    from satgen.model import TargetModel
    from satgen.trajectory.config import TrajectoryConfig

DEFAULT_RATES_DEG_S = (0.3, 0.9, 0.3)
"""About the smallest, middle and largest moment: mostly about the unstable middle axis."""

_TARGET_AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Tumble(Motion):
    """Torque-free rotation of the target before a camera that stays in place.

    Attributes:
        moments: (3,) principal moments of inertia, any unit; only their ratios matter. None takes
            the target's own, in ascending order, about its own principal axes.
        axes: (3, 3), rows the principal axes in target coordinates; the target's x, y and z axes
            where moments are given and these are not. See `framing.principal_inertia`.
        rates_deg_s: (3,) angular velocity at index 1 about those axes, degrees a second.
        dt_s: seconds from one index to the next.
        view_deg: azimuth and elevation of the camera at index 1.
    """

    moments: Vector | None = setting(
        None,
        "Moments of inertia about the target's x, y and z axes, of which only the ratios matter",
        name="inertia",
        metavar="IX,IY,IZ",
        parse=numbers,
        above=0.0,
        high=1e9,
        shown="the target's own, about its own principal axes",
    )
    axes: tuple[Vector, Vector, Vector] | None = None
    rates_deg_s: Vector = setting(
        DEFAULT_RATES_DEG_S,
        "Angular velocity at index 1, degrees a second, about the axes of --inertia; without it "
        "about the principal axes of smallest, middle and largest moment",
        name="rates",
        metavar="WX,WY,WZ",
        parse=numbers,
        low=-1e6,
        high=1e6,
    )
    dt_s: float = frame_period()
    view_deg: tuple[float, float] = setting(
        (30.0, 15.0),
        "Azimuth and elevation, in target axes at index 1, that the camera looks from, degrees",
        name="view",
        metavar="AZ,EL",
        parse=numbers,
        low=-3600.0,
        high=3600.0,
    )

    kind: ClassVar[str] = "tumble"
    pivoted: ClassVar[bool] = True
    inertial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        if self.moments is not None:
            put("moments", finite_vector(self.moments, 3, "moments"))
        if self.axes is not None:
            if not isinstance(self.axes, (tuple, list)) or len(self.axes) != 3:
                raise InputError(f"axes {self.axes!r}: must be three vectors")
            put("axes", tuple(finite_vector(row, 3, "axes") for row in self.axes))
        put("rates_deg_s", finite_vector(self.rates_deg_s, 3, "rates_deg_s"))
        put("dt_s", finite(self.dt_s, "dt_s"))
        put("view_deg", finite_vector(self.view_deg, 2, "view_deg"))
        super().__post_init__()
        if abs(self.view_deg[1]) > 90.0:
            raise InputError(
                f"view_deg {list(self.view_deg)}: elevation must be between -90 and 90 degrees"
            )
        if self.moments is not None:
            self._body()

    def of_target(self, model: TargetModel) -> tuple[Tumble, Vector, float]:
        """This motion with the target's inertia, its centre of mass as the aim point, and the
        radius about that."""
        moments, axes, centre = model.inertia
        used = model.vertices[np.unique(model.faces)]
        radius = float(np.linalg.norm(used - centre, axis=1).max())
        motion = self
        if self.moments is None:
            motion = replace(self, moments=tuple(moments.tolist()), axes=tuple(axes.tolist()))
        elif self.axes is None:
            motion = replace(self, axes=_TARGET_AXES)
        return motion, (float(centre[0]), float(centre[1]), float(centre[2])), radius

    @property
    def frame_s(self) -> float:
        """The frame period."""
        return self.dt_s

    def sweep(self, config: TrajectoryConfig) -> Observations:
        """All 8100 indices."""
        index = np.arange(INDEX_MIN, INDEX_MAX + 1, dtype=np.int64)
        _, velocity, inertial_target = self.turning(index)
        return looking_along(
            rotation_from_angles(*self.view_deg) @ inertial_target,
            np.full(len(index), config.distance_m),
            velocity,
            (np.swapaxes(inertial_target, -1, -2).copy(), velocity),
            index,
            config,
        )

    def local_vertical(self, observations: Observations, angle: Floats) -> Floats:
        """The inertial axes, which are the target's at index 1, turned as the orbit is flown."""
        assert observations.R_target_inertial is not None
        return observations.R_target_inertial @ axis_rotation(1, -angle)

    def turning(self, index: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """Time (N,) s since index 1, angular velocity (N, 3) rad/s and attitude (N, 3, 3).

        The angular velocity is in target axes; the attitude takes target axes to inertial ones.
        """
        body = self._body()
        time = np.asarray((index - INDEX_MIN) * self.dt_s, dtype=np.float64)
        omega, attitude = free_rotation(body.moments, body.rates, time)
        return time, omega @ body.axes, body.axes.T @ attitude @ body.axes

    def _body(self) -> _Body:
        """The parameters as a body; InputError where they describe none."""
        if self.moments is None:
            raise InputError("trajectory tumble: needs the target's principal moments of inertia")
        moments = np.array(self.moments)
        if 2.0 * moments.max() > moments.sum() * (1.0 + 1e-9):
            raise InputError(
                f"moments {moments.tolist()}: no moment may exceed the other two's sum"
            )
        axes = np.array(_TARGET_AXES if self.axes is None else self.axes)
        if np.abs(axes @ axes.T - np.eye(3)).max() > 1e-6:
            raise InputError(f"axes {axes.tolist()}: must be perpendicular unit vectors")
        left, _, right = np.linalg.svd(axes)
        axes = left @ right
        rates = np.radians(self.rates_deg_s)
        order = np.argsort(moments, kind="stable")
        moments, axes, rates = moments[order] / moments.max(), axes[order], rates[order]
        if np.linalg.det(axes) < 0.0:
            axes[2], rates[2] = -axes[2], -rates[2]
        fastest = math.degrees(float(np.linalg.norm(moments * rates)) / moments[0] * self.dt_s)
        if fastest > 90.0:
            raise InputError(
                f"rates_deg_s {list(self.rates_deg_s)}: may turn {fastest:.0f} degrees from one "
                "index to the next, which must stay under 90"
            )
        return _Body(moments, axes, rates)


@dataclass(frozen=True)
class _Body:
    """A rigid body in ascending order of moment: `axes` right-handed rows, `rates` in rad/s."""

    moments: Floats
    axes: Floats
    rates: Floats


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
    euler = axis_rotation(2, precession) @ axis_rotation(0, nutation) @ axis_rotation(2, spin_angle)
    attitude = np.zeros_like(euler)
    attitude[:, :, [x, y, a]] = euler
    return omega[1:], attitude[0].T @ attitude[1:]
