"""A stereo mapping satellite after Cartosat-1: one cuboid bus, two tilted cameras, two wings.

Overall sizes are public figures (see `facts`); the arrangement follows pictures. `layout` holds
the dimensions that are shared.
"""

from __future__ import annotations

from satgen.modelling.assembly import Assembly
from satgen.modelling.cartography.bus import add_bus
from satgen.modelling.cartography.facts import FACTS, FRAME, TITLE
from satgen.modelling.cartography.fittings import add_fittings
from satgen.modelling.cartography.landmarks import add_landmarks
from satgen.modelling.cartography.payload import add_payload
from satgen.modelling.cartography.propulsion import add_propulsion
from satgen.modelling.cartography.wings import add_wings


def assemble() -> Assembly:
    """The satellite on orbit, wings deployed."""
    a = Assembly("cartography", title=TITLE, frame=FRAME, facts=FACTS)
    add_bus(a)
    add_propulsion(a)
    add_payload(a)
    add_wings(a)
    add_fittings(a)
    add_landmarks(a)
    return a
