"""The request for a dataset, as a user makes it: every default of a render, once.

Scene, camera and sensor may be asked for in the command line's words or as objects:
`RenderOptions(trajectory="tumble", sun="phase:60")` and
`RenderOptions(trajectory=Tumble(rates_deg_s=(0.0, 3.0, 0.1)), sun=SunConfig("body", (0.0, 20.0)))`.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from satgen.camera import MAX_SIDE, Camera
from satgen.errors import InputError
from satgen.light import PRESETS as LIGHTS
from satgen.light import Metering
from satgen.rendering import RENDERERS
from satgen.rendering.lighting import Lighting
from satgen.rig import Rig
from satgen.sensor import (
    BIT_DEPTHS,
    CURVES,
    PRESETS,
    SensorConfig,
    read_sensor,
    sensor_preset,
    with_changes,
)
from satgen.settings import SEEDS, check, numbers, option_words, setting
from satgen.sun import SunConfig, check_sun, parse_sun
from satgen.surroundings.config import BACKGROUNDS, HIGHEST_KM, LOWEST_KM
from satgen.trajectory import (
    DEFAULT_START,
    DEFAULT_STOP,
    INDEX_MAX,
    INDEX_MIN,
    Motion,
    Roll,
    motion_of,
    parse_roll,
)
from satgen.trajectory.mount import Mount, mount_of


def _intrinsics(text: str) -> tuple[float, ...]:
    """FX,FY,CX,CY as four numbers."""
    found = numbers(text)
    if len(found) != 4:
        raise InputError("must be four numbers FX,FY,CX,CY in pixels")
    return found


def _distortion(text: str) -> tuple[float, ...]:
    """K1,K2,P1,P2,K3 as five numbers; K3 may be left out."""
    found = numbers(text)
    if len(found) not in (4, 5):
        raise InputError("must be five numbers K1,K2,P1,P2,K3")
    return (*found, 0.0)[:5]


def _aim(text: str) -> str | tuple[float, ...]:
    """A point X,Y,Z, or a name as it is."""
    try:
        found = numbers(text)
    except InputError:
        return text
    if len(found) != 3:
        raise InputError("must be a landmark, a part, or X,Y,Z in metres")
    return found


_OFFSET = "must be two of pixels or percent, U,V, such as 128,300 or 25%,60%"


def _place(text: str, sides: tuple[int, int]) -> tuple[float, float]:
    """A pixel (u, v) from pixels, or shares of an image of (W, H) in percent."""
    words = [word.strip() for word in text.split(",")]
    if len(words) != 2:
        raise InputError(f"offset {text}: {_OFFSET}")
    found = []
    for word, side in zip(words, sides, strict=True):
        try:
            number = float(word.removesuffix("%"))
        except ValueError:
            number = math.nan
        pixel = number / 100.0 * side - 0.5 if word.endswith("%") else number
        if not -0.5 <= pixel <= side - 0.5:
            raise InputError(f"offset {text}: {_OFFSET}, within the image")
        found.append(pixel)
    return found[0], found[1]


def _roll(text: str) -> Roll | float:
    """A roll; one that stays the same as its degrees."""
    roll = parse_roll(text)
    return roll.offset_deg if roll.still else roll


@dataclass(frozen=True)
class RenderOptions:
    """A request for a dataset. Defaults live here and only here.

    Attributes:
        target: a bundled target's name or the path of a model file.
        scale, up: metres per unit and upward axis of a model file.
        parts: what makes a part of a model file: file, material or connected.
        trajectory: spiral, grid, orbit, tumble, or file:PATH; or a `Motion` with its parameters.
        start, stop, step: observation indices, `stop` included.
        distance: camera to aim point, metres; None frames the bounding sphere.
        roll: turn about the optical axis: degrees, a `Roll`, or what the command line takes.
        aim: what the camera looks at: a landmark's or part's name, or (x, y, z), target frame,
            metres; None is the centre of the bounding sphere.
        offset: pixel of the image where that is: (u, v), or "U,V" in pixels or percent of the
            image; the camera turns so. None is on the optical axis.
        size: side of a square image, pixels; width and height override it.
        fov: vertical field of view, degrees.
        intrinsics: (fx, fy, cx, cy) in pixels instead of the field of view.
        sun: see `satgen.sun`.
        light: a preset of varied light (`satgen.light`) in place of sun and exposure.
        distortion: the lens's (k1, k2, p1, p2, k3), as OpenCV has them.
        sensor: name of a preset, a JSON file of its fields, or a sensor; exposure, mono,
            bit_depth, curve, exposure_time (seconds) and f_number override its own.
        shadow: write an image of what is in shadow, and why, beside each frame's others.
        normals, flow: write images of these beside each frame's others: see `satgen.truth_images`.
        seed: of the sensor's noise and the clouds.
        background: what is behind the target: see `satgen.surroundings`.
        altitude: of the orbit, km; None is that of trajectory orbit's period, or the target's own.
        eclipse: let the Earth's shadow fall on the target, under trajectory orbit with an inertial
            sun.
        camera: in place of size, width, height, fov, intrinsics and distortion.
        lighting: what lights the target besides the sun.
        mount: 4 x 4 T_cam_rig of a camera of a rig: see `satgen.trajectory.mount`.
        rig: the rig that this is a camera of: see `satgen.rig`.
        renderer: satgen, or pyrender for a plain, slow, outside look at the same scene.

    Raises:
        InputError: a number out of range, a text that says nothing, or values that do not go
            together.
    """

    target: str | Path = setting(
        "aura",
        "aura, worldview, cartography, all, random:SEED, random:FIRST-LAST, or the path of a model "
        "file",
    )
    scale: float = setting(1.0, "Metres per unit of a model file", low=1e-6, high=1e6)
    up: str | None = setting(
        None,
        "Axis of a model file that points up: x, y, z, -x, -y or -z",
        shown="y for glTF, else z",
    )
    parts: str = setting(
        "file",
        "What makes a part of a model file: file (its nodes, objects or groups), material or "
        "connected",
    )
    trajectory: Motion | str = setting(
        "spiral", "spiral, grid, orbit, tumble or file:PATH (CSV or parquet)"
    )
    start: int = setting(DEFAULT_START, "First observation index", low=INDEX_MIN, high=INDEX_MAX)
    stop: int = setting(
        DEFAULT_STOP, "Last observation index, included", low=INDEX_MIN, high=INDEX_MAX
    )
    step: int = setting(1, "Render every so many indices", low=1, high=INDEX_MAX)
    distance: float | None = setting(
        None,
        "Camera to target",
        unit="metres",
        low=1e-3,
        high=1e7,
        shown="the target fills 90% of the frame",
    )
    roll: Roll | float | str = setting(
        0.0,
        "Turn of the camera about its optical axis: degrees, rate:DEGREES_PER_INDEX, or a smooth "
        "random[:SEED]",
        parse=_roll,
        metavar="ROLL",
    )
    aim: str | tuple[float, float, float] | None = setting(
        None,
        "What the camera looks at: a landmark, a part, or a point of the target's frame in metres",
        metavar="NAME|X,Y,Z",
        parse=_aim,
        low=-1e6,
        high=1e6,
        shown="the centre of the bounding sphere",
    )
    offset: str | tuple[float, float] | None = setting(
        None,
        "Where in the image that is, in pixels or percent; the camera turns so",
        metavar="U,V",
        parse=str,
        shown="on the optical axis",
    )
    size: int = setting(512, "Side of a square image", unit="pixels", low=1, high=MAX_SIDE)
    width: int | None = setting(None, "Image width", unit="pixels", low=1, high=MAX_SIDE)
    height: int | None = setting(None, "Image height", unit="pixels", low=1, high=MAX_SIDE)
    fov: float = setting(20.0, "Vertical field of view", unit="degrees", low=1e-3, below=179.0)
    intrinsics: tuple[float, float, float, float] | None = setting(
        None,
        "Focal lengths and principal point in pixels",
        metavar="FX,FY,CX,CY",
        parse=_intrinsics,
        low=-1e7,
        high=1e7,
    )
    distortion: tuple[float, float, float, float, float] | None = setting(
        None,
        "Distortion of the lens, OpenCV's coefficients",
        metavar="K1,K2,P1,P2,K3",
        parse=_distortion,
        low=-1e3,
        high=1e3,
    )
    sun: SunConfig | str = setting(
        "phase:35",
        "phase:PHASE[,CLOCK], sweep:FROM,TO[,CLOCK], random:LOW,HIGH[,SEED], body:AZ,EL or "
        "inertial:AZ,EL, degrees",
    )
    light: str | None = setting(
        None,
        "benign, varied or harsh: a sun for each block of 120 indices and a metered exposure",
        choices=tuple(LIGHTS),
        shown="the sun and the exposure asked for",
    )
    sensor: SensorConfig | str = setting(
        "ideal", "ideal, navcam (mono, blurred, noisy), imx174, cmv4000, or a JSON file of fields"
    )
    exposure: float | None = setting(
        None,
        "Radiance to full scale; white paper in the sun is 1",
        low=1e-9,
        high=1e9,
        shown="the sensor's",
    )
    mono: bool | None = setting(
        None,
        "One channel of luminance, or three",
        name="mono/rgb",
        shown="the sensor's",
    )
    bit_depth: int | None = setting(
        None, "Bits a channel, 8, 10, 12 or 16", choices=BIT_DEPTHS, shown="the sensor's"
    )
    curve: str | None = setting(
        None, "Encoding of the counts, srgb or linear", choices=CURVES, shown="the sensor's"
    )
    exposure_time: float | None = setting(
        None,
        "Time that the shutter is open: dark current, motion blur, and the exposure where the "
        "sensor knows its aperture",
        unit="seconds",
        low=0.0,
        high=3600.0,
        shown="the sensor's",
    )
    f_number: float | None = setting(
        None,
        "Focal length over aperture, for a sensor that knows its pixels",
        low=0.1,
        high=1000.0,
        shown="the sensor's",
    )
    background: str = setting(
        BACKGROUNDS[0], "What is behind the target: black, earth or stars", choices=BACKGROUNDS
    )
    altitude: float | None = setting(
        None,
        "Altitude of the orbit",
        unit="kilometres",
        low=LOWEST_KM,
        high=HIGHEST_KM,
        shown="that of trajectory orbit's period, or the target's own",
    )
    eclipse: bool = setting(
        True, "The Earth's shadow falls on the target, of trajectory orbit with an inertial sun"
    )
    shadow: bool = setting(
        False, "Write shadow/: lit, turned away from the sun, or in a shadow that is cast"
    )
    normals: bool = setting(False, "Write normals/: the surface's normal at each pixel")
    flow: bool = setting(
        False, "Write flow_forward/ and flow_backward/: optical flow to the next index and back"
    )
    seed: int = setting(0, "Seed of the sensor's noise and of the clouds", low=0, below=SEEDS)
    renderer: str = setting(
        RENDERERS[0],
        "satgen, or pyrender: a plain, slow, outside look at the same scene",
        choices=RENDERERS,
    )
    camera: Camera | None = None
    lighting: Lighting = field(default_factory=Lighting)
    mount: Mount | None = None
    rig: Rig | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.target, str):
            object.__setattr__(self, "target", str(self.target))
        check(self)
        if self.stop < self.start:
            raise InputError(f"stop {self.stop}: must not be less than start {self.start}")
        if self.camera is not None:
            for item in fields(self):
                if item.name in _CAMERA and getattr(self, item.name) != item.default:
                    raise InputError(f"camera and {item.name}: give one of them, not both")
        if self.renderer == "pyrender" and self.view.distorted:
            raise InputError("renderer pyrender: draws pinhole cameras, without distortion")
        if self.renderer == "pyrender" and self.background != BACKGROUNDS[0]:
            raise InputError(
                f"background {self.background}: the renderer pyrender draws none, only satgen does"
            )
        if self.light is not None:
            for item in fields(self):
                if item.name in ("sun", "exposure") and getattr(self, item.name) != item.default:
                    raise InputError(f"light and {item.name}: give one of them, not both")
        for name in ("shadow", "normals", "flow"):
            if self.renderer == "pyrender" and getattr(self, name):
                raise InputError(f"{name}: the renderer pyrender writes no {name} images")
        opened = self.sensor_config.exposure_time_s
        if self.renderer == "pyrender" and opened > 0.0:
            raise InputError(
                f"exposure_time {opened:g}: the renderer pyrender draws no motion blur, must be 0"
            )
        check_sun(self.sun_config, self.motion)
        _ = self.view, self.sensor_config, self.camera_roll, self.offset_pixel
        if self.mount is not None:
            object.__setattr__(self, "mount", mount_of(self.mount))
            if self.offset is not None:
                raise InputError("mount and offset: give one of them, not both")

    @cached_property
    def view(self) -> Camera:
        """The camera asked for."""
        if self.camera is not None:
            return self.camera
        width = self.size if self.width is None else self.width
        height = self.size if self.height is None else self.height
        if self.intrinsics is None:
            camera = Camera.from_fov(width, height, self.fov)
        else:
            camera = Camera(width, height, *self.intrinsics)
        return camera if self.distortion is None else replace(camera, distortion=self.distortion)

    @cached_property
    def sensor_config(self) -> SensorConfig:
        """The sensor asked for."""
        changes = {
            "exposure": self.exposure,
            "mono": self.mono,
            "bit_depth": self.bit_depth,
            "curve": self.curve,
            "exposure_time_s": self.exposure_time,
            "f_number": self.f_number,
        }
        given: dict[str, Any] = {n: value for n, value in changes.items() if value is not None}
        if not isinstance(self.sensor, str):
            return with_changes(self.sensor, given)
        if self.sensor.endswith(".json"):
            return with_changes(read_sensor(Path(self.sensor)), given)
        return sensor_preset(self.sensor, **given)

    @cached_property
    def sun_config(self) -> SunConfig:
        """The sun asked for."""
        if self.light is not None:
            return LIGHTS[self.light].sun(self.seed)
        return parse_sun(self.sun) if isinstance(self.sun, str) else self.sun

    @property
    def metering(self) -> Metering | None:
        """How the exposure is found; None where it is the sensor's."""
        return None if self.light is None else LIGHTS[self.light].metering

    @cached_property
    def motion(self) -> Motion:
        """The motion asked for."""
        return motion_of(self.trajectory) if isinstance(self.trajectory, str) else self.trajectory

    @cached_property
    def offset_pixel(self) -> tuple[float, float] | None:
        """The pixel that the aim is to be seen at; None is the optical axis."""
        if self.offset is None:
            return None
        text = self.offset if isinstance(self.offset, str) else ",".join(map(repr, self.offset))
        return _place(text, (self.view.width, self.view.height))

    @cached_property
    def camera_roll(self) -> Roll:
        """The roll asked for."""
        if isinstance(self.roll, str):
            return parse_roll(self.roll)
        return self.roll if isinstance(self.roll, Roll) else Roll(self.roll)

    @cached_property
    def command(self) -> str | None:
        """The command line that asks for this; None if there is none.

        What has no influence on the result is left out.
        """
        words: list[str] = []
        plain = RenderOptions()
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "target" and value == getattr(plain, item.name):
                continue
            asked = _WORDS[item.name](value) if item.name in _WORDS else option_words(item, value)
            if asked is None:
                return None
            words += asked
        return shlex.join(["satgen", "render", *words])


