"""Frames to come by optical flow, carried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.predict.frame_types import Frames, ObservedFrames
from satgen.errors import InputError


@dataclass(frozen=True)
class CarriedFlow:
    """Every point of the image goes on as it went from the last frame but one to the last.

    The optical flow is that of OpenCV's DIS (Kroeger et al., ECCV 2016), from the last frame back
    to the one before. A step ahead, a pixel shows what the flow at it says was there before; the
    flow is carried along likewise, and so on from step to step. All steps are put together before
    the frame is sampled, once, so that it is not blurred over and over.

    Attributes:
        preset: "ultrafast", "fast" or "medium".
    """

    preset: str = "medium"

    def forecast(self, observed: ObservedFrames) -> Frames:
        """The last frame, moved.

        Raises:
            InputError: fewer than two observed frames.
        """
        return self.carry(observed.frames, observed.horizons)

    def carry(self, observed: Frames, horizons: Sequence[int]) -> Frames:
        """Frames (B, N, C, S, S) of observed ones (B, T, C, S, S), so many ahead, ascending.

        Raises:
            InputError: fewer than two observed frames.
        """
        count = observed.shape[1]
        if count < 2:
            raise InputError(f"{count} observed frame: optical flow needs 2")
        found = [self._carry(frames[-2], frames[-1], horizons) for frames in observed]
        return np.stack(found)

    def _carry(self, before: Frames, last: Frames, horizons: Sequence[int]) -> Frames:
        """(N, C, S, S) of two frames (C, S, S)."""
        import cv2

        preset = getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{self.preset.upper()}")
        grey = [np.rint(255.0 * frame.mean(axis=0)).astype(np.uint8) for frame in (last, before)]
        empty = np.zeros((*grey[0].shape, 2), dtype=np.float32)
        flow = cv2.DISOpticalFlow.create(preset).calc(grey[0], grey[1], empty)
        side = last.shape[-1]
        here = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).astype(np.float32)
        image = np.ascontiguousarray(np.moveaxis(last, 0, -1))
        moved: list[Frames] = []
        shift, step = np.zeros_like(flow), flow
        for ahead in range(1, max(horizons) + 1):
            # What is at x in this step was at x + step(x) in the one before.
            shift = step + _sample(shift, here + step)
            step = _sample(flow, here + shift)
            if ahead in horizons:
                frame = _sample(image, here + shift)
                moved.append(np.moveaxis(frame.reshape(side, side, -1), -1, 0))
        return np.stack(moved)


def _sample(image: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
    """An image (S, S, ...) at places (S, S, 2), linearly; its border goes on outside."""
    import cv2

    x, y = cv2.split(places)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
