"""NASA's Aura (EOS common bus T330/AB1200): bus, MLS, HIRDLS, TES, OMI and the one long wing.

Sizes are public figures where there are any (see FACTS); where there are none, proportions follow
photographs and drawings of the spacecraft. `layout` holds the dimensions that are shared.
"""

from __future__ import annotations

from satgen.modelling.assembly import Assembly
from satgen.modelling.aura.bus import add_bus
from satgen.modelling.aura.facts import FACTS, FRAME, TITLE
from satgen.modelling.aura.fittings import add_fittings
from satgen.modelling.aura.landmarks import add_landmarks
from satgen.modelling.aura.mls import add_mls
from satgen.modelling.aura.nadir import add_nadir_instruments
from satgen.modelling.aura.wing import add_wing


def assemble() -> Assembly:
    """Aura with its wing deployed."""
    a = Assembly("aura", title=TITLE, frame=FRAME, facts=FACTS)
    add_bus(a)
    add_mls(a)
    add_nadir_instruments(a)
    add_wing(a)
    add_fittings(a)
    add_landmarks(a)
    return a
