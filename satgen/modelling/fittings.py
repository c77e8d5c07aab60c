"""Fittings that several satellites have."""

from __future__ import annotations

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly

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
