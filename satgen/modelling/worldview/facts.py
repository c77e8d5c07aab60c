"""What is public about WorldView-2, and what is taken from its sisters."""

from __future__ import annotations

from typing import Any

TITLE = "WorldView-2 (Ball BCP-5000 bus, WV-110 camera)"

FRAME = (
    "Right-handed, metres, fixed to the bus. +z: along the telescope's boresight (the aperture is "
    "at +z; on orbit it looks at the Earth). +y: along the axis of the solar wings. +x: completes "
    "the frame, the side with the mirror-tile radiators. Origin: geometric centre of the body, "
    "midway between launch adapter and aperture rim on the telescope's axis."
)

_SHEET = "DigitalGlobe, WorldView-2 data sheet"
_WV3 = "German Wikipedia, WorldView-3"
_EOPORTAL = "eoPortal, WorldView-2"
_OWN = (
    "WorldView-2's own figure, quoted from memory of the sheet; the sister WorldView-3 is given "
    "the same (German Wikipedia)"
)

FACTS: dict[str, dict[str, Any]] = {
    "height": {
        "value": 5.7,
        "unit": "m",
        "source": _SHEET,
        "note": _OWN,
        "measure": "extent_z",
    },
    "width": {
        "value": 2.5,
        "unit": "m",
        "source": _SHEET,
        "note": _OWN,
        "measure": "extent_x",
    },
    "depth": {
        "value": 2.5,
        "unit": "m",
        "source": _WV3,
        "note": "taken from the sister WorldView-3 (2.5 m x 2.5 m x 5.7 m, based on WorldView-2); "
        "measured without the wings and what carries them",
        "measure": "extent_y:bus_*,radiator_*,downlink_*,gyroscope_*,star_tracker_*,*_box*,gps_*",
    },
    "deployed_span": {
        "value": 7.1,
        "unit": "m",
        "source": _SHEET,
        "note": _OWN,
        "measure": "extent_y",
    },
    "primary_mirror_diameter": {
        "value": 1.1,
        "unit": "m",
        "source": _EOPORTAL,
        "note": "aperture of the WV-110 camera",
        "measure": "extent_x:primary_mirror",
    },
    "mass": {
        "value": 2800,
        "unit": "kg",
        "source": _WV3,
        "note": "taken from the sister WorldView-3; not used by the model",
    },
    "solar_array_power": {
        "value": 3.2,
        "unit": "kW",
        "source": _SHEET,
        "note": "WorldView-2's own figure, quoted from memory of the sheet; the model's 8.2 m2 of "
        "cells give it at 28 % before losses",
    },
    "bus": {
        "value": "BCP-5000",
        "unit": "",
        "source": _EOPORTAL,
        "note": "the same bus as WorldView-1's, with a larger camera on vibration isolators; "
        "control moment gyroscopes, star trackers, GPS",
    },
    "bus_height": {
        "value": 1.82,
        "unit": "m",
        "source": "estimate",
        "note": "not published; from the proportions of pictures and the sister WorldView-1, which "
        "carries a smaller camera on the same bus and is 3.6 m tall",
    },
    "arrangement": {
        "value": "after pictures",
        "unit": "",
        "source": "artist's views and clean-room photographs of WorldView-1, -2 and -3",
        "note": "number and direction of the solar panels, colours of the blankets and places of "
        "antennas, sensors, radiators and thrusters are not published: three panels a wing, cells "
        "away from the aperture, are a reading of such pictures",
    },
    "orbit_altitude": {
        "value": 770,
        "unit": "km",
        "source": "eoPortal, satellite missions, WorldView-2",
    },
}
