"""Lens distortion after Brown and Conrady, with OpenCV's coefficients k1, k2, p1, p2, k3.

On normalised coordinates, x right and y down where z is 1, with r² = x² + y²:

    x' = x (1 + k1 r² + k2 r⁴ + k3 r⁶) + 2 p1 x y + p2 (r² + 2 x²)
    y' = y (1 + k1 r² + k2 r⁴ + k3 r⁶) + p1 (r² + 2 y²) + 2 p2 x y

as `cv2.projectPoints` has it. The polynomial means something as far out as it is one to one: its
derivative is a symmetric matrix, and where that is positive definite all over a disc, no two points
of the disc come to lie on each other. `domain` is the radius of such a disc; what is seen outside
of it, the polynomial does not say.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Coefficients = tuple[float, float, float, float, float]

NONE: Coefficients = (0.0, 0.0, 0.0, 0.0, 0.0)
"""A lens without distortion."""

_BLOCK = 8192
"""Points at a time, so that what is worked on stays near the processor."""

_QUICK_STEPS, _STEPS, _HALVINGS = 8, 60, 40
_NEAR = 1e-9
"""From which a last step comes as near as numbers go, its error being squared."""


def distort(coefficients: Coefficients, xy: Floats) -> Floats:
    """Where the lens puts normalised points (..., 2); NaN beyond `domain`."""
    k1, k2, p1, p2, k3 = coefficients
    x, y = xy[..., 0], xy[..., 1]
    out: Floats = np.empty(xy.shape)
    with np.errstate(over="ignore", invalid="ignore"):  # far outside of the domain
        xx, yy, xy2 = x * x, y * y, 2.0 * x * y
        r2 = xx + yy
        factor = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        out[..., 0] = x * factor + p1 * xy2 + p2 * (r2 + 2.0 * xx)
        out[..., 1] = y * factor + p1 * (r2 + 2.0 * yy) + p2 * xy2
    out[~(r2 <= domain(coefficients) ** 2)] = np.nan
    return out


def undistort(coefficients: Coefficients, xy: Floats) -> Floats:
    """Inverse of `distort`, to rounding; NaN where the lens puts no point of the domain."""
    flat = np.array(xy, dtype=np.float64).reshape(-1, 2)
    if coefficients != NONE:
        for start in range(0, len(flat), _BLOCK):
            block = flat[start : start + _BLOCK]
            found, done = _quickly(coefficients, block)
            if not done.all():
                found[~done] = _carefully(coefficients, block[~done])
            block[:] = found
    return flat.reshape(xy.shape)


def _quickly(coefficients: Coefficients, wanted: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """`undistort` of (N, 2) points by a few of Newton's steps, and where these were enough."""
    k1, k2, p1, p2, k3 = coefficients
    u, v = np.ascontiguousarray(wanted.T)
    x, y = u.copy(), v.copy()
    with np.errstate(all="ignore"):
        for _ in range(_QUICK_STEPS):
            xx, yy, xy = x * x, y * y, x * y
            r2 = xx + yy
            factor = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
            slope = 2.0 * (k1 + r2 * (2.0 * k2 + r2 * 3.0 * k3))
            off_x = x * factor + 2.0 * p1 * xy + p2 * (r2 + 2.0 * xx) - u
            off_y = y * factor + p1 * (r2 + 2.0 * yy) + 2.0 * p2 * xy - v
            a = factor + slope * xx + 2.0 * p1 * y + 6.0 * p2 * x
            b = slope * xy + 2.0 * p1 * x + 2.0 * p2 * y
            d = factor + slope * yy + 6.0 * p1 * y + 2.0 * p2 * x
            scale = 1.0 / (a * d - b * b)
            x -= scale * (d * off_x - b * off_y)
            y -= scale * (a * off_y - b * off_x)
            off = np.maximum(np.abs(off_x), np.abs(off_y))
            done = off <= _NEAR
            if done.all():
                break
        done &= x * x + y * y <= domain(coefficients) ** 2
    return np.stack([x, y], axis=-1), done


def _carefully(coefficients: Coefficients, flat: Floats) -> Floats:
    """`undistort` of (N, 2) points by Newton's steps, each halved until it comes nearer.

    As the derivative is symmetric and positive definite, the way leads down a convex bowl, and
    there is no other bottom.
    """
    found = np.full(flat.shape, np.nan)
    left = np.flatnonzero(np.isfinite(flat[:, 0] + flat[:, 1]))
    wanted = flat[left]
    x = _within(wanted, domain(coefficients))
    error = distort(coefficients, x) - wanted
    for _ in range(_STEPS):
        if len(left) == 0:
            break
        off = np.hypot(error[:, 0], error[:, 1])
        last = off <= _NEAR * (1.0 + np.abs(wanted).max(axis=1))
        a, b, d = _derivative(coefficients, x)
        step = np.stack([d * error[:, 0] - b * error[:, 1], a * error[:, 1] - b * error[:, 0]])
        step = (step / (a * d - b * b)).T
        trying = np.arange(len(x))
        for _ in range(_HALVINGS):
            new = x[trying] - step[trying]
            there = distort(coefficients, new) - wanted[trying]
            better = np.hypot(there[:, 0], there[:, 1]) < off[trying]  # not where it is NaN
            x[trying[better]], error[trying[better]] = new[better], there[better]
            trying = trying[~better & ~last[trying]]
            if len(trying) == 0:
                break
            step[trying] *= 0.5
        found[left[last]] = x[last]
        left, wanted, x, error = left[~last], wanted[~last], x[~last], error[~last]
    return found


@lru_cache(maxsize=64)
def domain(coefficients: Coefficients) -> float:
    """Radius within which the lens is one to one, normalised; infinite if it is everywhere.

    The derivative's eigenvalues are those of its radial part, across and along the radius, but for
    at most 6 |p| r that the tangential terms add.
    """
    k1, k2, p1, p2, k3 = coefficients
    tangential = 6.0 * float(np.hypot(p1, p2))
    nearest = 0.0  # of one over the radius, so that the polynomial's first coefficient is 1
    for a, b, c in ((1.0, 1.0, 1.0), (3.0, 5.0, 7.0)):
        roots = np.roots([1.0, -tangential, a * k1, 0.0, b * k2, 0.0, c * k3])
        real = roots[np.abs(roots.imag) <= 1e-7 * np.abs(roots)].real
        nearest = max(nearest, float(real.max(initial=0.0)))
    return (1.0 - 1e-6) / nearest if nearest > 1e-6 else float("inf")


def _derivative(coefficients: Coefficients, xy: Floats) -> tuple[Floats, Floats, Floats]:
    """dx'/dx, dx'/dy = dy'/dx and dy'/dy, (N,) each."""
    k1, k2, p1, p2, k3 = coefficients
    x, y = xy[:, 0], xy[:, 1]
    r2 = x * x + y * y
    factor = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = 2.0 * (k1 + r2 * (2.0 * k2 + r2 * 3.0 * k3))
    return (
        factor + slope * x * x + 2.0 * p1 * y + 6.0 * p2 * x,
        slope * x * y + 2.0 * p1 * x + 2.0 * p2 * y,
        factor + slope * y * y + 6.0 * p1 * y + 2.0 * p2 * x,
    )


def _within(xy: Floats, limit: float) -> Floats:
    """Points (N, 2) drawn into the domain along their radius."""
    if not np.isfinite(limit):
        return np.array(xy)
    most = limit * (1.0 - 1e-9)
    return np.asarray(xy * (most / np.maximum(np.hypot(xy[:, 0], xy[:, 1]), most))[:, None])
