"""SuperPoint (DeTone, Malisiewicz & Rabinovich, CVPRW 2018).

The architecture, written from the paper, with the parameter names of the official checkpoint, which
loads strictly. No weights come with it: the official ones (Magic Leap) are for NON-COMMERCIAL
research only, and are loaded only from a file that the user names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from matchers import boxes, images
from matchers.features import keypoint_detection as detection
from matchers.features.sampling import bilinear_taps, weighted_rows
from matchers.specs import MAX_KEYPOINTS, FeaturesSpec
from matchers.types import Features, Image
from satgen.errors import InputError

TOGETHER, _GPU_TOGETHER = 1, 1 << 23
"""Pixels that are computed together, see `matchers.features.aliked`."""

CELL = 8  # pixels of a cell's side
_MARGIN = 64  # pixels computed around a mask: more than the receptive field and the NMS reach


@dataclass(frozen=True)
class SuperPointConfig:
    """Settings of SuperPoint. The defaults are the official code's, but for `max_keypoints`.

    Attributes:
        max_keypoints: at most so many, the best; None: all.
        detection_threshold: probability that a keypoint must exceed.
        nms_radius: pixels, of non-maximum suppression.
        border: pixels from the border within which there are no keypoints.
        resize: length in pixels that the long side is brought to before anything else, up or down
            (LightGlue's wrapper: 1024); None: images are taken as they are.
    """

    max_keypoints: int | None = MAX_KEYPOINTS
    detection_threshold: float = 0.005
    nms_radius: int = 4
    border: int = 4
    resize: int | None = None

    def __post_init__(self) -> None:
        if self.max_keypoints is not None and self.max_keypoints < 1:
            raise InputError(f"max_keypoints is {self.max_keypoints}: at least 1, or None")
        if not 0.0 <= self.detection_threshold < 1.0:
            raise InputError(f"detection_threshold is {self.detection_threshold}: in [0, 1)")
        if self.nms_radius < 0 or self.border < 0:
            raise InputError(
                f"nms_radius is {self.nms_radius} and border {self.border}: at least 0 pixels"
            )
        if self.resize is not None and self.resize < CELL:
            raise InputError(f"resize is {self.resize}: at least {CELL} pixels, or None")


class SuperPoint(nn.Module):
    """The network and its detector. Build it, then `load_state_dict` a checkpoint."""

    descriptor_size = 256

    def __init__(self, config: SuperPointConfig | None = None) -> None:
        super().__init__()
        self.config = config or SuperPointConfig()
        self.conv1a = nn.Conv2d(1, 64, 3, padding=1)
        self.conv1b = nn.Conv2d(64, 64, 3, padding=1)
        self.conv2a = nn.Conv2d(64, 64, 3, padding=1)
        self.conv2b = nn.Conv2d(64, 64, 3, padding=1)
        self.conv3a = nn.Conv2d(64, 128, 3, padding=1)
        self.conv3b = nn.Conv2d(128, 128, 3, padding=1)
        self.conv4a = nn.Conv2d(128, 128, 3, padding=1)
        self.conv4b = nn.Conv2d(128, 128, 3, padding=1)
        self.convPa = nn.Conv2d(128, 256, 3, padding=1)
        self.convPb = nn.Conv2d(256, CELL**2 + 1, 1)
        self.convDa = nn.Conv2d(128, 256, 3, padding=1)
        self.convDb = nn.Conv2d(256, self.descriptor_size, 1)

    @torch.no_grad()
    def forward(self, image: Image, *, mask: Any = None, box: Any = None) -> Features:
        """Features of one image, best first.

        Only the box is looked at, as if it were the whole image. With a mask, its bounding box and
        a margin are computed; the features are those of the whole image.

        Args:
            image, mask, box: see `matchers.images.look`; colour is brought to luma.

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

    def _extract(self, views: list[images.View]) -> list[Features]:
        """Features of views of one size."""
        weight = self.conv1a.weight
        found: list[list[_Described]] = [[] for _ in views]
        wanted = [(i, box) for i, view in enumerate(views) if (box := view.wanted) is not None]
        if wanted:
            gray = images.frames([views[i] for i, _ in wanted], images.gray, weight.device)
            frames, scale = images.resized(gray, self.config.resize)
            size = (frames.shape[3], frames.shape[2])
            parts = []
            for row, (i, box) in enumerate(wanted if min(size) >= CELL else []):
                tiles = boxes.tiles(boxes.scaled([box], scale, size))
                for tile in tiles:
                    window = boxes.grown(tile, size, _MARGIN, CELL)
                    parts.append(_ViewWindow(row, i, window, tile if len(tiles) > 1 else None))
            together = TOGETHER if frames.device.type == "cpu" else _GPU_TOGETHER
            for group in boxes.groups(parts, lambda part: part.box[2:], together):
                cut = [
                    frames[part.row : part.row + 1, :, y : y + h, x : x + w]
                    for part in group
                    for x, y, w, h in (part.box,)
                ]
                scores, cells = self.maps(torch.cat(cut).to(weight.dtype))
                for part, mine, those in zip(group, scores, cells, strict=True):
                    some = self._found(mine, those, part, views[part.view], scale, size)
                    found[part.view].append(some)
        return [self._features(view, some) for view, some in zip(views, found, strict=True)]

    def _found(
        self,
        scores: Tensor,
        cells: Tensor,
        part: _ViewWindow,
        view: images.View,
        scale: tuple[float, float],
        size: tuple[int, int],
    ) -> _Described:
        """Keypoints of a part from its maps."""
        (x, y, _, _), limit = part.box, self.config.max_keypoints
        origin, ratio = scores.new_tensor((x, y)), scores.new_tensor(scale)
        pixels = self._detect(scores)
        if part.core is not None:
            left, top, width, height = part.core
            across, down = pixels[:, 0] + x - left, pixels[:, 1] + y - top
            inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
            pixels = pixels[inside]
        values = scores[pixels[:, 1], pixels[:, 0]]
        points = (pixels + origin + 0.5) / ratio - 0.5
        keep = view.admits(points)
        pixels, points, values = pixels[keep], points[keep], values[keep]
        order = detection.best_first(values, limit)
        pixels, points, values = pixels[order], points[order], values[order]
        return _Described(points, values, self._sample(cells, pixels, (x, y), size))

    def _features(self, view: images.View, found: list[_Described]) -> Features:
        """Features of a view from what was found in its parts."""
        if not found:
            nothing = torch.zeros(0, 2, device=self.conv1a.weight.device)
            return images.features(view, nothing, nothing[:, 0], self.descriptor_size)
        if len(found) == 1:
            return images.features(view, *found[0])
        points, values, descriptors = (torch.cat(part) for part in zip(*found, strict=True))
        order = detection.best_first(values, self.config.max_keypoints)
        return images.features(view, points[order], values[order], descriptors[order])

    def maps(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and descriptors of (B, 1, h, w) luma in [0, 1].

        Returns:
            (B, 8·⌊h/8⌋, 8·⌊w/8⌋) probabilities, float32, and (B, D, ⌊h/8⌋, ⌊w/8⌋) descriptors of
            the 8 × 8 cells, unit length.
        """
        x = gray.contiguous(memory_format=torch.channels_last)
        for level, (a, b) in enumerate(
            (
                (self.conv1a, self.conv1b),
                (self.conv2a, self.conv2b),
                (self.conv3a, self.conv3b),
                (self.conv4a, self.conv4b),
            )
        ):
            x = functional.max_pool2d(x, 2) if level else x
            x = functional.relu(b(functional.relu(a(x), inplace=True)), inplace=True)
        logits = self.convPb(functional.relu(self.convPa(x), inplace=True))
        # the last channel says that the cell has no keypoint (§3.2)
        scores = functional.pixel_shuffle(logits.float().softmax(dim=1)[:, :-1], CELL)[:, 0]
        cells = functional.normalize(
            self.convDb(functional.relu(self.convDa(x), inplace=True)), dim=1
        )
        return scores, cells

    def _detect(self, scores: Tensor) -> Tensor:
        """Keypoints of an (h, w) map: (N, 2) int64, (x, y)."""
        kept = detection.local_maxima(scores, self.config.nms_radius)
        kept = detection.without_border(kept, self.config.border)
        return (kept & (scores > self.config.detection_threshold)).nonzero().flip(1)

    def _sample(
        self, cells: Tensor, pixels: Tensor, origin: tuple[int, int], size: tuple[int, int]
    ) -> Tensor:
        """Descriptors at (N, 2) pixels (x, y) of a window: (N, D), of unit length.

        Cell i is centred on pixel 8·i + 3.5. The official code stretches that slightly (by 3.5
        pixels at the far border), and so does this: the networks after it were trained so.
        """
        height, width = cells.shape[1:]
        axes = []
        for axis in (0, 1):
            count = size[axis] // CELL
            stretch = (count - 1) / (count * CELL - 4.5)
            place = (pixels[:, axis] + origin[axis] - 3.5) * stretch - origin[axis] // CELL
            axes.append(place)
        taps, weights = bilinear_taps(axes[0], axes[1], width, height)
        table = cells.permute(1, 2, 0).flatten(0, 1)
        return functional.normalize(weighted_rows(table, taps, weights).float(), dim=1)


class _ViewWindow(NamedTuple):
    """A part of a view: which frame and which view, the box of the frame that is computed, and the
    box of it that keypoints are taken of; None: of all that the view wants."""

    row: int
    view: int
    box: boxes.Box
    core: boxes.Box | None


class _Described(NamedTuple):
    """Keypoints in a part of a view: (N, 2) pixels of the view, (N,) scores, (N, D) descriptors."""

    points: Tensor
    values: Tensor
    descriptors: Tensor


def _build(**options: Any) -> SuperPoint:
    return SuperPoint(SuperPointConfig(**options))


SPEC = FeaturesSpec(
    "superpoint",
    _build,
    SuperPointConfig,
    descriptor_size=SuperPoint.descriptor_size,
    weighted=True,
    onnx="matchers.onnx.superpoint:graphs",
)
