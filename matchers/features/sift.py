"""SIFT (Lowe, IJCV 2004) by OpenCV, with RootSIFT (Arandjelović & Zisserman, CVPR 2012).

OpenCV's own default moves every keypoint by a quarter of a pixel to the lower right, because it
doubles the image without aligning the samples; its precise upscaling is always used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from matchers import images
from matchers.specs import MAX_KEYPOINTS, FeaturesSpec
from matchers.types import Features, Image
from satgen.errors import InputError

_MARGIN = 64  # pixels looked at around a mask
_TILE_MARGIN = 256  # and around a tile of a large image: as much as keypoints of 48 px look at
_STEP = 64  # of the crop's corner: keeps the pixels of seven octaves where they are
_SIZE = 128  # of a descriptor


@dataclass(frozen=True)
class SIFTConfig:
    """Settings of SIFT; the defaults are OpenCV's, but for `max_keypoints`.

    Attributes:
        max_keypoints: at most so many, the strongest; None: all.
        octave_layers: layers of an octave in which extrema are sought.
        contrast_threshold: least contrast of an extremum, times `octave_layers`, of full range.
        edge_threshold: largest ratio of the principal curvatures.
        sigma: pixels, blur of the first layer.
        root: whether descriptors are RootSIFT; else SIFT's own, made unit length.
    """

    max_keypoints: int | None = MAX_KEYPOINTS
    octave_layers: int = 3
    contrast_threshold: float = 0.04
    edge_threshold: float = 10.0
    sigma: float = 1.6
    root: bool = True

    def __post_init__(self) -> None:
        if self.max_keypoints is not None and self.max_keypoints < 1:
            raise InputError(f"max_keypoints is {self.max_keypoints}: at least 1, or None")
        if self.octave_layers < 1:
            raise InputError(f"octave_layers is {self.octave_layers}: at least 1")
        if not (self.contrast_threshold >= 0.0 and self.edge_threshold > 0.0 and self.sigma > 0.5):
            raise InputError(
                f"contrast_threshold is {self.contrast_threshold}, edge_threshold "
                f"{self.edge_threshold}, sigma {self.sigma}: at least 0, above 0, above 0.5"
            )


class SIFT:
    """The extractor: runs on the CPU, on 8-bit luma; its features go to `device`."""

    descriptor_size = _SIZE
    parallel = True  # it does not take all cores: several run beside one another

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
        `images.WHOLE` in tiles, each with a margin.

        Args:
            image, mask, box: see `matchers.images.look`.

        Returns:
            Unbatched features with scales (diameters) and orientations; scores are OpenCV's
            responses (contrasts); keypoints in pixels, origin at the top-left pixel's centre.

        Raises:
            InputError: an argument is not what `matchers.images.look` takes.
        """
        view = images.look(image, mask, box)
        none = np.zeros((0, 5), np.float32), np.zeros((0, _SIZE), np.float32)
        wanted = view.wanted
        tiles = [] if wanted is None else images.tiles(wanted)
        margin = _MARGIN if len(tiles) < 2 else _TILE_MARGIN
        found = [self._found(view, tile, margin, len(tiles) > 1) for tile in tiles]
        table, descriptors = (np.concatenate(part) for part in zip(none, *found, strict=True))
        order = np.lexsort((table[:, 4], table[:, 3], table[:, 0], table[:, 1], -table[:, 2]))
        order = order[: self.config.max_keypoints]
        return self._features(view, table[order], self._normalised(descriptors[order]))

    def _found(
        self, view: images.View, wanted: images.Box, margin: int, cut: bool
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Rows (x, y, score, scale, orientation) of the view's keypoints, and their descriptors.

        Args:
            view: the image.
            wanted: the box of it that is looked at.
            margin: pixels looked at around it.
            cut: keep to the keypoints in the box.
        """
        import cv2

        x, y, w, h = images.grown(wanted, (view.box[2], view.box[3]), margin, _STEP)
        gray = images.gray8(view.pixels[:, y : y + h, x : x + w])
        inside = None if view.mask is None else view.mask[y : y + h, x : x + w].astype(np.uint8)
        if cut:
            left, top = wanted[0] - x, wanted[1] - y
            core = np.zeros((h, w), np.uint8)
            core[top : top + wanted[3], left : left + wanted[2]] = 1
            inside = core if inside is None else core & inside
        config = self.config
        sift = cv2.SIFT_create(  # type: ignore[attr-defined]
            # OpenCV counts before it masks
            nfeatures=0 if inside is not None else config.max_keypoints or 0,
            nOctaveLayers=config.octave_layers,
            contrastThreshold=config.contrast_threshold,
            edgeThreshold=config.edge_threshold,
            sigma=config.sigma,
            enable_precise_upscale=True,
        )
        found, descriptors = sift.detectAndCompute(gray, inside)
        if not found:
            return np.zeros((0, 5), np.float32), np.zeros((0, _SIZE), np.float32)
        table = np.array(
            [(*k.pt, k.response, k.size, np.deg2rad(k.angle)) for k in found], np.float32
        )
        table[:, :2] += (x, y)
        return table, descriptors

    def _normalised(self, descriptors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(N, 128) descriptors of unit length; an empty one stays zero."""
        values = descriptors.astype(np.float64)
        if self.config.root:
            values = np.sqrt(values / np.maximum(values.sum(1, keepdims=True), 1e-12))
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        return np.asarray(values / np.maximum(lengths, 1e-12), np.float64)

    def _features(
        self, view: images.View, table: npt.NDArray[np.float32], descriptors: npt.NDArray[Any]
    ) -> Features:
        """Features of the whole image from rows (x, y, score, scale, orientation) of the view."""
        points, scores, scales, orientations = np.split(table, (2, 3, 4), axis=1)
        return Features(
            keypoints=torch.from_numpy(points + np.array(view.box[:2], np.float32)),
            scores=torch.from_numpy(scores[:, 0].copy()),
            descriptors=torch.from_numpy(descriptors.astype(np.float32)),
            image_size=torch.tensor(view.image_size, dtype=torch.float32),
            scales=torch.from_numpy(scales[:, 0].copy()),
            orientations=torch.from_numpy(orientations[:, 0].copy()),
        ).to(self.device)


def _build(device: torch.device | str = "cpu", **options: Any) -> SIFT:
    return SIFT(SIFTConfig(**options), device=device)


SPEC = FeaturesSpec(
    "sift",
    _build,
    SIFTConfig,
    descriptor_size=_SIZE,
    oriented=True,
    dustbin=0.8,  # no cosine of SIFT's descriptors is below 0
)
