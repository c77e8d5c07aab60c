"""satgen: complete optical image sequences of satellites with exact ground truth.

What is listed in `__all__` is what scripts and notebooks need, and is loaded when it is first used:

    import satgen

    data = satgen.render("aura", start=361, stop=400, out="aura")   # a Dataset; satgen.open("aura")
    frame = data[361]                          # rgb, depth in metres, parts, pose, K, sun
    flow = data.flow(361, 371)                 # exact optical flow, with masks
    one = satgen.render_frame("aura", frame.pose, sun="body:40,10")
    found = satgen.match(frame, data[371])     # keypoints, matches, and the truth about them
    print(satgen.bench(data, matcher=["lightglue", "nearest"], features="sift"))
    weights = satgen.train(data, matcher="lightglue", features="sift").weights

Anything else is in the modules, and may change from version to version.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bench.api import bench as bench
    from bench.predict.api import predict as predict
    from matchers.match import match as match
    from matchers.training.api import train as train
    from satgen.api import export as export
    from satgen.api import open_dataset as open
    from satgen.api import render as render
    from satgen.api import render_rig as render_rig
    from satgen.camera import Camera as Camera
    from satgen.dataset import Dataset as Dataset
    from satgen.errors import InputError as InputError
    from satgen.errors import RunError as RunError
    from satgen.frame import Frame as Frame
    from satgen.frame import TwoViews as TwoViews
    from satgen.rendering.lighting import Lighting as Lighting
    from satgen.sensor import SensorConfig as SensorConfig
    from satgen.single_frame import close_renderers as close_renderers
    from satgen.single_frame import render_frame as render_frame
    from satgen.sun import SunConfig as SunConfig
    from satgen.targets.load import load_target as load_target
    from satgen.trajectory import Grid as Grid
    from satgen.trajectory import Orbit as Orbit
    from satgen.trajectory import PoseFile as PoseFile
    from satgen.trajectory import Roll as Roll
    from satgen.trajectory import Spiral as Spiral
    from satgen.trajectory import Tumble as Tumble

_PLACES = {
    "Camera": "satgen.camera:Camera",
    "Dataset": "satgen.dataset:Dataset",
    "Frame": "satgen.frame:Frame",
    "Grid": "satgen.trajectory:Grid",
    "InputError": "satgen.errors:InputError",
    "Lighting": "satgen.rendering.lighting:Lighting",
    "Orbit": "satgen.trajectory:Orbit",
    "PoseFile": "satgen.trajectory:PoseFile",
    "Roll": "satgen.trajectory:Roll",
    "RunError": "satgen.errors:RunError",
    "SensorConfig": "satgen.sensor:SensorConfig",
    "Spiral": "satgen.trajectory:Spiral",
    "SunConfig": "satgen.sun:SunConfig",
    "Tumble": "satgen.trajectory:Tumble",
    "TwoViews": "satgen.frame:TwoViews",
    "bench": "bench.api:bench",
    "close_renderers": "satgen.single_frame:close_renderers",
    "export": "satgen.api:export",
    "load_target": "satgen.targets.load:load_target",
    "match": "matchers.match:match",
    "open": "satgen.api:open_dataset",
    "predict": "bench.predict.api:predict",
    "render": "satgen.api:render",
    "render_frame": "satgen.single_frame:render_frame",
    "render_rig": "satgen.api:render_rig",
    "train": "matchers.training.api:train",
}
"""Public name -> the module and the name in it. The imports above tell type checkers the same."""

__all__ = [
    "Camera",
    "Dataset",
    "Frame",
    "Grid",
    "InputError",
    "Lighting",
    "Orbit",
    "PoseFile",
    "Roll",
    "RunError",
    "SensorConfig",
    "Spiral",
    "SunConfig",
    "Tumble",
    "TwoViews",
    "bench",
    "close_renderers",
    "export",
    "load_target",
    "match",
    "open",
    "predict",
    "render",
    "render_frame",
    "render_rig",
    "train",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    try:
        value = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        from satgen.installed import explain

        raise explain(error) or error from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What the module has, loaded or not."""
    return sorted({*globals(), *__all__})
