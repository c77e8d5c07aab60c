"""The request for a dataset, as a user makes it: every default of a render, once."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields

from satgen.camera import MAX_SIDE, Camera
from satgen.errors import InputError
from satgen.sensor import SensorConfig, sensor_preset
from satgen.settings import check, numbers, option_name, setting
from satgen.trajectory.config import DEFAULT_START, DEFAULT_STOP, INDEX_MAX, INDEX_MIN


def _intrinsics(text: str) -> tuple[float, ...]:
    """FX,FY,CX,CY as four numbers."""
    found = numbers(text)
    if len(found) != 4:
        raise InputError("must be four numbers FX,FY,CX,CY in pixels")
    return found


@dataclass(frozen=True)
class RenderOptions:
    """A request for a dataset, as the command line takes it. Defaults live here and only here.

    Attributes:
        target: a bundled target's name or the path of a model file.
        scale, up: metres per unit and upward axis of a model file.
        trajectory: spiral, grid, orbit, tumble, or file:PATH.
        start, stop, step: observation indices, `stop` included.
        distance: camera to aim point, metres; None frames the bounding sphere.
        roll: turn about the optical axis, degrees.
        size: side of a square image, pixels; width and height override it.
        fov: vertical field of view, degrees.
        intrinsics: (fx, fy, cx, cy) in pixels instead of the field of view.
        sun: see `satgen.sun`.
        sensor: name of a preset; exposure, mono and bit_depth override it.
        seed: of the sensor's noise.
    """

    target: str = setting("aura", "aura, worldview, cartography, all, or the path of a model file")
    scale: float = setting(1.0, "Metres per unit of a model file")
    up: str = setting("z", "Axis of a model file that points up: x, y, z, -x, -y or -z")
    trajectory: str = setting("spiral", "spiral, grid, orbit, tumble or file:PATH (CSV or parquet)")
    start: int = setting(DEFAULT_START, "First observation index", low=INDEX_MIN, high=INDEX_MAX)
    stop: int = setting(
        DEFAULT_STOP, "Last observation index, included", low=INDEX_MIN, high=INDEX_MAX
    )
    step: int = setting(1, "Render every so many indices", low=1)
    distance: float | None = setting(
        None,
        "Camera to target",
        unit="metres",
        above=0.0,
        shown="the target fills 90% of the frame",
    )
    roll: float = setting(0.0, "Turn of the camera about its optical axis", unit="degrees")
    size: int = setting(512, "Side of a square image", unit="pixels", low=1, high=MAX_SIDE)
    width: int | None = setting(None, "Image width", unit="pixels", low=1, high=MAX_SIDE)
    height: int | None = setting(None, "Image height", unit="pixels", low=1, high=MAX_SIDE)
    fov: float = setting(20.0, "Vertical field of view", unit="degrees", above=0.0, below=179.0)
    intrinsics: tuple[float, float, float, float] | None = setting(
        None,
        "Focal lengths and principal point in pixels",
        metavar="FX,FY,CX,CY",
        parse=_intrinsics,
    )
    sun: str = setting("phase:35", "phase:PHASE[,CLOCK], body:AZ,EL or inertial:AZ,EL, degrees")
    sensor: str = setting("ideal", "ideal or navcam (mono, blurred, noisy)")
    exposure: float | None = setting(
        None,
        "Radiance to full scale; white paper in the sun is 1",
        above=0.0,
        shown="the sensor's",
    )
    mono: bool | None = setting(
        None,
        "One channel of luminance, or three",
        name="mono/rgb",
        shown="the sensor's",
    )
    bit_depth: int | None = setting(
        None, "Bits a channel, 8 or 16", choices=(8, 16), shown="the sensor's"
    )
    seed: int = setting(0, "Seed of the sensor's noise", low=0)

    def __post_init__(self) -> None:
        check(self)
        if self.stop < self.start:
            raise InputError(f"stop {self.stop}: must not be less than start {self.start}")
        if self.seed >= 2**63:
            raise InputError(f"seed {self.seed}: must be below 2**63")

    def camera(self) -> Camera:
        """The camera asked for; InputError where the numbers describe none."""
        width = self.size if self.width is None else self.width
        height = self.size if self.height is None else self.height
        if self.intrinsics is None:
            return Camera.from_fov(width, height, self.fov)
        return Camera(width, height, *self.intrinsics)

    def sensor_config(self) -> SensorConfig:
        """The sensor asked for; InputError where the numbers describe none."""
        changes = {"exposure": self.exposure, "mono": self.mono, "bit_depth": self.bit_depth}
        return sensor_preset(self.sensor, **{k: v for k, v in changes.items() if v is not None})

    def command(self) -> str:
        """The command line that asks for this, without what has no influence on the result."""
        words = ["satgen", "render", "--target", self.target]
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "target" or value == item.default:
                continue
            name = option_name(item)
            if isinstance(value, bool):
                on, _, off = name.partition("/")
                words.append(f"--{on if value else off}")
                continue
            text = ",".join(map(repr, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{name}", text]
        return shlex.join(words)
