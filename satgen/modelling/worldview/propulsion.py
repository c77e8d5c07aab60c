"""Thrusters, tank and valves on the base."""

from __future__ import annotations

import math

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly
from satgen.modelling.fittings import fill_drain_valves
from satgen.modelling.worldview.layout import BUS_LOW

DECK = BUS_LOW - 0.04


def add_propulsion(a: Assembly) -> None:
    """Four clusters of two thrusters, the tank's end, fill and drain valves."""
    _tank(a)
    fill_drain_valves(a, DECK, (0.30, 0.20, 0.06), sink=0.02, body=0.08, cap=0.11)
    for k in range(4):
        _cluster(a, k)


def _tank(a: Assembly) -> None:
    dome = shapes.hemisphere(0.44, 56, 7).scale((1, 1, 0.36)).rotate("x", 180.0)
    collar = shapes.tube(0.47, 0.40, 0.05, 56).translate((0, 0, DECK - 0.02))
    part = a.part("propellant_tank", "thruster")
    part.add(dome.translate((0, 0, DECK + 0.005)), "mli_amber").add(collar, "titanium")


def _cluster(a: Assembly, k: int) -> None:
    """A wedge bracket near a corner with two canted nozzles and their catalyst beds."""
    azimuth = 45.0 + 90.0 * k
    part = a.part(f"thruster_cluster_{k + 1}", "thruster")
    block = shapes.box((0.20, 0.34, 0.07), 0.012).translate((1.12, 0, DECK - 0.025))
    part.add(block.rotate("z", azimuth), "mli_silver")
    shield = (
        shapes.box((0.018, 0.34, 0.11), 0.004).rotate("y", 14.0).translate((1.0, 0, DECK - 0.06))
    )
    part.add(shield.rotate("z", azimuth), "gold_foil_smooth")
    for side in (-1.0, 1.0):
        tilt = math.radians(16.0)
        axis = (math.sin(tilt), side * math.sin(math.radians(8.0)), -math.cos(tilt))
        base = (1.13, side * 0.09, DECK - 0.05)
        bed = shapes.cylinder(0.032, 0.07, 10).aim(axis).translate(base)
        bell = shapes.nozzle(0.014, 0.046, 0.085, 12, 0.004).aim(axis)
        start = tuple(b + 0.03 * d for b, d in zip(base, axis, strict=True))
        part.add(bed.rotate("z", azimuth), "titanium")
        part.add(bell.translate(start).rotate("z", azimuth), "steel_dark")
        feed = shapes.pipe(
            [(0.98, side * 0.05, DECK - 0.03), (1.05, side * 0.09, DECK - 0.075), base], 0.009, 6
        )
        part.add(feed.rotate("z", azimuth), "titanium")
