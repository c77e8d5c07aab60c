"""Fill light and shadow resolution."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Lighting:
    """What lights the target besides the direction of the sun.

    The sun's irradiance is π in the units used here, so that a white Lambertian surface that faces
    it has radiance 1.

    Attributes:
        earthshine: mean radiance of the Earth's disc, linear RGB, where a view does not say.
        earth_limb_deg: angular radius of that disc in degrees (64.3 from 700 km).
        ambient: radiance of everything else.
        shadow_texel: size of a shadow map's texel, in pixels of the image at the target's
            distance.
    """

    earthshine: tuple[float, float, float] = (0.085, 0.1, 0.12)
    earth_limb_deg: float = 64.3
    ambient: float = 0.012
    shadow_texel: float = 0.5

    def to_json(self) -> dict[str, Any]:
        """The `lighting` object of dataset.json, without the sun."""
        return {**asdict(self), "earthshine": list(self.earthshine)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Lighting:
        """Inverse of `to_json`."""
        red, green, blue = data["earthshine"]
        return cls(**{**data, "earthshine": (float(red), float(green), float(blue))})
