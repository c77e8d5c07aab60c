"""SIFT's features as tensors: `matchers.features.sift_keypoints` finds them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from matchers.features.sift_keypoints import SIZE, SIFTConfig, detect
from matchers.specs import FeaturesSpec
from matchers.types import Features, Image

if TYPE_CHECKING:
    from matchers.extraction import Detector


class SIFT:
    """The extractor: runs on the CPU, on 8-bit luma; its features go to `device`."""

    descriptor_size = SIZE

    def __init__(
        self, config: SIFTConfig | None = None, *, device: torch.device | str = "cpu"
    ) -> None:
        self.config = config or SIFTConfig()
        self.device = torch.device(device)

    def __call__(self, image: Image, *, mask: Any = None, box: Any = None) -> Features:
        """Features of one image, best first; equal scores from top to bottom, left to right.

        A place with several dominant orientations has a keypoint for each (Lowe, §5): equal in
        place, scale and score. Only the box is looked at; of a mask, its bounding box and a margin,
        which very large features (tens of pixels) may outgrow; an image of more pixels than
        `matchers.boxes.WHOLE` in tiles, each with a margin.

        Args:
            image, mask, box: see `matchers.images.look`.

        Returns:
            Unbatched features with scales (diameters) and orientations; scores are OpenCV's
            responses (contrasts); keypoints in pixels, origin at the top-left pixel's centre.

        Raises:
            InputError: an argument is not what `matchers.images.look` takes.
        """
        found = detect(self.config, image, mask, box)
        return Features(**{name: torch.from_numpy(v) for name, v in found.items()}).to(self.device)

    @property
    def detector(self) -> Detector:
        """The same as a function that goes to other processes, see `matchers.extraction`."""
        return partial(detect, self.config)


def _build(device: torch.device | str = "cpu", **options: Any) -> SIFT:
    return SIFT(SIFTConfig(**options), device=device)


SPEC = FeaturesSpec(
    "sift",
    _build,
    SIFTConfig,
    descriptor_size=SIZE,
    oriented=True,
    dustbin=0.8,  # no cosine of SIFT's descriptors is below 0
)
