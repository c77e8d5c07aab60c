"""Figures of a target that trajectories need: a distance that frames it, and its inertia."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from satgen.camera import Camera
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.trajectory.motion import finite


def default_distance(radius_m: float, camera: Camera, fill: float = 0.9) -> float:
    """Distance in metres at which a sphere on the optical axis fills the frame.

    The outline of a sphere is where its tangent cone meets the image: a circle of radius
    f tan(asin(r / d)) = f r / sqrt(d^2 - r^2) pixels. The distance is such that this circle's
    diameter is `fill` of the image's height, or of its width where that asks for more distance.
    """
    radius = finite(radius_m, "bounding radius")
    if radius <= 0.0:
        raise InputError(f"bounding radius {radius:g}: must be more than 0 metres")
    if not 0.0 < finite(fill, "fill") <= 10.0:
        raise InputError(f"fill {fill:g}: must be more than 0 and at most 10 frame heights")
    tangent = max(
        2.0 * camera.fy / (fill * camera.height),
        2.0 * camera.fx / (fill * camera.width),
    )
    return radius * math.hypot(1.0, tangent)


def principal_inertia(vertices: ArrayLike, faces: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Principal moments, axes and centre of mass of a mesh as a thin shell.

    Every triangle is a uniform plate of 1 kg per square metre, which for a satellite is nearer the
    truth than a solid of uniform density and needs no closed mesh.

    Args:
        vertices: (V, 3) metres, target frame.
        faces: (F, 3) vertex indices.

    Returns:
        moments (3,) ascending, kg m^2; axes (3, 3), whose rows are the unit principal axes in
        target coordinates, right-handed; centre of mass (3,), target frame, metres.
    """
    corners = np.asarray(vertices, dtype=np.float64)[np.asarray(faces)]
    areas = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    areas = areas / 2.0
    total = float(areas.sum())
    if not (math.isfinite(total) and total > 0.0):
        raise InputError(f"surface area {total:g}: a mesh needs area to have moments of inertia")
    centre = np.asarray(areas @ corners.mean(axis=1) / total)
    corners = corners - centre
    sums = corners.sum(axis=1)
    # Integral of x x^T over a triangle: A/12 (sum of v v^T + s s^T), s the sum of its corners.
    second = np.einsum("f,fka,fkb->ab", areas, corners, corners)
    second = (second + np.einsum("f,fa,fb->ab", areas, sums, sums)) / 12.0
    moments, columns = np.linalg.eigh(np.trace(second) * np.eye(3) - second)
    axes = columns.T
    largest = np.argmax(np.abs(axes), axis=1)
    axes = axes * np.sign(axes[np.arange(3), largest])[:, None]
    if np.linalg.det(axes) < 0.0:
        axes[2] = -axes[2]
    return moments, axes, centre
