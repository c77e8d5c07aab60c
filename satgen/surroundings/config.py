"""The orbit that the Earth is seen from, and what the camera sees behind the target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from satgen.errors import InputError

BACKGROUNDS = ("black", "earth", "stars")

EARTH_RADIUS_KM = 6378.137
"""The Earth is a sphere of its equator's radius (WGS 84)."""

EARTH_GM = 398600.4418
"""Of the Earth, km³/s² (WGS 84)."""

EARTH_TURN = 7.292115e-5
"""Rate of the Earth's rotation, rad/s."""

DEFAULT_ALTITUDE_KM = 700.0

LOWEST_KM, HIGHEST_KM = 150.0, 100_000.0


@dataclass(frozen=True)
class Surroundings:
    """Where the target is, and what is drawn behind it.

    Attributes:
        background: one of `BACKGROUNDS`. `earth` is the Earth and the stars beside it, `stars` the
            stars all around, without the Earth.
        altitude_km: of the circular orbit.
        inclination_deg: of the orbit to the equator.
        node_deg: right ascension of its ascending node.
        longitude_deg: of the ascending node on the ground at index 1, where the target then is.
        eclipse: whether the Earth takes the sun's light away.
        seed: of the clouds.

    Raises:
        InputError: a number that makes no sense.
    """

    background: str = BACKGROUNDS[0]
    altitude_km: float = DEFAULT_ALTITUDE_KM
    inclination_deg: float = 98.2
    node_deg: float = 60.0
    longitude_deg: float = 25.0
    eclipse: bool = False

    def __post_init__(self) -> None:
        if self.background not in BACKGROUNDS:
            raise InputError(f"background {self.background}: must be {', '.join(BACKGROUNDS)}")
        if not LOWEST_KM <= self.altitude_km <= HIGHEST_KM:
            raise InputError(
                f"altitude {self.altitude_km:g}: must be between {LOWEST_KM:g} and {HIGHEST_KM:g} "
                "kilometres"
            )
        for name in ("inclination_deg", "node_deg", "longitude_deg"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"{name} {getattr(self, name)}: must be a finite number")

    @property
    def radius(self) -> float:
        """Distance from the Earth's centre, in Earth radii."""
        return 1.0 + self.altitude_km / EARTH_RADIUS_KM

    @property
    def limb_deg(self) -> float:
        """Angular radius of the Earth's disc, degrees."""
        return math.degrees(math.asin(1.0 / self.radius))

    @property
    def period_s(self) -> float:
        """Kepler's period of the orbit, seconds."""
        return 2.0 * math.pi * math.sqrt((self.radius * EARTH_RADIUS_KM) ** 3 / EARTH_GM)

    def to_json(self) -> dict[str, Any]:
        """The `surroundings` object of dataset.json, but for the background."""
        data = asdict(self)
        del data["background"]
        return data

    @classmethod
    def from_json(cls, background: str, data: Mapping[str, Any]) -> Surroundings:
        """Inverse of `to_json`; datasets before version 3 have neither."""
        return cls(background, **data)


def sun_synchronous_deg(altitude_km: float) -> float:
    """Inclination at which a circular orbit's node keeps step with the sun; 98.2 beyond reach."""
    cosine = -(((EARTH_RADIUS_KM + altitude_km) / 12352.0) ** 3.5)
    return math.degrees(math.acos(cosine)) if cosine > -1.0 else 98.2


def altitude_of_period(period_s: float) -> float:
    """Altitude in km of a circular orbit with a given period in seconds."""
    return float((EARTH_GM * (period_s / (2.0 * math.pi)) ** 2) ** (1.0 / 3.0) - EARTH_RADIUS_KM)
