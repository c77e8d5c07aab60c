"""Several cameras that fly together: a stereo pair, or more.

A rig is a JSON file, or TOML. The trajectory moves the rig's frame, which looks at the aim point
along its z axis, and each camera sits in it by `T_rig_cam`, 4 × 4: camera coordinates to rig
coordinates, metres. What else a camera says are `RenderOptions` of its own, such as its intrinsics
and sensor; what it does not say is as the command has it:

    {"cameras": [
      {"name": "left",  "T_rig_cam": [[1,0,0,-0.5],[0,1,0,0],[0,0,1,0],[0,0,0,1]]},
      {"name": "right", "T_rig_cam": [[1,0,0,0.5],[0,1,0,0],[0,0,1,0],[0,0,0,1]],
       "fov": 25, "distortion": [-0.1, 0.02, 0, 0, 0], "sensor": "imx174"}]}

Each camera has a dataset of its own, with the same indices, and the whole rig in its dataset.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satgen.camera import Camera
from satgen.errors import InputError
from satgen.geometry import invert_pose
from satgen.reading import MOST_JSON, read_limited
from satgen.trajectory.mount import Mount, mount_of

if TYPE_CHECKING:
    from satgen.options import RenderOptions

OF_SENSOR = ("exposure", "mono", "bit_depth", "curve", "exposure_time", "f_number")
"""Options that change the sensor's own values."""

OWN = ("size", "width", "height", "fov", "intrinsics", "distortion", "sensor", *OF_SENSOR)
"""Options that a camera of a rig may have of its own."""


@dataclass(frozen=True)
class RigCamera:
    """One camera of a rig.

    Attributes:
        name: of it, and of its dataset's folder.
        T_rig_cam: 4 × 4, camera to rig coordinates, metres.
        camera: intrinsics.
    """

    name: str
    T_rig_cam: Mount
    camera: Camera

    @property
    def mount(self) -> Mount:
        """T_cam_rig."""
        return mount_of(invert_pose(np.array(self.T_rig_cam)).tolist())


@dataclass(frozen=True)
class Rig:
    """All cameras of a rig, and the one that a dataset is of.

    Attributes:
        name: of that one.
        cameras: all of them, in the file's order.
    """

    name: str
    cameras: tuple[RigCamera, ...]

    def to_json(self) -> dict[str, Any]:
        """The `rig` object of dataset.json."""
        return {
            "name": self.name,
            "cameras": {
                one.name: {
                    "T_rig_cam": [list(row) for row in one.T_rig_cam],
                    "camera": one.camera.to_json(),
                }
                for one in self.cameras
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rig:
        """Inverse of `to_json`."""
        cameras = tuple(
            RigCamera(name, mount_of(one["T_rig_cam"]), Camera.from_json(one["camera"]))
            for name, one in data["cameras"].items()
        )
        return cls(str(data["name"]), cameras)


def rig_requests(options: RenderOptions, path: str | Path) -> dict[str, RenderOptions]:
    """What to render for each camera of a rig, by its name, in the file's order.

    Args:
        options: what all have in common.
        path: of the rig's file.

    Raises:
        InputError: the file cannot be read or describes no rig, or an option that one rig cannot
            have.
    """
    path = Path(path)
    if options.distance is None:
        raise InputError("rig: needs a distance, since each of its cameras would choose another")
    for name in ("camera", "offset", "mount"):
        if getattr(options, name) is not None:
            raise InputError(f"rig and {name}: give one of them, not both")
    entries = _read(path)
    requests: dict[str, RenderOptions] = {}
    cameras = []
    for number, entry in enumerate(entries):
        name, where, own = _checked(entry, number, path)
        if name in requests:
            raise InputError(f"{path}: two cameras are called {name}")
        try:
            request = replace(options, **own)
            # Each is a specimen of its own, with its own fixed patterns and noise.
            sensor = replace(request.sensor_config, serial=number)
            cameras.append(RigCamera(name, where, request.view))
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{path}: camera {name}: {error}") from None
        settled: dict[str, Any] = dict.fromkeys(OF_SENSOR)  # the sensor has these now
        requests[name] = replace(request, mount=cameras[-1].mount, sensor=sensor, **settled)
    rig = tuple(cameras)
    return {name: replace(request, rig=Rig(name, rig)) for name, request in requests.items()}


def _read(path: Path) -> list[Any]:
    """The file's cameras."""
    raw = read_limited(path, MOST_JSON)
    try:
        text = raw.decode()
        data = _toml(text, path) if path.suffix.lower() == ".toml" else json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: neither JSON nor TOML ({error})") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deep to be read") from None
    cameras = data.get("cameras") if isinstance(data, dict) else None
    if not isinstance(cameras, list) or not cameras:
        raise InputError(f'{path}: must have "cameras", a list of at least one')
    return cameras


def _toml(text: str, path: Path) -> dict[str, Any]:
    try:
        tomllib = import_module("tomllib")
    except ModuleNotFoundError:
        raise InputError(f"{path}: TOML needs Python 3.11, write JSON") from None
    return dict(tomllib.loads(text))


def _checked(entry: Any, number: int, path: Path) -> tuple[str, Mount, dict[str, Any]]:
    """A camera's name, place and options of its own."""
    if not isinstance(entry, dict):
        raise InputError(f"{path}: camera {number}: must be an object")
    own = dict(entry)
    name, where = own.pop("name", None), own.pop("T_rig_cam", None)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise InputError(f"{path}: camera {number}: its name must be letters, digits, _ and -")
    try:
        place = mount_of(where, "T_rig_cam")
    except InputError as error:
        raise InputError(f"{path}: camera {name}: {error}") from None
    for key, value in own.items():
        if key not in OWN:
            raise InputError(f"{path}: camera {name}: {key} is none of {', '.join(OWN)}")
        if isinstance(value, list):
            own[key] = tuple(value)
    return name, place, own
