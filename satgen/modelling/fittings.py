"""Fittings that several satellites have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly, PartBuilder
from satgen.modelling.shapes import Shape
from satgen.modelling.textures import LABELS

Triple = tuple[float, float, float]


def fill_drain_valves(
    a: Assembly, deck: float, plate: Triple, sink: float, body: float, cap: float
) -> None:
    """Three capped valves on a plate under an aft deck.

    Args:
        a: the satellite.
        deck: z of the deck, metres.
        plate: sizes of the plate.
        sink, body, cap: metres that plate, valve bodies and caps are below the deck.
    """
    base = shapes.box(plate, 0.008).translate((0.0, 0.80, deck - sink))
    part = a.part("fill_drain_valves", "thruster").add(base, "aluminium")
    for k in range(3):
        x = -0.09 + 0.09 * k
        valve = shapes.cylinder(0.022, 0.09, 10).translate((x, 0.80, deck - body))
        top = shapes.cylinder(0.03, 0.03, 6).translate((x, 0.80, deck - cap))
        part.add(shapes.join(valve, top), "steel_dark")


def dish_feed(
    a: Assembly,
    name: str,
    leg: tuple[Triple, Triple],
    cup: tuple[float, float, float, int],
    cup_z: float,
    beam: Triple,
    at: Triple,
) -> None:
    """A dish's feed, a cup on three legs.

    Args:
        a: the satellite.
        name: of the part.
        leg: both ends of a leg, in the dish's own frame (beam along +z), metres.
        cup: radii, height and sides of the cup.
        cup_z: where it is along the beam.
        beam, at: direction and place of the dish.
    """
    legs = [shapes.strut(*leg, 0.008, 6).rotate("z", 120.0 * k) for k in range(3)]
    low, high, height, sides = cup
    end = shapes.cone(low, high, height, sides).translate((0, 0, cup_z))
    feed = a.part(name, "antenna")
    feed.add(shapes.join(*legs).aim(beam).translate(at), "cfrp")
    feed.add(end.aim(beam).translate(at), "aluminium")


def tag(number: int, width: float = 0.10) -> Shape:
    """A printed plate, twice as wide as high, facing +z and 3 mm proud of z = 0, sunk below.

    Args:
        number: which label of the sheet (material "labels").
        width: metres.
    """
    plate = shapes.box((width, width / 2, 0.020)).translate((0, 0, -0.007))
    across, down = LABELS
    corner = np.array([number % across / across, 1.0 - (number // across % down + 1) / down])
    front = plate.normals[:, 2] > 0.9
    at = plate.vertices[:, :2] / (width, width / 2) + 0.5
    uv = np.where(front[:, None], at, 0.01 * plate.uv + 0.02) * (1.0 / across, 1.0 / down)
    return replace(plate, uv=corner + uv, uv_unit=True)


def connectors(
    part: PartBuilder,
    place: Callable[[Shape], Shape],
    at: Sequence[tuple[float, float]],
    run: tuple[float, float],
    first: int = 0,
    radius: float = 0.019,
) -> None:
    """Round connectors in a row on a surface, each with its cable bent into it and a label.

    Args:
        part: that they belong to.
        place: puts a shape built facing +z around the origin where it belongs.
        at: (x, y) of each on the surface, metres.
        run: (x, y) from each connector to where its cable sinks into the surface.
        first: number of the first label.
        radius: of the shells, metres.
    """
    for k, (x, y) in enumerate(at):
        flange = shapes.box((2.6 * radius, 2.6 * radius, 0.014))
        shell = shapes.cylinder(radius, 0.044, 10)
        ring = shapes.cylinder(1.2 * radius, 0.016, 10)
        metal = shapes.join(flange.translate((0, 0, 0.003)), shell.translate((0, 0, 0.024)))
        part.add(place(metal.translate((x, y, 0))), "aluminium")
        part.add(place(ring.translate((x, y, 0.032))), "steel_dark")
        bend = [
            (x, y, 0.040),
            (x, y, 0.050),
            (x + 0.35 * run[0], y + 0.35 * run[1], 0.053),
            (x + 0.8 * run[0], y + 0.8 * run[1], 0.026),
            (x + run[0], y + run[1], -0.020),
        ]
        part.add(place(shapes.pipe(bend, 0.55 * radius, 6)), "harness")
        label = tag(first + k, 0.062).translate((x - 0.55 * run[1], y - 0.035 - radius, 0.0))
        part.add(place(label), "labels")
