"""Thrusters, tank and valves on the aft deck."""

from __future__ import annotations

import math

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly
from satgen.modelling.cartography.layout import BUS_LOW, CORNERS
from satgen.modelling.fittings import fill_drain_valves

DECK = BUS_LOW - 0.06


def add_propulsion(a: Assembly) -> None:
    """Tank, four corner clusters of 1 N, four 11 N thrusters around the ring, valves."""
    dome = shapes.hemisphere(0.40, 56, 6).scale((1, 1, 0.42)).rotate("x", 180.0)
    skirt = shapes.tube(0.42, 0.36, 0.06, 56).translate((0, 0, DECK - 0.01))
    part = a.part("propellant_tank", "thruster")
    part.add(dome.translate((0, 0, DECK + 0.01)), "mli_amber").add(skirt, "titanium")
    for name, (sx, sy) in CORNERS.items():
        _cluster(a, name, sx, sy)
    for k in range(4):
        _large(a, k)
    fill_drain_valves(a, DECK, (0.30, 0.16, 0.05), sink=0.01, body=0.06, cap=0.10)


def _cluster(a: Assembly, name: str, sx: int, sy: int) -> None:
    """Two 1 N thrusters on a bracket under a corner of the aft deck."""
    part = a.part(f"thruster_cluster_{name}", "thruster")
    at = (sx * 0.93, sy * 0.93, DECK - 0.03)
    block = shapes.box((0.20, 0.20, 0.10), 0.014).translate(at)
    part.add(block, "mli_silver")
    for dx, dy in ((0.35, 0.0), (0.0, 0.35)):
        axis = (sx * dx, sy * dy, -1.0)
        foot = (at[0] + sx * dx * 0.12, at[1] + sy * dy * 0.12, at[2] - 0.04)
        bed = shapes.cylinder(0.026, 0.06, 10).aim(axis).translate(foot)
        bell = shapes.nozzle(0.012, 0.038, 0.075, 12, 0.004).aim(axis)
        length = math.sqrt(sum(c * c for c in axis))
        end = tuple(f + 0.024 * c / length for f, c in zip(foot, axis, strict=True))
        part.add(bed, "titanium").add(bell.translate(end), "steel_dark")


def _large(a: Assembly, k: int) -> None:
    """An 11 N thruster beside the launch cone, with its heat shield."""
    azimuth = 45.0 + 90.0 * k
    part = a.part(f"thruster_11n_{k + 1}", "thruster")
    base = shapes.box((0.16, 0.16, 0.06), 0.012).translate((0.74, 0, DECK - 0.015))
    bed = shapes.cylinder(0.036, 0.09, 12).translate((0.74, 0, DECK - 0.08))
    bell = shapes.nozzle(0.018, 0.062, 0.12, 16, 0.005).rotate("x", 180.0)
    shield = shapes.tube(0.085, 0.068, 0.03, 16).translate((0.74, 0, DECK - 0.052))
    part.add(base.rotate("z", azimuth), "mli_silver")
    part.add(bed.rotate("z", azimuth), "titanium")
    part.add(shield.rotate("z", azimuth), "gold_foil_smooth")
    part.add(bell.translate((0.74, 0, DECK - 0.11)).rotate("z", azimuth), "steel_dark")
