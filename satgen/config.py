"""What is rendered, in full: the configuration that a request comes to.

`resolve` turns a request (`satgen.options`), together with the target's model, into a
`RenderConfig`, in which nothing is left open; two configurations that are equal give the same
bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.dataset import IMAGES, OPTIONAL_IMAGES, SHADOW_LABELS
from satgen.errors import InputError
from satgen.interreflection import light_path
from satgen.light import PRESETS as LIGHTS
from satgen.light import Metering
from satgen.model import TargetModel, label_bits
from satgen.options import RenderOptions
from satgen.rendering import RENDERERS
from satgen.rendering.lighting import Lighting
from satgen.rig import Rig
from satgen.runfolder import file_sha256
from satgen.sensor import SensorConfig
from satgen.sun import SunConfig, sun_in_camera
from satgen.surroundings.config import (
    DEFAULT_ALTITUDE_KM,
    HIGHEST_KM,
    LOWEST_KM,
    Surroundings,
    altitude_of_period,
    sun_synchronous_deg,
)
from satgen.surroundings.place import Place, places
from satgen.targets import registry
from satgen.trajectory import (
    Motion,
    Observations,
    Orbit,
    TrajectoryConfig,
    available_indices,
    default_distance,
    observe,
)
from satgen.trajectory.motion import Vector
from satgen.trajectory.mount import Mount, turned_to
from satgen.truth_images import FATES, FLOWS

DEPTH_LEVELS = 65535


@dataclass(frozen=True)
class TargetRef:
    """Which target is rendered: its name or file, and how a file is brought to metres.

    Attributes:
        name: short name.
        file: the model file as the user named it; None for a target with a name.
        sha256: of the GLB or model file.
        scale, parts: see `RenderOptions`; up: the axis that pointed up, x, y, z, -x, -y or -z.
        light: SHA-256 of the light that was baked for it; empty where none was.
        card_sha256: of the user's card beside the file; empty where there is none.
    """

    name: str
    file: str | None
    sha256: str
    scale: float
    up: str
    light: str = ""
    parts: str = "file"
    card_sha256: str = ""

    @property
    def source(self) -> str:
        """The name or path that `load_target` takes."""
        return self.name if self.file is None else self.file


@dataclass(frozen=True)
class RenderConfig:
    """Everything that decides the bytes of a dataset.

    Attributes:
        target, camera, trajectory, sun, lighting, sensor, surroundings: see there.
        start, stop, step: indices asked for, `stop` included.
        seed: of the sensor's noise and of the clouds.
        depth_scale: metres per count of the depth images.
        renderer: one of `satgen.rendering.RENDERERS`.
        shadow: there is a shadow image for each frame.
        rig: the rig that the camera is one of.
        normals, flow: there are images of these for each frame.
        metering: how the exposure is found; None where it is the sensor's.
    """

    target: TargetRef
    camera: Camera
    trajectory: TrajectoryConfig
    sun: SunConfig
    lighting: Lighting
    sensor: SensorConfig
    start: int
    stop: int
    step: int
    seed: int
    depth_scale: float
    renderer: str = RENDERERS[0]
    surroundings: Surroundings = field(default_factory=Surroundings)
    shadow: bool = False
    rig: Rig | None = None
    normals: bool = False
    flow: bool = False
    metering: Metering | None = None

    def beside(self, index: int, steps: int) -> NDArray[np.float64] | None:
        """The pose (4, 4) some steps after an index, rendered or not; None where there is none."""
        wanted = index + steps * self.step
        if wanted not in available_indices(self.trajectory):
            return None
        return np.asarray(observe(self.trajectory, [wanted]).T_cam_target[0])

    def indices(self) -> NDArray[np.int64]:
        """The indices to render, (N,) int64 ascending.

        Of a trajectory from a file, those of the range that the file holds.
        """
        there = available_indices(self.trajectory)
        steps = there - self.start
        return np.asarray(there[(steps >= 0) & (there <= self.stop) & (steps % self.step == 0)])

    @property
    def images(self) -> tuple[str, ...]:
        """The kinds of image that each frame has."""
        wanted = {"shadow": self.shadow, "normals": self.normals, **dict.fromkeys(FLOWS, self.flow)}
        return (*IMAGES, *(kind for kind, there in wanted.items() if there))

    @property
    def columns(self) -> tuple[str, ...]:
        """What the frame table has of `satgen.dataset.OPTIONAL_COLUMNS`, in order."""
        wanted = {
            "sunlight": self.surroundings.eclipse,
            "exposure": self.metering is not None,
            "lit": self.shadow,
            **{f"{kind}_sha256": kind in self.images for kind in OPTIONAL_IMAGES},
        }
        return tuple(name for name, there in wanted.items() if there)

    def to_json(self) -> dict[str, Any]:
        """The part of dataset.json that says what was rendered, the default renderer left out."""
        other: dict[str, Any] = {}
        if self.renderer != RENDERERS[0]:
            other["renderer"] = self.renderer
        if self.rig is not None:
            other["rig"] = self.rig.to_json()
        return {
            **other,
            "target": {**asdict(self.target), "aim": list(self.trajectory.aim)},
            "camera": self.camera.to_json(),
            "trajectory": self.trajectory.to_json(),
            "background": self.surroundings.background,
            "surroundings": self.surroundings.to_json(),
            "shadow": self.shadow,
            "normals": self.normals,
            "flow": self.flow,
            "metering": None if self.metering is None else self.metering.to_json(),
            "lighting": {"sun": self.sun.to_json(), **self.lighting.to_json()},
            "sensor": self.sensor.to_json(),
            "indices": {"start": self.start, "stop": self.stop, "step": self.step},
            "seed": self.seed,
            "depth_scale": self.depth_scale,
        }

    def images_json(self, parts: int) -> dict[str, Any]:
        """The `images` object of dataset.json, of a target of so many parts."""
        sensor = self.sensor
        flow = {"channels": 3, "bits": 16, "unit_px": 1.0 / 64.0, "labels": FATES}
        optional = {
            "shadow": {"channels": 1, "bits": 8, "labels": SHADOW_LABELS},
            "normals": {"channels": 3, "bits": 16, "axes": "camera"},
            **dict.fromkeys(FLOWS, flow),
        }
        return {
            "rgb": {
                "channels": 1 if sensor.mono else 3,
                "bits": sensor.stored_bits,
                "significant_bits": sensor.bit_depth,
                "curve": sensor.curve,
            },
            "depth": {"channels": 1, "bits": 16, "unit_m": self.depth_scale},
            "parts": {"channels": 1, "bits": label_bits(parts)},
            **{kind: optional[kind] for kind in self.images if kind in optional},
        }

    def identity(self) -> dict[str, Any]:
        """What two renderings must share for the one to go on with the other: a model file counts
        by its content, wherever it lies."""
        data = {"renderer": self.renderer, **self.to_json()}
        del data["target"]["file"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any], folder: Path | None = None) -> RenderConfig:
        """Inverse of `to_json`; `folder` is the dataset's, where a pose table lies."""
        if int(data["indices"]["step"]) < 1:
            raise InputError(f"indices.step {data['indices']['step']}: must be at least 1")
        known = {"light": "", "parts": "file", "card_sha256": "", **data["target"]}
        target = {key: known[key] for key in (f.name for f in fields(TargetRef))}
        trajectory = TrajectoryConfig.from_json(data["trajectory"])
        if folder is not None:
            trajectory = trajectory.in_folder(folder)
        lighting = dict(data["lighting"])
        sun = SunConfig.from_json(lighting.pop("sun"))
        return cls(
            TargetRef(**target),
            Camera.from_json(data["camera"]),
            trajectory,
            sun,
            Lighting.from_json(lighting),
            SensorConfig.from_json(data["sensor"]),
            int(data["indices"]["start"]),
            int(data["indices"]["stop"]),
            int(data["indices"]["step"]),
            int(data["seed"]),
            float(data["depth_scale"]),
            str(data.get("renderer", RENDERERS[0])),
            Surroundings.from_json(data.get("background", "black"), data.get("surroundings", {})),
            bool(data.get("shadow", False)),
            Rig.from_json(data["rig"]) if "rig" in data else None,
            bool(data.get("normals", False)),
            bool(data.get("flow", False)),
            Metering.from_json(data.get("metering")),
        )


