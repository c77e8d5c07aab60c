"""Random spacecraft: a plausible satellite for every seed, from the shapes and materials here.

`design` decides forms, sizes and wings, `palette` the surfaces; the other modules build. Every
one of them draws from a stream of its own, so that a seed means the same craft everywhere.
"""

from __future__ import annotations

from typing import Any

from satgen.modelling.assembly import Assembly
from satgen.modelling.random.bus import add_bus, add_launch_ring, add_radiators
from satgen.modelling.random.craft import Craft
from satgen.modelling.random.design import Design, design
from satgen.modelling.random.fittings import (
    add_antennas,
    add_booms,
    add_details,
    add_propulsion,
    add_sensors,
)
from satgen.modelling.random.palette import palette
from satgen.modelling.random.payload import add_instruments, add_payload
from satgen.modelling.random.wings import add_wings

FRAME = (
    "Right-handed, metres, fixed to the bus. +z: along the bus toward the deck with the payload "
    "(the launch ring is at -z). +y: outward of a side of the bus, from which the first solar wing "
    "starts unless it starts from -y. +x: completes the frame. Origin: middle of the bus."
)


def assemble(seed: int) -> Assembly:
    """The craft of a seed, which no satellite that flies looks like."""
    plan, colours = design(seed), palette(seed)
    a = Assembly(
        f"random:{seed}",
        title=_title(plan),
        frame=FRAME,
        facts=_facts(plan),
        surfaces=colours.surfaces,
    )
    c = Craft(plan, colours, a)
    add_bus(c)
    add_wings(c)
    add_launch_ring(c)
    add_payload(c)
    add_propulsion(c)
    add_booms(c)
    add_antennas(c)
    add_instruments(c)
    add_sensors(c)
    add_radiators(c)
    add_details(c)
    return a


_FORMS = {
    "box": "box",
    "chamfered": "box with cut edges",
    "octagon": "octagonal prism",
    "hexagon": "hexagonal prism",
    "cylinder": "cylinder",
}


def _title(plan: Design) -> str:
    count = len(plan.wings)
    wings = f"{count} wing" + ("s" if count > 1 else "")
    return f"random craft {plan.seed}: {_FORMS[plan.form]}, {wings}, {plan.payload}"


def _facts(plan: Design) -> dict[str, dict[str, Any]]:
    source = "drawn from the seed"

    def fact(value: Any, unit: str = "") -> dict[str, Any]:
        return {"value": value, "unit": unit, "source": source}

    return {
        "seed": {**fact(plan.seed), "source": "the target's name"},
        "bus_form": fact(_FORMS[plan.form]),
        "bus_width": fact(plan.width, "m"),
        "bus_depth": fact(plan.depth, "m"),
        "bus_height": fact(plan.height, "m"),
        "wings": fact(len(plan.wings)),
        "wing_layout": fact(plan.layout),
        "payload": fact(plan.payload),
    }
