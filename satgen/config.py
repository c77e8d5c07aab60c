"""What is rendered: the request as a user makes it, and the configuration that it comes to.

`RenderOptions` holds every default, once. `resolve` turns it, together with the target's model,
into a `RenderConfig`, in which nothing is left open; two configurations that are equal give the
same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.errors import InputError
from satgen.model import TargetModel
from satgen.rendering.lighting import Lighting
from satgen.sensor import SensorConfig, sensor_preset
from satgen.sun import SunConfig, check_sun, parse_sun, sun_in_camera
from satgen.targets import registry
from satgen.trajectory import (
    DEFAULT_START,
    DEFAULT_STOP,
    INDEX_MAX,
    INDEX_MIN,
    KINDS,
    Observations,
    TrajectoryConfig,
    available_indices,
    default_distance,
    file_params,
    observe,
    principal_inertia,
    tumble_params,
)

DEPTH_LEVELS = 65535
TRAJECTORY_FILE = "trajectory"
"""Stem of the copy of a user's pose table inside a dataset."""


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

    target: str = "aura"
    scale: float = 1.0
    up: str = "z"
    trajectory: str = "spiral"
    start: int = DEFAULT_START
    stop: int = DEFAULT_STOP
    step: int = 1
    distance: float | None = None
    roll: float = 0.0
    size: int = 512
    width: int | None = None
    height: int | None = None
    fov: float = 20.0
    intrinsics: tuple[float, float, float, float] | None = None
    sun: str = "phase:35"
    sensor: str = "ideal"
    exposure: float | None = None
    mono: bool | None = None
    bit_depth: int | None = None
    seed: int = 0

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
            if item.name == "mono":
                words.append("--mono" if value else "--rgb")
                continue
            text = ",".join(map(repr, value)) if isinstance(value, tuple) else str(value)
            words += ["--" + item.name.replace("_", "-"), text]
        return shlex.join(words)


@dataclass(frozen=True)
class TargetRef:
    """Which target, exactly.

    Attributes:
        name: short name.
        file: the model file as the user named it; None for a bundled target.
        sha256: of the GLB or model file.
        scale, up: see `RenderOptions`.
    """

    name: str
    file: str | None
    sha256: str
    scale: float
    up: str

    @property
    def source(self) -> str:
        """What `load_target` takes."""
        return self.name if self.file is None else self.file


@dataclass(frozen=True)
class RenderConfig:
    """Everything that decides the bytes of a dataset.

    Attributes:
        target, camera, trajectory, sun, lighting, sensor: see there.
        start, stop, step: indices asked for, `stop` included.
        seed: of the sensor's noise.
        depth_scale: metres per count of the depth images.
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

    def indices(self) -> NDArray[np.int64]:
        """The indices to render, (N,) int64 ascending.

        Of a trajectory from a file, those of the range that the file holds.
        """
        wanted = np.arange(self.start, self.stop + 1, self.step, dtype=np.int64)
        if self.trajectory.kind != "file":
            return wanted
        return wanted[np.isin(wanted, available_indices(self.trajectory))]

    def to_json(self) -> dict[str, Any]:
        """The part of dataset.json that says what was rendered."""
        trajectory = self.trajectory.to_json()
        if self.trajectory.kind == "file":
            trajectory["params"]["path"] = self.trajectory_file
        return {
            "target": {**asdict(self.target), "aim": list(self.trajectory.aim)},
            "camera": self.camera.to_json(),
            "trajectory": trajectory,
            "lighting": {"sun": self.sun.to_json(), **self.lighting.to_json()},
            "sensor": self.sensor.to_json(),
            "indices": {"start": self.start, "stop": self.stop, "step": self.step},
            "seed": self.seed,
            "depth_scale": self.depth_scale,
        }

    @property
    def trajectory_file(self) -> str:
        """Name, inside the dataset, of the copy of the user's pose table."""
        return TRAJECTORY_FILE + Path(self.trajectory.params["path"]).suffix.lower()

    @classmethod
    def from_json(cls, data: Mapping[str, Any], folder: Path | None = None) -> RenderConfig:
        """Inverse of `to_json`; `folder` is the dataset's, where a pose table lies."""
        target = {key: data["target"][key] for key in (f.name for f in fields(TargetRef))}
        trajectory = TrajectoryConfig.from_json(data["trajectory"])
        if trajectory.kind == "file" and folder is not None:
            params = {**trajectory.params, "path": str(folder / trajectory.params["path"])}
            trajectory = replace(trajectory, params=params)
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
        )