def resolve(
    options: RenderOptions, model: TargetModel, *, target: TargetRef | None = None
) -> RenderConfig:
    """The configuration that a request for a loaded target comes to.

    Args:
        options: the request.
        model: the target.
        target: a reference to it, where it is of no file.

    Raises:
        InputError: a value that makes no sense, or values that do not go together.
    """
    camera = options.view
    sensor = options.sensor_config
    sun = options.sun_config
    asked = options.motion
    motion, aim, radius = asked.of_target(model)
    if options.aim is not None:
        if motion.pivoted:
            raise InputError(
                f"aim {options.aim}: under trajectory {motion.kind} the target turns about its "
                "centre of mass, which the camera looks at; frame it with offset, distance and fov"
            )
        aim = point_of(model, options.aim)
    distance = options.distance
    trajectory = TrajectoryConfig(
        motion=motion,
        distance_m=default_distance(radius, camera) if distance is None else distance,
        aim=aim,
        roll=options.camera_roll,
        mount=mount_for(options),
    )
    surroundings = surroundings_of(options, motion, model)
    lighting = options.lighting
    if options.light is not None and lighting.ambient == Lighting.ambient:
        lighting = replace(lighting, ambient=LIGHTS[options.light].ambient)
    if lighting.earth_limb_deg == Lighting.earth_limb_deg:
        lighting = replace(lighting, earth_limb_deg=surroundings.limb_deg)
    config = RenderConfig(
        target or target_ref(options, model),
        camera,
        trajectory,
        sun,
        lighting,
        sensor,
        options.start,
        options.stop,
        options.step,
        options.seed,
        depth_scale_for(trajectory, model.bounding_sphere),
        options.renderer,
        surroundings,
        options.shadow,
        options.rig,
        options.normals,
        options.flow,
        options.metering,
    )
    if len(config.indices()) == 0:
        raise InputError(
            f"indices {options.start} to {options.stop} step {options.step}: "
            f"{motion.table or motion.kind} has none of them"
        )
    return config