_CAMERA = ("size", "width", "height", "fov", "intrinsics", "distortion")


def _sun_words(sun: SunConfig | str) -> list[str]:
    return ["--sun", sun if isinstance(sun, str) else sun.spec]


def _motion_words(motion: Motion | str) -> list[str] | None:
    return ["--trajectory", motion] if isinstance(motion, str) else motion.words()


def _roll_words(roll: Roll | float | str) -> list[str] | None:
    spec = roll.spec if isinstance(roll, Roll) else str(roll)
    return None if spec is None else ["--roll", spec]


def _sensor_words(sensor: SensorConfig | str) -> list[str] | None:
    if isinstance(sensor, str):
        return ["--sensor", sensor]
    known = sensor == PRESETS.get(sensor.preset)
    return ["--sensor", sensor.preset] if known else None


def _camera_words(camera: Camera) -> list[str]:
    inner = ",".join(map(repr, (camera.fx, camera.fy, camera.cx, camera.cy)))
    size = ["--width", str(camera.width), "--height", str(camera.height)]
    bent = ["--distortion", ",".join(map(repr, camera.distortion))] if camera.distorted else []
    return [*size, "--intrinsics", inner, *bent]


_WORDS: dict[str, Callable[[Any], list[str] | None]] = {
    "trajectory": _motion_words,
    "roll": _roll_words,
    "sun": _sun_words,
    "sensor": _sensor_words,
    "camera": _camera_words,
    "lighting": lambda lighting: None,
    "mount": lambda mount: None,
    "rig": lambda rig: None,
}
"""How the command line asks for what may be an object."""
