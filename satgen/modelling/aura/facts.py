"""The public figures that Aura's card cites, and what its axes mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from satgen.modelling.aura.layout import MLS_LOOK_DEG, PANEL_THICKNESS, PANELS

TITLE = "Aura (EOS CH-1), NASA"
FRAME = (
    "+x along the velocity (the face that carries MLS), +z to nadir (the deck that carries HIRDLS, "
    "TES and OMI), +y completes a right-handed set: the side away from the Sun in Aura's afternoon "
    "orbit. The array's wing leaves the bus on -y. Origin at the centre of the bus's box."
)
_NASA = "nasa.gov/mission_pages/aura/spacecraft/spacecraft_details.html"
_GSFC = "aura.gsfc.nasa.gov"
_JPL = "mls.jpl.nasa.gov/eos/instrument.php"
_LOOK = math.radians(MLS_LOOK_DEG)
_FOLD_GAP = 0.011
_FOLDED = PANELS * (PANEL_THICKNESS + _FOLD_GAP)
_EOPORTAL = "eoPortal, satellite missions, Aura"

FACTS: Mapping[str, Mapping[str, Any]] = {
    "deployed_length": {"value": 6.91, "unit": "m", "source": _NASA, "measure": "extent_x"},
    "deployed_width": {"value": 17.37, "unit": "m", "source": _NASA, "measure": "extent_y"},
    "deployed_height": {"value": 4.70, "unit": "m", "source": _NASA, "measure": "extent_z"},
    "stowed_height": {
        "value": 2.70,
        "unit": "m",
        "source": _NASA,
        "note": "bus with its nadir instruments, without the wing and antennas",
        "measure": "extent_z:bus_*,zenith_blanket_*,nadir_*,hirdls_*,tes_*",
    },
    "stowed_width": {
        "value": 2.28,
        "unit": "m",
        "source": _NASA,
        "note": f"bus and radiators, and beside them {PANELS} folded panels with "
        f"{_FOLD_GAP * 1e3:.0f} mm between them: the model shows the array deployed",
        "measure": f"extent_y:bus_*,radiator_*,zenith_blanket_*,nadir_* plus {_FOLDED:.3f}",
    },
    "mls_primary_width": {
        "value": 0.80,
        "unit": "m",
        "source": _JPL,
        "note": "0.8 m x 1.6 m offset primary mirror",
        "measure": "extent_y:mls_primary_reflector",
    },
    "mls_primary_length": {
        "value": 1.60,
        "unit": "m",
        "source": _JPL,
        "note": "the aperture's long side, square to the line of sight; along its own offset "
        "surface the model's mirror measures 1.84 m",
        "measure": f"extent_({math.sin(_LOOK):.6f},0,{-math.cos(_LOOK):.6f}):mls_primary_reflector",
    },
    "tes_width_stowed": {
        "value": 1.40,
        "unit": "m",
        "source": f"{_GSFC}, TES parameters (140 x 130 x 135 cm)",
        "measure": "extent_y:tes_main_body",
    },
    "tes_length": {
        "value": 1.35,
        "unit": "m",
        "source": f"{_GSFC}, TES parameters",
        "measure": "extent_x:tes_main_body",
    },
    "tes_height": {
        "value": 1.30,
        "unit": "m",
        "source": f"{_GSFC}, TES parameters",
        "measure": "extent_z:tes_*",
    },
    "tes_width_deployed": {
        "value": 3.04,
        "unit": "m",
        "source": f"{_GSFC}, TES parameters (304 x 130 x 135 cm deployed)",
        "note": "taken to be the Earth shade, open across the flight path; which way is not stated",
        "measure": "extent_y:tes_*",
    },
    "wing_length": {
        "value": 15.0,
        "unit": "m",
        "source": "Wikipedia, Aura (satellite): about 15 m",
        "measure": "extent_y:array_*",
    },
    "appearance": {
        "value": "gold blankets, white instruments, bare ribbed MLS reflector, triangular yoke",
        "unit": "",
        "source": "NASA's illustrations of Aura and NASA 3D Resources, Aura",
        "note": "a reading of pictures, not measured from them; that HIRDLS wears Kapton is on "
        "record, as a piece of it blocks the aperture (aura.gsfc.nasa.gov, HIRDLS)",
    },
    "launch_mass": {"value": 2967, "unit": "kg", "source": _NASA},
    "power_end_of_life": {
        "value": 4600,
        "unit": "W",
        "source": _NASA,
        "note": f"one flat wing of over 20,000 silicon cells ({_GSFC})",
    },
    "deployed_width_alternative": {
        "value": 17.03,
        "unit": "m",
        "source": _EOPORTAL,
        "note": "eoPortal gives 4.71 m x 17.03 m x 6.85 m deployed",
    },
    "orbit_altitude": {"value": 705, "unit": "km", "source": _NASA},
}
