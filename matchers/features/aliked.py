"""ALIKED: keypoints (DKD, differentiable keypoint detection) and descriptors of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from matchers import boxes, images
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

TOGETHER, _GPU_TOGETHER = 1, 1 << 23
"""Pixels that are computed together, at most, on a CPU, which gains nothing by it, and on a GPU;
what has more is computed alone."""


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
        So are the tiles of an image of more pixels than `boxes.WHOLE`.
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
        """Features of images of one size, as far as a GPU gains by it computed together.

        Raises:
            InputError: as for one image; their sizes differ; there are not as many masks.
        """
        return self._extract(images.look_at_all(batch, masks))

    @torch.no_grad()
    def score_map(self, image: Image) -> Tensor:
        """Detection scores of all pixels: (H, W) float32 in (0, 1); of the resized image, if so."""
        frames, _ = self._frames([images.look(image)])
        size = (frames.shape[3], frames.shape[2])
        frames, margin = _padded(frames)
        cut = _cut(frames, margin, size, (0, 0, *size))
        return self._scores(self.maps(frames, [cut.window]), cut.near, (cut.width, cut.height))[0]

    def _extract(self, views: list[images.View]) -> list[Features]:
        """Features of views of one size."""
        found: list[list[_PartKeypoints]] = [[] for _ in views]
        wanted = [(i, box) for i, view in enumerate(views) if (box := view.wanted) is not None]
        if wanted:
            frames, scale = self._frames([views[i] for i, _ in wanted])
            size = (frames.shape[3], frames.shape[2])
            frames, margin = _padded(frames)
            parts = []
            for row, (i, box) in enumerate(wanted):
                tiles = boxes.tiles(boxes.scaled([box], scale, size))
                cuts = [_cut(frames, margin, size, tile) for tile in tiles]
                cores = tiles if len(tiles) > 1 else [None]
                parts += [_ViewPart(row, i, *what) for what in zip(cuts, cores, strict=True)]
            together = TOGETHER if frames.device.type == "cpu" else _GPU_TOGETHER
            for group in boxes.groups(parts, lambda part: part.cut.alike, together):
                points = self._found(frames, scale, views, group)
                for part, some in zip(group, points, strict=True):
                    found[part.view].append(some)
        return [self._features(view, some) for view, some in zip(views, found, strict=True)]

    def _found(
        self,
        frames: Tensor,
        scale: tuple[float, float],
        views: list[images.View],
        parts: list[_ViewPart],
    ) -> list[_PartKeypoints]:
        """Keypoints in parts of frames, whose windows are alike.

        What a GPU is asked to do is the same for one part as for many, and it is waited for a few
        times, not for each of them.
        """
        cuts = [part.cut for part in parts]
        pixels = torch.cat([frames[p.row : p.row + 1, :, p.cut.down, p.cut.across] for p in parts])
        height, width = pixels.shape[2:]
        near = cuts[0].near if len(cuts) == 1 else cuts[0].seen
        with self.tuned(pixels):
            maps = self.maps(pixels, [cut.window for cut in cuts])
            scores = self._scores(maps, near, (width, height))
        # to pixels of the frames
        start = images.constant((near.x, near.y), scores.device, scores.dtype)
        origins = scores.new_tensor([cut.origin for cut in cuts])
        ratio = images.constant(scale, scores.device, scores.dtype)
        used = sorted({part.view for part in parts})
        masks = images.Masks([views[i] for i in used], scores.device)
        rows = [used.index(part.view) for part in parts]
        mask_of = None if rows == list(range(len(rows))) else origins.new_tensor(rows).long()

        def in_view(points: Tensor, of: Tensor) -> Tensor:
            return (points + start + origins[of] + 0.5) / ratio - 0.5

        def wanted(points: Tensor, of: Tensor) -> Tensor | None:
            if masks.everywhere:
                return None
            return masks.admit(in_view(points, of), of if mask_of is None else mask_of[of])

        cores: list[boxes.Box | None] = []
        for part in parts:
            core = part.core
            if core is not None:
                x, y = core[0] - part.cut.origin[0], core[1] - part.cut.origin[1]
                core = (x - near.x, y - near.y, *core[2:])
            cores.append(core)
        of, points, peaks, values = self._detect(scores, wanted, cores)
        reach = max(cuts[0].size) / 4
        descriptors = self.describe(maps, of, points + start, cuts[0].seen, reach)
        together = (in_view(points, of), peaks, values, descriptors)
        if len(parts) == 1:
            return [_PartKeypoints(*together)]
        counts = detection.counts_of(of, len(parts)).tolist()
        split = (torch.split(value, counts) for value in together)
        return [_PartKeypoints(*some) for some in zip(*split, strict=True)]

    def _features(self, view: images.View, found: list[_PartKeypoints]) -> Features:
        """Features of a view from what was found in its parts."""
        if not found:
            none = torch.zeros(0, 2, device=self.desc_head.agg_weights.device)
            return images.features(view, none, none[:, 0], self.descriptor_size)
        if len(found) == 1:
            points, _, values, descriptors = found[0]
            return images.features(view, points, values, descriptors)
        points, peaks, values, descriptors = (torch.cat(part) for part in zip(*found, strict=True))
        best = self._best(peaks, torch.zeros_like(peaks, dtype=torch.long), 1)
        best = best[detection.best_first(values[best])]
        return images.features(view, points[best], values[best], descriptors[best])

    def _frames(self, views: list[images.View]) -> tuple[Tensor, tuple[float, float]]:
        """(B, 3, h, w) values of views of one size, resized, and the scale along x and y."""
        weight = self.desc_head.agg_weights
        frames = images.frames(views, images.rgb, weight.device)
        frames, scale = images.resized(frames, self.config.resize)
        return frames.to(weight.dtype), scale

    def _scores(self, maps: Maps, near: WindowPart, size: tuple[int, int]) -> Tensor:
        """Scores of the pixels near, in windows of a size: (B, height, width)."""
        x, y, w, h = boxes.grown(near, size, 3, 1)  # the score head also sees the padding
        left, top = near.x - x, near.y - y
        scores = self.scores(maps, WindowPart(x, y, w, h))
        return scores[:, top : top + near.height, left : left + near.width]

    def _detect(
        self,
        scores: Tensor,
        wanted: Callable[[Tensor, Tensor], Tensor | None],
        cores: Sequence[boxes.Box | None],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Keypoints of (B, H, W) score maps.

        Args:
            scores: the maps.
            wanted: says of (N, 2) points (x, y), each of a map (N,), which are; None: all.
            cores: the box of each map in which they are looked for; None: all of it.

        Returns:
            (N,) int64, the map of each, those of a map together; (N, 2) points (x, y); (N,) scores
            of their pixels; (N,) scores, best first.
        """
        config = self.config
        kept = detection.local_maxima(scores, config.nms_radius, config.nms_rounds)
        kept = detection.without_border(kept, config.nms_radius)
        if config.detection_threshold > 0.0 and not config.min_keypoints:
            kept &= scores > config.detection_threshold
        for row, core in zip(kept, cores, strict=True):
            if core is not None:
                x, y, w, h = core
                inside = torch.zeros_like(row)
                inside[y : y + h, x : x + w] = True
                row &= inside
        of, down, across = kept.nonzero().unbind(1)
        pixels = torch.stack((across, down), dim=1)
        stays = wanted(pixels.to(scores.dtype), of)
        if stays is not None:
            of, pixels = of[stays], pixels[stays]
        peaks = scores[of, pixels[:, 1], pixels[:, 0]]
        points = detection.soft_argmax(scores, pixels, config.nms_radius, of=of)
        stays = wanted(points, of)
        if stays is not None:
            of, points, peaks = of[stays], points[stays], peaks[stays]

        order = self._best(peaks, of, len(scores))
        of, points, peaks = of[order], points[order], peaks[order]
        values = detection.sample(scores, points, of)
        order = detection.best_first_of_each(values, of)
        return of[order], points[order], peaks[order], values[order]

    def _best(self, peaks: Tensor, of: Tensor, count: int) -> Tensor:
        """Indices of the keypoints that are kept of those with such scores, of so many maps: the
        first map's, best first, then the next one's."""
        order = detection.best_first_of_each(peaks, of)
        limit = self._limits(peaks, of, count)
        if limit is None:
            return order
        of = of[order]
        counts = detection.counts_of(of, count)
        rank = torch.arange(len(of), device=of.device) - (counts.cumsum(0) - counts)[of]
        return order[rank < limit[of]]

    def _limits(self, peaks: Tensor, of: Tensor, count: int) -> Tensor | None:
        """How many keypoints are kept of each of so many maps: (count,); None: all."""
        config, most = self.config, self.config.max_keypoints
        if config.detection_threshold <= 0.0:
            return None if most is None else torch.full((count,), most, device=of.device)
        maps = torch.arange(count, device=of.device)[:, None]
        above = ((of == maps) & (peaks > config.detection_threshold)).sum(1)
        enough = above.clamp(min=config.min_keypoints)
        return enough if most is None else enough.clamp(max=most)


