"""Where things can be put: the faces of a bus, and the space around it that is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.modelling.random.draw import Draw
from satgen.modelling.shapes import Shape

Array = NDArray[np.float64]
Point = tuple[float, float]

TRIES = 60
"""Places that are tried before something is left out."""


@dataclass(frozen=True)
class Placing:
    """A right-handed frame to put shapes into.

    Attributes:
        origin: (3,) metres, target frame.
        axes: (3, 3), whose rows are the frame's x, y and z in the target frame.
    """

    origin: Array
    axes: Array

    @classmethod
    def of(cls, origin: ArrayLike, x: ArrayLike, y: ArrayLike) -> Placing:
        """From two perpendicular directions; z completes them."""
        u, v = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
        return cls(np.asarray(origin, dtype=float), np.stack([u, v, np.cross(u, v)]))

    def put(self, shape: Shape, xyz: ArrayLike = (0.0, 0.0, 0.0)) -> Shape:
        """A shape built in this frame's axes, moved by (3,) along them, in the target frame."""
        return replace(
            shape,
            vertices=(shape.vertices + np.asarray(xyz, dtype=float)) @ self.axes + self.origin,
            normals=shape.normals @ self.axes,
        )

    def point(self, xyz: ArrayLike) -> Array:
        """A point (3,) of this frame in the target frame."""
        return np.asarray(np.asarray(xyz, dtype=float) @ self.axes + self.origin)

    def box(self, low: ArrayLike, high: ArrayLike) -> Box:
        """The target frame's axis-aligned box around a box in this frame."""
        a, b = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        pick = np.array([[i >> k & 1 for k in range(3)] for i in range(8)])
        corners = np.where(pick, b, a) @ self.axes + self.origin
        return corners.min(axis=0), corners.max(axis=0)


Box = tuple[Array, Array]
"""Lowest and highest corner, (3,) each."""


@dataclass
class Face:
    """A flat face of the bus: x to the right and y up seen from outside, z outward.

    Attributes:
        name: such as "side_1", "top".
        placing: its frame; the origin lies on its surface.
        outline: corners (x, y), counter-clockwise, convex, metres.
        taken: (x, y, half width, half height) of what stands on it.
    """

    name: str
    placing: Placing
    outline: list[Point]
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    @property
    def width(self) -> float:
        """Extent along x."""
        return max(x for x, _ in self.outline) - min(x for x, _ in self.outline)

    @property
    def height(self) -> float:
        """Extent along y."""
        return max(y for _, y in self.outline) - min(y for _, y in self.outline)

    @property
    def outward(self) -> Array:
        """Unit normal (3,)."""
        return np.asarray(self.placing.axes[2])

    def put(self, shape: Shape, x: float = 0.0, y: float = 0.0, lift: float = 0.0) -> Shape:
        """A shape that faces +z, put at (x, y), `lift` metres above the face."""
        return self.placing.put(shape, (x, y, lift))

    def holds(self, x: float, y: float, half_w: float, half_h: float) -> bool:
        """Whether a rectangle lies inside the outline."""
        corners = [(x + a * half_w, y + b * half_h) for a in (-1, 1) for b in (-1, 1)]
        for (ax, ay), (bx, by) in zip(
            self.outline, self.outline[1:] + self.outline[:1], strict=True
        ):
            if any((bx - ax) * (py - ay) < (by - ay) * (px - ax) for px, py in corners):
                return False
        return True

    def is_free(self, x: float, y: float, half_w: float, half_h: float) -> bool:
        """Whether nothing that stands there meets a rectangle."""
        return all(
            abs(x - tx) >= half_w + tw or abs(y - ty) >= half_h + th
            for tx, ty, tw, th in self.taken
        )

    def take(self, x: float, y: float, width: float, height: float) -> None:
        """Mark a rectangle as taken."""
        self.taken.append((x, y, width / 2.0, height / 2.0))

    def claim(
        self,
        draw: Draw,
        width: float,
        height: float,
        gap: float,
        x_range: Point = (-1.0, 1.0),
        y_range: Point = (-1.0, 1.0),
    ) -> Point | None:
        """A free place for a rectangle, which is then taken; None where none was found.

        Args:
            draw: tries places.
            width, height: metres.
            gap: to what else is there and to the outline.
            x_range, y_range: parts of the face to look in, -1..1.
        """
        half_w, half_h = width / 2.0 + gap, height / 2.0 + gap
        for _ in range(TRIES):
            x = draw.uniform(*x_range) * self.width / 2.0
            y = draw.uniform(*y_range) * self.height / 2.0
            if self.holds(x, y, half_w, half_h) and self.is_free(x, y, half_w, half_h):
                self.take(x, y, width + gap, height + gap)
                return x, y
        return None


@dataclass
class Space:
    """What large things take of the space around the bus."""

    boxes: list[Box] = field(default_factory=list)

    def is_free(self, *boxes: Box, margin: float = 0.04) -> bool:
        """Whether boxes keep `margin` metres from everything that is there."""
        return not any(
            bool(np.all(low - margin < b) and np.all(high + margin > a))
            for low, high in boxes
            for a, b in self.boxes
        )

    def take(self, *boxes: Box) -> None:
        """Mark boxes as taken."""
        self.boxes += boxes

    def claim(self, *boxes: Box, margin: float = 0.04) -> bool:
        """Take boxes if they are free."""
        if not self.is_free(*boxes, margin=margin):
            return False
        self.take(*boxes)
        return True


def around(points: Sequence[ArrayLike], radius: float) -> Box:
    """A box that holds points with a radius around each."""
    p = np.asarray(points, dtype=float)
    return p.min(axis=0) - radius, p.max(axis=0) + radius
