"""What a window of frames is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from satgen.errors import InputError

FIELDS = ("frames", "depth", "parts", "poses", "rates", "sun", "time")
"""What can be asked for; see `WindowConfig.fields`."""

IMAGE_FIELDS = {"frames": "rgb", "depth": "depth", "parts": "parts"}
"""The fields that are images, and the folder of a dataset that holds each."""

CROPS = ("none", "dataset", "window")

DTYPES = ("float32", "stored")

MIN_SIZE = 8


@dataclass(frozen=True)
class WindowConfig:
    """Windows of `observed` + `future` frames.

    Attributes:
        observed: frames that a forecast may look at, T.
        future: frames to forecast, H; 0 for none.
        step: a window has every step-th frame of its dataset.
        stride: frames from the start of a window to the start of the next one.
        size: side of the square images in pixels; None: as they are. Images are only made smaller:
            "frames" by averaging over each pixel's area, depth and part labels by taking the pixel
            at each centre, since neither may be averaged.
        crop: which square is cut out before that. One square serves all frames of a window, so
            that the target moves in it as it moved in the camera; `K` is the square's.

            - "none": the whole frame; one that is not square is padded with zeros to be one.
            - "dataset": the square about the target's bounding boxes in all frames of the dataset.
            - "window": the square about those of the window's frames, observed and future. Its
              place and side say something about the frames to come: use "dataset" for figures.
              Prepared images are whole frames then: larger, and several times slower to read.

        margin: width of the border about the boxes, as a share of their longer side.
        colour: three channels instead of one. Grey is luma (ITU-R BT.601, as OpenCV makes it);
            frames of a monochrome sensor are repeated to three channels.
        fields: of `FIELDS`, in any order. With n = T + H frames a window has

            - "frames": `frames` (n, C, S, S), sRGB-encoded; see `dtype`;
            - "depth": `depth` (n, 1, S, S) float32, metres, 0 where there is no surface;
            - "parts": `parts` (n, 1, S, S) labels, 0 for background: uint8, or int32 where a
              target among the datasets has more than 255 parts;
            - "poses": `R` (n, 3, 3) and `t` (n, 3) float64, of T_cam_target, metres;
            - "rates": `rates` (n, 3) float64, the target's angular velocity relative to the camera
              frame, rad/s, target frame (columns wx, wy, wz of the frame table);
            - "sun": `sun` (n, 3) float64, unit vector from target to sun, camera frame;
            - "time": `time` (n,) float64, seconds (column time_s of the frame table, or `dt`).

            Always there: `index` (n,) int64, the frames' observation indices; `dataset` int64, its
            place in the list of datasets; `K` (3, 3) float64, the intrinsics of the images as given
            here (pixels; (0, 0) is the centre of the top-left one); without images, of the frames.
            A lens's coefficients, `Dataset.camera.distortion`, go with it unchanged.
        dt: seconds from an index to the next one, for datasets whose table has no column time_s.
        dtype: of "frames": "float32", in 0…1; or "stored", uint8 or uint16 as in the files, which
            must be alike in all datasets.

    Raises:
        InputError: a number out of range, an unknown name.
    """

    observed: int = 10
    future: int = 20
    step: int = 1
    stride: int = 1
    size: int | None = 128
    crop: str = "none"
    margin: float = 0.1
    colour: bool = False
    fields: Sequence[str] = ("frames", "poses")
    dt: float | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, least in (("observed", 1), ("future", 0), ("step", 1), ("stride", 1)):
            check_count(name, getattr(self, name), least)
        if self.size is not None:
            check_count("size", self.size, MIN_SIZE)
        if self.crop not in CROPS:
            raise InputError(f"crop {self.crop!r}: must be one of {', '.join(CROPS)}")
        if self.crop == "window" and self.size is None:
            raise InputError(
                "crop 'window' without a size: the squares of windows differ, so that it must say "
                "how large they become"
            )
        if not _is_number(self.margin) or not 0.0 <= self.margin <= 2.0:  # not so for NaN either
            raise InputError(f"margin {_shown(self.margin)}: must be from 0 to 2")
        if not isinstance(self.fields, Iterable):
            raise InputError(f"fields {self.fields!r}: must be some of {', '.join(FIELDS)}")
        fields = (self.fields,) if isinstance(self.fields, str) else tuple(self.fields)
        object.__setattr__(self, "fields", fields)
        for name in fields:
            if name not in FIELDS:
                raise InputError(f"field {name!r}: must be one of {', '.join(FIELDS)}")
        if self.dt is not None and not (
            _is_number(self.dt) and math.isfinite(self.dt) and self.dt > 0.0
        ):
            raise InputError(f"dt {_shown(self.dt)}: must be a positive number of seconds")
        if self.dtype not in DTYPES:
            raise InputError(f"dtype {self.dtype!r}: must be one of {', '.join(DTYPES)}")

    @property
    def images(self) -> dict[str, str]:
        """The fields asked for that are images, and the kind of each."""
        return {field: kind for field, kind in IMAGE_FIELDS.items() if field in self.fields}

    @property
    def length(self) -> int:
        """Frames in a window, T + H."""
        return self.observed + self.future

    @property
    def span(self) -> int:
        """Consecutive frames of a dataset that a window reaches over."""
        return (self.length - 1) * self.step + 1


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """A value in a message."""
    return f"{value:g}" if isinstance(value, float) else repr(value)


def check_count(name: str, value: object, least: int) -> None:
    """InputError for what is no whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name} {value!r}: must be a whole number of at least {least}")
    if int(value) < least:
        raise InputError(f"{name} {value}: must be at least {least}")