class _PartKeypoints(NamedTuple):
    """Keypoints in a part of a view.

    Attributes:
        points: (N, 2), in pixels of the view.
        peaks: (N,) scores of their pixels.
        values: (N,) scores, best first.
        descriptors: (N, D).
    """

    points: Tensor
    peaks: Tensor
    values: Tensor
    descriptors: Tensor


class _Cut(NamedTuple):
    """The part of a frame that is computed, and where keypoints are wanted in it.

    The network sees frames padded around their centre to multiples of 32, edges repeated.

    Attributes:
        window: where it lies in the padded frame.
        width, height: of the window.
        seen: the window's pixels that are no padding.
        near: those of which scores are needed.
        origin: (x, y) of the window's first pixel in the frame; negative in padding.
        size: width and height of the frame.
    """

    window: FrameWindow
    width: int
    height: int
    seen: WindowPart
    near: WindowPart
    origin: tuple[int, int]
    size: tuple[int, int]

    @property
    def alike(self) -> tuple[int, ...]:
        """What windows share that are computed together: width, height, and where padding is."""
        return self.width, self.height, *self.seen

    @property
    def down(self) -> slice:
        """The window's rows of the padded frame."""
        return slice(self.window.y, self.window.y + self.height)

    @property
    def across(self) -> slice:
        """The window's columns of the padded frame."""
        return slice(self.window.x, self.window.x + self.width)


