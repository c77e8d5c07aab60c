"""What is public about Cartosat-1, and what is assumed after its IRS heritage."""

from __future__ import annotations

from typing import Any

TITLE = "Cartography (stereo mapping satellite after Cartosat-1 / IRS-P5)"

FRAME = (
    "Right-handed, metres, fixed to the bus. +z: nadir, the Earth deck with both cameras. +x: "
    "direction of flight, to which the fore camera is tilted. +y: completes the frame, along the "
    "axis of the solar wings. Origin: geometric centre of the body between launch ring and hoods."
)

_WIKI = "Wikipedia, Cartosat-1"
_EOPORTAL = "eoPortal, IRS-P5 (Cartosat-1)"
_BODY = "'2.4 m x 2.7 m high'; measured across the blanketed bus, without what stands on it"

FACTS: dict[str, dict[str, Any]] = {
    "body_width": {
        "value": 2.4,
        "unit": "m",
        "source": _WIKI,
        "note": f"{_BODY}, along the direction of flight",
        "measure": "extent_x:bus_*",
    },
    "body_depth": {
        "value": 2.4,
        "unit": "m",
        "source": "assumption",
        "note": f"the second side is taken equal to the first: {_BODY}, along the wings' axis",
        "measure": "extent_y:bus_*",
    },
    "body_height": {
        "value": 2.7,
        "unit": "m",
        "source": _WIKI,
        "note": "launch ring to the rims of the hoods",
        "measure": "extent_z:launch_*,bus_*,hood_*",
    },
    "central_cylinder_diameter": {
        "value": 0.93,
        "unit": "m",
        "source": "euromap, IRS-1C heritage",
        "note": "930 mm in diameter; the launch ring continues it",
        "measure": "extent_x:launch_ring",
    },
    "camera_tilt_fore": {
        "value": 26.0,
        "unit": "deg",
        "source": _EOPORTAL,
        "note": "from nadir toward the direction of flight",
    },
    "camera_tilt_aft": {
        "value": -5.0,
        "unit": "deg",
        "source": _EOPORTAL,
        "note": "two cameras within one thermal cover with two hoods",
    },
    "solar_array_area": {
        "value": 15.1,
        "unit": "m2",
        "source": "assumption",
        "note": "two un-canted sun-tracking wings of three panels (after IRS-1C and RISAT-1), "
        "1.8 m x 1.4 m a panel; the real panels' size and count are not public here",
    },
    "mass": {
        "value": 1560,
        "unit": "kg",
        "source": _WIKI,
        "note": "at launch; not used by the model",
    },
    "solar_array_power": {
        "value": 1100,
        "unit": "W",
        "source": _WIKI,
        "note": "not used by the model",
    },
    "downlink": {
        "value": "spherical steerable phased array, X band",
        "unit": "",
        "source": "ESA, IRS-P5",
        "note": "its size is assumed",
    },
    "blankets": {
        "value": "gold and amber kapton with mirror radiators",
        "unit": "",
        "source": "assumption",
        "note": "colours and borders are assumed",
    },
    "orbit_altitude": {"value": 618, "unit": "km", "source": "Wikipedia, Cartosat-1"},
}