def point_of(model: TargetModel, place: str | tuple[float, float, float]) -> Vector:
    """A target-frame point, metres: given, or that of a landmark, or the middle of a part.

    Raises:
        InputError: no such landmark or part.
    """
    if not isinstance(place, str):
        x, y, z = place
        return x, y, z
    if place in model.landmarks:
        x, y, z = (float(value) for value in model.landmarks[place])
        return x, y, z
    labels = {part.name: part.label for part in model.parts}
    if place in labels:
        corners = model.vertices[model.faces[model.face_part == labels[place]]].reshape(-1, 3)
        x, y, z = ((corners.min(axis=0) + corners.max(axis=0)) / 2.0).tolist()
        return x, y, z
    near = get_close_matches(place, [*model.landmarks, *labels], 3, 0.0)
    raise InputError(
        f"aim {place}: no landmark or part of {model.name}, nor X,Y,Z in metres; nearest are "
        f"{', '.join(near)}"
    )


def mount_for(options: RenderOptions) -> Mount | None:
    """How the camera asked for sits on the trajectory's frame."""
    place = options.offset_pixel
    if place is None:
        return options.mount
    ray = options.view.rays_at(np.array(place))
    if np.isnan(ray).any():
        raise InputError(f"offset {options.offset}: the lens shows nothing there")
    return turned_to(ray)


def target_ref(options: RenderOptions, model: TargetModel) -> TargetRef:
    """Reference to the target that `options` name."""
    name = str(options.target)
    file = None if registry.is_name(name) else name
    scale, card = float(options.scale), model.card.get("source", {})
    beside = card.get("card", {}) if isinstance(card, dict) else {}
    up = options.up or str(card.get("up", "z") if isinstance(card, dict) else "z")
    ref = TargetRef(model.name, file, "", scale, up, parts=options.parts)
    path = model_path(ref)
    baked = file_sha256(light_path(path)) if model.light is not None else ""
    described = str(beside.get("sha256", "")) if file is not None else ""
    return replace(ref, sha256=file_sha256(path), light=baked, card_sha256=described)


def model_path(target: TargetRef) -> Path:
    """The GLB of a target with a name, or the user's model file."""
    return source_path(target.source)


def source_path(source: str | Path) -> Path:
    """The file that `load_target` reads for a name or path; of a random craft, it is built."""
    name = str(source)
    return registry.asset_path(name) if registry.is_name(name) else Path(name)


def depth_scale_for(
    trajectory: TrajectoryConfig, bounding_sphere: tuple[NDArray[np.float64], float]
) -> float:
    """Metres per count: the farthest that any point of the target can be, over 65,535 counts.

    Taken over the whole trajectory, not only the indices that are rendered, so that an index has
    the same depth image whatever range it is rendered in; rounded up to four significant digits.
    """
    poses = observe(trajectory, available_indices(trajectory)).T_cam_target
    centre, radius = bounding_sphere
    farthest = float((poses[:, 2, :3] @ centre + poses[:, 2, 3]).max()) + radius
    if farthest <= 0.0:
        farthest = radius  # never in view: any scale will do
    exponent = math.floor(math.log10(farthest / DEPTH_LEVELS)) - 3
    mantissa = math.ceil(farthest / DEPTH_LEVELS / 10.0**exponent)
    return float(f"{mantissa}e{exponent}")


def surroundings_of(options: RenderOptions, motion: Motion, model: TargetModel) -> Surroundings:
    """Where the request has the target fly, and before what."""
    altitude = options.altitude
    if altitude is None and isinstance(motion, Orbit):
        altitude = altitude_of_period(motion.period_s)
        if not LOWEST_KM <= altitude <= HIGHEST_KM:
            altitude = None  # a period that only sets the pace
    if altitude is None:
        fact = model.card.get("facts", {}).get("orbit_altitude", {})
        altitude = float(fact.get("value", DEFAULT_ALTITUDE_KM))
    placed = isinstance(motion, Orbit) and options.sun_config.mode == "inertial"
    return Surroundings(
        options.background,
        altitude,
        sun_synchronous_deg(altitude),
        eclipse=options.eclipse and placed,
    )


def sun_vectors(config: RenderConfig, observations: Observations) -> NDArray[np.float64]:
    """Unit vectors (N, 3) from target to sun, camera frame."""
    sun = sun_in_camera(config.sun, observations)
    mount = config.trajectory.mount
    if config.sun.mode == "phase" and mount is not None:  # fixed in the trajectory's frame
        sun = sun @ np.array(mount)[:3, :3].T
    return sun


def places_of(config: RenderConfig, observations: Observations, sun: NDArray[np.float64]) -> Place:
    """Where the Earth is at each of N observations with the sun at (N, 3), camera frame."""
    return places(config.surroundings, config.trajectory, observations, sun)