class _ViewPart(NamedTuple):
    """A part of a view: which frame and which view, what is computed, and of which box of the frame
    keypoints are taken; None: of all that the view wants."""

    row: int
    view: int
    cut: _Cut
    core: boxes.Box | None


def _padded(frames: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """(B, 3, h, w) frames with sides that are multiples of 32; columns and rows put before."""
    height, width = frames.shape[-2:]
    right, below = -width % STRIDE, -height % STRIDE
    left, above = right // 2, below // 2
    if right or below:
        padding = (left, right - left, above, below - above)
        frames = functional.pad(frames, padding, mode="replicate")
    return frames, (left, above)


def _cut(frames: Tensor, margin: tuple[int, int], size: tuple[int, int], wanted: boxes.Box) -> _Cut:
    """What has to be computed of frames of a size, padded, for a box of them.

    The same on every device: features depend on where the window ends (there are zeros), so that a
    larger one, to share a batch with others, would have other keypoints.
    """
    (left, above), (width, height) = margin, size
    padded = (frames.shape[3], frames.shape[2])
    box = (wanted[0] + left, wanted[1] + above, wanted[2], wanted[3])
    x, y, w, h = boxes.grown(box, padded, _CONTEXT, STRIDE)
    seen = _overlap((left, above, width, height), (x, y, w, h))
    near = _overlap(boxes.grown(box, padded, _NEAR, 1), (x + seen.x, y + seen.y, *seen[2:]))
    return _Cut(
        window=FrameWindow(x, y, padded),
        width=w,
        height=h,
        seen=seen,
        near=WindowPart(near.x + seen.x, near.y + seen.y, near.width, near.height),
        origin=(x - left, y - above),
        size=size,
    )


def _overlap(box: boxes.Box, other: boxes.Box) -> WindowPart:
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
