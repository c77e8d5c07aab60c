"""WorldView-2: Ball's BCP-5000 bus with the WV-110 telescope and two solar wings.

Overall sizes are public figures (see `facts`); the arrangement follows pictures. `layout` holds
the dimensions that are shared.
"""

from __future__ import annotations

from satgen.modelling.assembly import Assembly
from satgen.modelling.worldview.bus import add_bus
from satgen.modelling.worldview.facts import FACTS, FRAME, TITLE
from satgen.modelling.worldview.fittings import add_fittings
from satgen.modelling.worldview.landmarks import add_landmarks
from satgen.modelling.worldview.propulsion import add_propulsion
from satgen.modelling.worldview.telescope import add_telescope
from satgen.modelling.worldview.wings import add_wings


def assemble() -> Assembly:
    """WorldView-2 with its wings deployed and its aperture open."""
    a = Assembly("worldview", title=TITLE, frame=FRAME, facts=FACTS)
    add_bus(a)
    add_propulsion(a)
    add_telescope(a)
    add_wings(a)
    add_fittings(a)
    add_landmarks(a)
    return a
