"""Normals and optical flow as images: what their values mean, there and back.

Normals, `normals/`: 16 bits, three channels, the unit normal of the surface at the pixel's centre,
in camera axes (x right, y down, z forward), on the camera's side: n = (value - 32768) / 32767 a
channel; background is 0, 0, 0. It is the triangle's own, as the depth is, not the smoothed one that
is shaded.

Flow, `flow_forward/` and `flow_backward/`: as KITTI has it (Geiger and others, 2012), 16 bits,
three channels: where the surface point at the pixel's centre is seen at the index a step later or
earlier. flow = (value - 32768) / 64 pixels for u in the first channel and v in the second; the
third says what becomes of the point, by `FATES`: 0 is KITTI's "no flow". It follows from exact
depth and poses and is then rounded to 1/64 pixel; flow beyond 511 pixels, or behind the camera, is
not kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satgen.geometry import Floats, Flow, Warp, pixel_grid, within_image

FLOWS = {"flow_forward": 1, "flow_backward": -1}
"""Kinds of flow image, and how many steps ahead the index lies that they lead to."""

FATES = {"none": 0, "visible": 1, "occluded": 2, "other": 3}
"""Third channel of a flow image: no flow; the point is seen there; hidden by something nearer; out
of the image, or at an edge where pixels do not decide."""

_FLOW_UNIT = 64.0
_MOST = 511.0
_MIDDLE = 32768


def encode_normals(normals: Floats) -> NDArray[np.uint16]:
    """Unit normals (H, W, 3), zero for background, as an image."""
    values = np.rint(normals * 32767.0) + _MIDDLE
    return np.where(normals.any(axis=-1, keepdims=True), values, 0.0).astype(np.uint16)


def decode_normals(image: NDArray[np.uint16]) -> Floats:
    """Normals (H, W, 3) float64 of an image, of unit length, zero for background."""
    values = (image.astype(np.float64) - _MIDDLE) / 32767.0
    there = image.any(axis=-1, keepdims=True)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.where(there, values / np.where(there, length, 1.0), 0.0)


def encode_flow(
    warp: Warp, pixels: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.uint16]:
    """The flow of some pixels as an image.

    Args:
        warp: of them.
        pixels: (N, 2) column and row.
        shape: (H, W).
    """
    flow = warp.uv - pixels
    with np.errstate(invalid="ignore"):
        kept = (np.abs(flow) <= _MOST).all(axis=-1)
    fate = np.select(
        [warp.visible | warp.bordering, warp.occluded],
        [FATES["visible"], FATES["occluded"]],
        FATES["other"],
    )
    image = np.zeros((*shape, 3), dtype=np.uint16)
    u, v = pixels[kept].T
    image[v, u, :2] = np.rint(flow[kept] * _FLOW_UNIT) + _MIDDLE
    image[v, u, 2] = fate[kept]
    return image


def decode_flow(image: NDArray[np.uint16]) -> Flow:
    """The flow of an image; see `satgen.geometry.Flow`."""
    height, width = image.shape[:2]
    fate = image[..., 2]
    there = fate != FATES["none"]
    flow = (image[..., :2].astype(np.float64) - _MIDDLE) / _FLOW_UNIT
    flow = np.where(there[..., None], flow, np.nan)
    valid = there & within_image(flow + pixel_grid(height, width), height, width)
    return Flow(
        flow, valid, valid & (fate == FATES["visible"]), valid & (fate == FATES["occluded"])
    )
