"""Fill light and shadow resolution."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MEAN_EARTHSHINE = (0.085, 0.1, 0.12)
"""Mean radiance of the Earth's disc where nothing says more."""


@dataclass(frozen=True)
class Lighting:
    """What lights the target besides the direction of the sun.

    The sun's irradiance is π in the units used here, so that a white Lambertian surface that faces
    it has radiance 1.

    Attributes:
        earthshine: mean radiance of the Earth's disc, linear RGB; None has it computed for each
            view from the Earth's sunlit side.
        earth_limb_deg: angular radius of that disc in degrees (64.3 from 700 km); a dataset has
            that of its orbit, unless another is asked for.
        ambient: radiance of everything else.
        shadow_texel: size of a shadow map's texel, in pixels of the image at the target's
            distance.
    """

    earthshine: tuple[float, float, float] | None = None
    earth_limb_deg: float = 64.3
    ambient: float = 0.012
    shadow_texel: float = 0.9

    @property
    def fixed_earthshine(self) -> tuple[float, float, float]:
        """The earthshine of views that do not say."""
        return MEAN_EARTHSHINE if self.earthshine is None else self.earthshine

    def to_json(self) -> dict[str, Any]:
        """The `lighting` object of dataset.json, without the sun."""
        shine = None if self.earthshine is None else list(self.earthshine)
        return {**asdict(self), "earthshine": shine}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Lighting:
        """Inverse of `to_json`."""
        if data["earthshine"] is None:
            return cls(**data)
        red, green, blue = data["earthshine"]
        return cls(**{**data, "earthshine": (float(red), float(green), float(blue))})