def resolve(options: RenderOptions, model: TargetModel) -> RenderConfig:
    """The configuration that a request for a loaded target comes to.

    Raises:
        InputError: a value that makes no sense, or values that do not go together.
    """
    _check_indices(options)
    camera = options.camera()
    sensor = options.sensor_config()
    sun = parse_sun(options.sun)
    kind, _, path = options.trajectory.partition(":")
    if kind not in KINDS or bool(path) != (kind == "file"):
        raise InputError(
            f"trajectory {options.trajectory!r}: must be spiral, grid, orbit, tumble or file:PATH"
        )
    check_sun(sun, kind)
    centre, radius = model.bounding_sphere
    aim, params = centre, {}
    if kind == "tumble":
        # A free body turns about its centre of mass, so that is what the camera holds on to.
        moments, axes, aim = principal_inertia(model.vertices, model.faces)
        params = tumble_params(moments, axes)
        used = model.vertices[np.unique(model.faces)]
        radius = float(np.linalg.norm(used - aim, axis=1).max())
    elif kind == "file":
        params = file_params(path)
    distance = options.distance
    trajectory = TrajectoryConfig(
        kind=kind,
        distance_m=default_distance(radius, camera) if distance is None else distance,
        aim=(float(aim[0]), float(aim[1]), float(aim[2])),
        roll_deg=options.roll,
        params=params,
    )
    config = RenderConfig(
        target_ref(options, model),
        camera,
        trajectory,
        sun,
        Lighting(),
        sensor,
        options.start,
        options.stop,
        options.step,
        options.seed,
        depth_scale_for(trajectory, model),
    )
    if len(config.indices()) == 0:
        raise InputError(
            f"indices {options.start} to {options.stop} step {options.step}: "
            f"{path or options.trajectory} has none of them"
        )
    return config


def _check_indices(options: RenderOptions) -> None:
    for name in ("start", "stop"):
        value = getattr(options, name)
        if not INDEX_MIN <= value <= INDEX_MAX:
            raise InputError(f"{name} {value}: must be between {INDEX_MIN} and {INDEX_MAX}")
    if options.stop < options.start:
        raise InputError(f"stop {options.stop}: must not be less than start {options.start}")
    if options.step < 1:
        raise InputError(f"step {options.step}: must be 1 or more")
    if not 0 <= options.seed < 2**63:
        raise InputError(f"seed {options.seed}: must be 0 or more")


def target_ref(options: RenderOptions, model: TargetModel) -> TargetRef:
    """Reference to the target that `options` name."""
    file = None if options.target in registry.TARGETS else options.target
    ref = TargetRef(model.name, file, "", float(options.scale), options.up)
    return replace(ref, sha256=file_sha256(model_path(ref)))


def model_path(target: TargetRef) -> Path:
    """The GLB of a bundled target, or the user's model file."""
    return source_path(target.source)


def source_path(source: str) -> Path:
    """The file that `load_target` reads for a name or path."""
    return registry.asset_path(source) if source in registry.TARGETS else Path(source)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes; InputError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def depth_scale_for(trajectory: TrajectoryConfig, model: TargetModel) -> float:
    """Metres per count: the farthest that any point of the target can be, over 65,535 counts.

    Taken over the whole trajectory, not only the indices that are rendered, so that an index has
    the same depth image whatever range it is rendered in; rounded up to four significant digits.
    """
    poses = observe(trajectory, available_indices(trajectory)).T_cam_target
    centre, radius = model.bounding_sphere
    farthest = float((poses[:, 2, :3] @ centre + poses[:, 2, 3]).max()) + radius
    if farthest <= 0.0:
        farthest = radius  # never in view: any scale will do
    exponent = math.floor(math.log10(farthest / DEPTH_LEVELS)) - 3
    mantissa = math.ceil(farthest / DEPTH_LEVELS / 10.0**exponent)
    return float(f"{mantissa}e{exponent}")


def sun_vectors(config: RenderConfig, observations: Observations) -> NDArray[np.float64]:
    """Unit vectors (N, 3) from target to sun, camera frame."""
    return sun_in_camera(config.sun, observations)


def earth_vectors(config: RenderConfig, observations: Observations) -> NDArray[np.float64]:
    """Unit vectors (N, 3) from target to Earth, camera frame.

    Nadir is the target's +z axis, as of a satellite that points at the Earth; for a tumbling
    target it is the inertial +z axis, which is the target's at index 1.
    """
    rotation = observations.T_cam_target[:, :3, :3]
    nadir = np.broadcast_to(np.array([0.0, 0.0, 1.0]), (len(observations), 3))
    if config.trajectory.kind == "tumble" and observations.R_target_inertial is not None:
        nadir = observations.R_target_inertial[:, :, 2]
    return np.asarray((rotation @ nadir[..., None])[..., 0])


_FREE_KEYS = ("target.file",)
"""Keys that may differ: the file's content is compared, not where it lies."""


def first_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """The first key of `ours`, dotted, whose value in `theirs` differs, with both; else None."""
    flat_theirs = dict(_flatten(theirs))
    for key, value in _flatten(_plain(ours)):
        other = flat_theirs.get(key)
        if key not in _FREE_KEYS and value != other:
            return f"{key} is {json.dumps(other)} there and {json.dumps(value)} here"
    return None


def _flatten(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _plain(data: Any) -> Any:
    """As it comes back from a JSON file."""
    return json.loads(json.dumps(data))
