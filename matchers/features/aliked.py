"""ALIKED: keypoints (DKD, differentiable keypoint detection) and descriptors of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from matchers import images
from matchers.features import keypoint_detection as detection
from matchers.features.aliked_network import (
    STRIDE,
    VARIANTS,
    ALIKEDNetwork,
    FrameWindow,
    Maps,
    WindowPart,
)
from matchers.specs import MAX_KEYPOINTS, FeaturesSpec
from matchers.types import Features, Image
from satgen.errors import InputError

# Pixels around a mask that features need and that scores need. ALIKED looks far: frames that a
# silhouette masks give as many right matches as whole ones at 128, a fifth fewer at 64.
_CONTEXT = 128
_NEAR = 16


@dataclass(frozen=True)
class ALIKEDConfig:
    """Settings of ALIKED. The defaults are the official code's, but for `max_keypoints`.

    Attributes:
        variant: a key of `VARIANTS`.
        max_keypoints: at most so many, the best; None: all.
        detection_threshold: score in (0, 1) that a keypoint must exceed; 0 or less: every local
            maximum is one, so that `max_keypoints` decides.
        min_keypoints: where fewer exceed the threshold, the best below it fill up to this many.
        nms_radius: pixels, of non-maximum suppression and of the soft-argmax.
        nms_rounds: see `local_maxima`; 0 keeps strict local maxima only.
        resize: length in pixels that the long side is brought to before anything else, up or down
            (LightGlue's wrapper: 1024); None: images are taken as they are.
    """

    variant: str = "aliked-n16"
    max_keypoints: int | None = MAX_KEYPOINTS
    detection_threshold: float = 0.2
    min_keypoints: int = 0
    nms_radius: int = 2
    nms_rounds: int = 2
    resize: int | None = None

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise InputError(f"no ALIKED variant {self.variant!r}: one of {', '.join(VARIANTS)}")
        if self.max_keypoints is not None and self.max_keypoints < 1:
            raise InputError(f"max_keypoints is {self.max_keypoints}: at least 1, or None")
        if not self.detection_threshold < 1.0:
            raise InputError(f"detection_threshold is {self.detection_threshold}: below 1")
        if not 0 <= self.min_keypoints <= (self.max_keypoints or float("inf")):
            raise InputError(f"min_keypoints is {self.min_keypoints}: 0 … max_keypoints")
        if self.nms_radius < 1:
            raise InputError(f"nms_radius is {self.nms_radius}: at least 1 pixel")
        if self.nms_rounds < 0:
            raise InputError(f"nms_rounds is {self.nms_rounds}: at least 0")
        if self.resize is not None and self.resize < STRIDE:
            raise InputError(f"resize is {self.resize}: at least {STRIDE} pixels, or None")


class ALIKED(ALIKEDNetwork):
    """The network and its detector. Build it, then `load_state_dict` official weights.

    For inference: BatchNorm uses its running statistics in whichever mode the module is.
    """

    def __init__(self, config: ALIKEDConfig | None = None) -> None:
        self.config = config or ALIKEDConfig()
        super().__init__(self.config.variant)

    @torch.no_grad()
    def forward(self, image: Image, *, mask: Any = None, box: Any = None) -> Features:
        """Features of one image, best first.

        Only the box is looked at, as if it were the whole image; near its border there are fewer
        keypoints. Of a mask, its bounding box and a margin of 128 pixels are computed on the whole
        image's grid: nearly the whole image's features (they depend on pixels even farther away).
        An image with no score above the threshold has no keypoints (the official code takes the
        mean score as threshold then).

        Args:
            image, mask, box: see `matchers.images.look`.

        Returns:
            Unbatched features on the parameters' device; keypoints in pixels of the image, origin
            at the centre of the top-left pixel; no scales, no orientations.

        Raises:
            InputError: an argument is not what `matchers.images.look` takes.
        """
        return self._extract([images.look(image, mask, box)])[0]

    @torch.no_grad()
    def extract(self, batch: Sequence[Image], masks: Sequence[Any] | None = None) -> list[Features]:
        """Features of images of one size, computed together.

        Raises:
            InputError: as for one image; their sizes differ; there are not as many masks.
        """
        if masks is not None and len(masks) != len(batch):
            raise InputError(f"{len(masks)} masks for {len(batch)} images: as many are expected")
        views = [
            images.look(image, None if masks is None else masks[i]) for i, image in enumerate(batch)
        ]
        if len(sizes := {view.image_size for view in views}) > 1:
            raise InputError(f"images of sizes {sorted(sizes)} in a batch: one size is expected")
        return self._extract(views) if views else []

    @torch.no_grad()
    def score_map(self, image: Image) -> Tensor:
        """Detection scores of all pixels: (H, W) float32 in (0, 1); of the resized image, if so."""
        frames, _ = self._frames([images.look(image)])
        cut = _cut(frames, (0, 0, frames.shape[3], frames.shape[2]))
        return self._scores(self.maps(cut.pixels, cut.window), cut)[0]

    def _extract(self, views: list[images.View]) -> list[Features]:
        """Features of views of one size."""
        wanted = [box for view in views if (box := view.wanted) is not None]
        if not wanted:
            none = torch.zeros(0, 2, device=self.desc_head.agg_weights.device)
            return [images.features(v, none, none[:, 0], self.descriptor_size) for v in views]
        frames, scale = self._frames(views)
        size = (frames.shape[3], frames.shape[2])
        cut = _cut(frames, images.scaled(wanted, scale, size))
        maps = self.maps(cut.pixels, cut.window)
        scores = self._scores(maps, cut)
        origin, ratio = scores.new_tensor(cut.origin), scores.new_tensor(scale)
        start = scores.new_tensor((cut.near.x, cut.near.y))

        def in_view(points: Tensor) -> Tensor:
            return (points + start + origin + 0.5) / ratio - 0.5

        found = []
        for i, view in enumerate(views):

            def admits(points: Tensor, view: images.View = view) -> Tensor:
                return view.admits(in_view(points))

            points, values = self._detect(scores[i], admits)
            descriptors = self.describe(maps, i, points + start, cut.seen, max(size) / 4)
            found.append(images.features(view, in_view(points), values, descriptors))
        return found

    def _frames(self, views: list[images.View]) -> tuple[Tensor, tuple[float, float]]:
        """(B, 3, h, w) values of views of one size, resized, and the scale along x and y."""
        weight = self.desc_head.agg_weights
        frames = torch.stack([images.rgb(view.pixels.to(weight.device)) for view in views])
        frames, scale = images.resized(frames, self.config.resize)
        return frames.to(weight.dtype), scale

    def _scores(self, maps: Maps, cut: _Cut) -> Tensor:
        """Scores of the pixels near: (B, height, width)."""
        # the score head also sees the padding
        x, y, w, h = images.grown(cut.near, (cut.pixels.shape[3], cut.pixels.shape[2]), 3, 1)
        left, top = cut.near.x - x, cut.near.y - y
        scores = self.scores(maps, WindowPart(x, y, w, h))
        return scores[:, top : top + cut.near.height, left : left + cut.near.width]

    def _detect(self, scores: Tensor, admits: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Keypoints of an (H, W) score map: (N, 2) points (x, y) and (N,) scores, best first."""
        config = self.config
        kept = detection.local_maxima(scores, config.nms_radius, config.nms_rounds)
        kept = detection.without_border(kept, config.nms_radius)
        if config.detection_threshold > 0.0 and not config.min_keypoints:
            kept &= scores > config.detection_threshold
        pixels = kept.nonzero().flip(1)
        pixels = pixels[admits(pixels.to(scores.dtype))]
        peaks = scores[pixels[:, 1], pixels[:, 0]]
        points = detection.soft_argmax(scores, pixels, config.nms_radius)
        stays = admits(points)
        points, peaks = points[stays], peaks[stays]

        limit = config.max_keypoints
        if config.detection_threshold > 0.0:
            above = int((peaks > config.detection_threshold).sum())
            enough = max(above, config.min_keypoints)
            limit = enough if limit is None else min(limit, enough)
        points = points[detection.best_first(peaks, limit)]
        values = detection.sample(scores, points)
        order = detection.best_first(values)
        return points[order], values[order]


class _Cut(NamedTuple):
    """The parts of frames that are computed, and where keypoints are wanted in them.

    The network sees frames padded around their centre to multiples of 32, edges repeated.

    Attributes:
        pixels: (B, 3, h, w), the window.
        window: where it lies in the padded frame.
        seen: the window's pixels that are no padding.
        near: those of which scores are needed.
        origin: (x, y) of the window's first pixel in the frame; negative in padding.
    """

    pixels: Tensor
    window: FrameWindow
    seen: WindowPart
    near: WindowPart
    origin: tuple[int, int]


def _cut(frames: Tensor, wanted: images.Box) -> _Cut:
    """What has to be computed of (B, 3, h, w) frames for a box of them."""
    height, width = frames.shape[-2:]
    right, below = -width % STRIDE, -height % STRIDE
    left, above = right // 2, below // 2
    if right or below:
        padding = (left, right - left, above, below - above)
        frames = functional.pad(frames, padding, mode="replicate")
    padded = (width + right, height + below)
    box = (wanted[0] + left, wanted[1] + above, wanted[2], wanted[3])
    x, y, w, h = images.grown(box, padded, _CONTEXT, STRIDE)
    seen = _overlap((left, above, width, height), (x, y, w, h))
    near = _overlap(images.grown(box, padded, _NEAR, 1), (x + seen.x, y + seen.y, *seen[2:]))
    return _Cut(
        pixels=frames[..., y : y + h, x : x + w],
        window=FrameWindow(x, y, padded),
        seen=seen,
        near=WindowPart(near.x + seen.x, near.y + seen.y, near.width, near.height),
        origin=(x - left, y - above),
    )


def _overlap(box: images.Box, other: images.Box) -> WindowPart:
    """The part that two boxes share, in the second one's pixels."""
    spans = []
    for axis in (0, 1):
        first = max(box[axis], other[axis])
        last = min(box[axis] + box[axis + 2], other[axis] + other[axis + 2])
        spans.append((first - other[axis], last - first))
    (x, w), (y, h) = spans
    return WindowPart(x, y, w, h)


def _build(variant: str, **options: Any) -> ALIKED:
    return ALIKED(ALIKEDConfig(**{"variant": variant, **options}))


def _spec(variant: str, size: int) -> FeaturesSpec:
    return FeaturesSpec(
        variant,
        partial(_build, variant),
        ALIKEDConfig,
        descriptor_size=size,
        weighted=True,
        onnx="matchers.onnx.aliked:graphs",
    )


N16, N16ROT = _spec("aliked-n16", 128), _spec("aliked-n16rot", 128)
T16 = _spec("aliked-t16", 64)
