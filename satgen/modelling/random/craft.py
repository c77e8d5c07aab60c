"""A random craft under construction: what its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from satgen.modelling.assembly import Assembly, PartBuilder
from satgen.modelling.random.design import Design
from satgen.modelling.random.draw import Draw
from satgen.modelling.random.mounts import Face, Space
from satgen.modelling.random.palette import Palette


@dataclass
class Craft:
    """What is built, and where there is room.

    Attributes:
        design, palette: the choices of the seed.
        assembly: gets the parts and landmarks.
        sides: upright faces of the bus, counter-clockwise; top, bottom: its decks' outsides.
        space: what is taken around the bus.
    """

    design: Design
    palette: Palette
    assembly: Assembly
    sides: list[Face] = field(default_factory=list)
    top: Face = field(init=False)
    bottom: Face = field(init=False)
    space: Space = field(default_factory=Space)
    _numbers: dict[str, int] = field(default_factory=dict)

    @property
    def unit(self) -> float:
        """Scale of fittings."""
        return self.design.unit

    def draw(self, purpose: str) -> Draw:
        """A stream of choices for something."""
        return Draw(self.design.seed, purpose)

    def part(self, name: str, cls: str) -> PartBuilder:
        """A new part of this very name."""
        return self.assembly.part(name, cls)

    def next(self, name: str, cls: str) -> PartBuilder:
        """A new part, numbered among those of its name: star_tracker_1, star_tracker_2 …"""
        self._numbers[name] = self._numbers.get(name, 0) + 1
        return self.assembly.part(f"{name}_{self._numbers[name]}", cls)

    def landmark(self, name: str, xyz: ArrayLike) -> None:
        """A named point of the surface."""
        self.assembly.landmark(name, np.asarray(xyz, dtype=float))

    def free_sides(self) -> list[Face]:
        """The sides that no wing starts from."""
        roots = [np.deg2rad(w.azimuth_deg) for w in self.design.wings]
        ways = [np.array([np.cos(a), np.sin(a), 0.0]) for a in roots]
        return [f for f in self.sides if all(float(f.outward @ w) < 0.9 for w in ways)]

    def side_toward(self, azimuth_deg: float) -> Face:
        """The side that looks most nearly in a direction."""
        a = np.deg2rad(azimuth_deg)
        way = np.array([np.cos(a), np.sin(a), 0.0])
        return max(self.sides, key=lambda face: float(face.outward @ way))
