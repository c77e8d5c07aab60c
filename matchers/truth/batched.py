"""Ground truth of batches of pairs, from depth and pose or from homographies, in PyTorch.

The rules are those of `matchers.truth.rules`, and where a point is seen is decided as
`satgen.geometry.warp` decides it, on float32 tensors; a test holds the answers against those of
`matchers.truth.exact`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from matchers.truth import rules
from matchers.truth.rules import HOMOGRAPHY, IGNORED, UNMATCHED, Thresholds
from satgen.geometry import FRONT_RTOL, OCCLUSION_RTOL, SMOOTH_RATIO, SMOOTH_RTOL

TIE_PX2 = 1e-3
"""Squared pixels that descriptors at a right angle count as farther off: nothing, but where
keypoints lie in one place."""


@dataclass(frozen=True)
class DepthMaps:
    """Depth maps of B frames as windows of one long tensor.

    Attributes:
        counts: (P,) int16, the bits of uint16 counts of all maps, row by row.
        start: (B,) int64, where a frame's window begins.
        box: (B, 4) int64, x, y, width, height of its window; there is no surface outside.
        scale: (B,) float32, metres a count.
    """

    counts: Tensor
    start: Tensor
    box: Tensor
    scale: Tensor

    def joined(self, others: DepthMaps) -> DepthMaps:
        """The windows of these frames and of others, in this order."""
        counts, starts = self.counts, [self.start, others.start]
        if others.counts is not counts:
            starts[1] = starts[1] + len(counts)
            counts = torch.cat([counts, others.counts])
        box, scale = torch.cat([self.box, others.box]), torch.cat([self.scale, others.scale])
        return DepthMaps(counts, torch.cat(starts), box, scale)

    def read(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Depth in metres, 0 where there is none, at whole pixels (B, …) of each frame."""
        shape = (-1, *[1] * (rows.ndim - 1))
        x, y, w, h = (value.view(shape) for value in self.box.unbind(1))
        rows, columns = rows - y, columns - x
        inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
        place = (self.start.view(shape) + rows * w + columns).masked_fill(~inside, 0)
        counts = self.counts[place].to(torch.int32) & 0xFFFF
        return (counts * self.scale.view(shape)).masked_fill(~inside, 0.0)


@dataclass(frozen=True)
class BatchGeometry:
    """What ground truth needs to know of B frames and their keypoints, padded to N.

    Attributes:
        keypoints: (B, N, 2) float32 pixels of the frames; with homographies, of their images.
        mask: (B, N) bool, False at padding.
        image_size: (B, 2) float32, width and height, pixels.
        K: (B, 4) float32, fx, fy, cx, cy in pixels.
        pose: (B, 4, 4) float64, T_cam_target.
        depth: (B, N) float32 metres, of the surface in front at each keypoint, 0 where there is
            none; None, as the next three, where homographies take the place of poses.
        farthest: (B, N) float32 metres, of what is farthest beside it.
        rim: (B, N) bool, it shows no surface, but one is within `no_match_px`.
        maps: depth maps of the frames.
        homography: (B, 3, 3) float64, from a frame's pixels to this image's; None with poses.
        turn: (B, 3, 3) float64, with poses: from the frame's pixels to those of the image that a
            matcher sees, which is turned. Only what falls inside of that one can be seen.
    """

    keypoints: Tensor
    mask: Tensor
    image_size: Tensor
    K: Tensor
    pose: Tensor
    depth: Tensor | None = None
    farthest: Tensor | None = None
    rim: Tensor | None = None
    maps: DepthMaps | None = None
    homography: Tensor | None = None
    turn: Tensor | None = None


@dataclass(frozen=True)
class Labels:
    """The truth about the keypoints of B pairs, and what a predicted match is judged by.

    Attributes:
        partner0: (B, M) int64, the row in the second image, or `UNMATCHED`, or `IGNORED`.
        partner1: (B, N) int64, likewise in the first.
        points0, points1: (B, M, 2) and (B, N, 2) pixels of the keypoints.
        uv0, uv1: (B, M, 2) and (B, N, 2) pixels in the other image where they fall, seen there or
            not; NaN where that is not known.
        seen0, seen1: (B, M) and (B, N) bool, seen in the other image.
        doubtful0, doubtful1: (B, M) and (B, N) bool: a wrong position says nothing against them.
        thresholds: that hold.
    """

    partner0: Tensor
    partner1: Tensor
    points0: Tensor
    points1: Tensor
    uv0: Tensor
    uv1: Tensor
    seen0: Tensor
    seen1: Tensor
    doubtful0: Tensor
    doubtful1: Tensor
    thresholds: Thresholds


class _CarriedBatch(NamedTuple):
    """What becomes of keypoints (B, N) in the other image.

    `uv` (B, N, 2) is NaN where it is not known; `seen` is there; `absent`: there is certainly no
    match, wherever other keypoints are; `unknown`: it might be anything's match; `doubtful`: it may
    be on another surface, so that nothing is known of it unless it matches.
    """

    uv: Tensor
    seen: Tensor
    absent: Tensor
    unknown: Tensor
    doubtful: Tensor


def pose_labels(
    side0: BatchGeometry,
    side1: BatchGeometry,
    thresholds: Thresholds | None = None,
    likeness: Tensor | None = None,
) -> Labels:
    """Labels of pairs of frames of one target, by depth and pose.

    Args:
        side0, side1: the first and the second frames, with depths.
        thresholds: the papers' 3 and 5 px unless given.
        likeness: (B, M, N) cosines of the keypoints' descriptors: of keypoints that lie in one
            place, as SIFT's of several orientations do, the most alike are partners. Geometry
            cannot tell them apart; None: it takes the first.
    """
    thresholds = thresholds or Thresholds()
    # both directions in one go: what is done for a keypoint is many small steps
    sides = _joined(side0, side1)
    carried = _carry(sides, _swapped(sides), thresholds)
    pairs, lengths = len(side0.mask), (side0.mask.shape[1], side1.mask.shape[1])
    carried0 = _CarriedBatch(*(value[:pairs, : lengths[0]] for value in carried))
    carried1 = _CarriedBatch(*(value[pairs:, : lengths[1]] for value in carried))
    return _label(side0, side1, carried0, carried1, thresholds, likeness)


def homography_labels(
    side0: BatchGeometry,
    side1: BatchGeometry,
    thresholds: Thresholds = HOMOGRAPHY,
    likeness: Tensor | None = None,
) -> Labels:
    """Labels of pairs of versions of the same frames, by their homographies.

    Args:
        side0, side1: the first and the second versions, with homographies.
        thresholds: 3 and 3 px unless given.
        likeness: see `pose_labels`.
    """
    assert side0.homography is not None and side1.homography is not None
    H = side1.homography @ _inverse(side0.homography)
    carried = (
        _carry_homography(side0, side1, H),
        _carry_homography(side1, side0, _inverse(H)),
    )
    return _label(side0, side1, *carried, thresholds, likeness)


@torch.no_grad()
def _label(
    side0: BatchGeometry,
    side1: BatchGeometry,
    carried0: _CarriedBatch,
    carried1: _CarriedBatch,
    thresholds: Thresholds,
    likeness: Tensor | None,
) -> Labels:
    points0, points1 = side0.keypoints, side1.keypoints
    mask0, mask1 = side0.mask, side1.mask
    d0 = _squared(carried0.uv, mask0, points1, mask1)  # (B, M, N)
    d1 = _squared(carried1.uv, mask1, points0, mask0).transpose(1, 2)
    # A keypoint that is nearer still, but of unknown fate, might be the partner.
    rival0 = d0.masked_fill(~carried1.unknown[:, None, :], torch.inf).amin(2)
    rival1 = d1.masked_fill(~carried0.unknown[:, :, None], torch.inf).amin(1)
    nearest0, nearest1 = d0.amin(2), d1.amin(1)

    error = torch.maximum(d0, d1)
    error += _unless(carried0.seen)[:, :, None]
    error += _unless(carried1.seen)[:, None, :]
    if likeness is not None:
        error += TIE_PX2 * (1.0 - likeness)
    best, first = error.min(2)
    second = error.argmin(1)
    rows = torch.arange(first.shape[1], device=first.device)
    mutual = (best < thresholds.match_px**2) & (second.gather(1, first) == rows)
    mutual &= (rival0 >= best) & (rival1.gather(1, first) >= best)
    columns = torch.arange(second.shape[1], device=first.device)
    chosen = mutual.gather(1, second) & (first.gather(1, second) == columns)

    partner0 = _alone(carried0, mask0, nearest0, thresholds.no_match_px)
    partner1 = _alone(carried1, mask1, nearest1, thresholds.no_match_px)
    partner0 = torch.where(mutual, first, partner0)
    partner1 = torch.where(chosen, second, partner1)
    return Labels(
        partner0,
        partner1,
        points0,
        points1,
        carried0.uv,
        carried1.uv,
        carried0.seen,
        carried1.seen,
        carried0.doubtful,
        carried1.doubtful,
        thresholds,
    )


class Judged(NamedTuple):
    """What the truth says of predicted matches, (B, M) bool each.

    Attributes:
        correct, wrong: the keypoints of the first images whose match is so.
        found, true: places of the first images, in any order: those with a true match of which a
            keypoint is correctly matched, and all with a true match.
    """

    correct: Tensor
    wrong: Tensor
    found: Tensor
    true: Tensor


@torch.no_grad()
def judge(labels: Labels, partner: Tensor) -> Judged:
    """What the truth says of predicted matches, by `matchers.truth.rules.judge`.

    Args:
        labels: of the pairs.
        partner: (B, M) int64, the match of each keypoint of the first images, -1 where none.
    """
    none = partner < 0
    chosen = partner.clamp(min=0)
    ends = chosen[..., None].expand(-1, -1, 2)
    place0, place1 = _places(labels.points0), _places(labels.points1)
    partner0, partner1 = _most(labels.partner0, place0), _most(labels.partner1, place1)
    correct, wrong = rules.judge(
        (
            (labels.uv0 - labels.points1.gather(1, ends)).norm(dim=2),
            (labels.uv1.gather(1, ends) - labels.points0).norm(dim=2),
        ),
        labels.seen0 & labels.seen1.gather(1, chosen),
        (labels.doubtful0, labels.doubtful1.gather(1, chosen)),
        (partner0.gather(1, place0), partner1.gather(1, place1).gather(1, chosen)),
        labels.thresholds,
    )
    correct, wrong = correct & ~none, wrong & ~none
    true = partner0 >= 0
    return Judged(correct, wrong, true & (_most(correct.long(), place0) > 0), true)


def _places(points: Tensor) -> Tensor:
    """Numbers (B, N) of the places of points (B, N, 2): one where they are equal to the bit."""
    bits = (points + 0.0).view(torch.int32).long()  # there is one zero
    keys, rows = ((bits[..., 0] << 32) | (bits[..., 1] & 0xFFFFFFFF)).sort(1)
    numbers = pad((keys[:, 1:] != keys[:, :-1]).cumsum(1), (1, 0))
    return torch.zeros_like(rows).scatter(1, rows, numbers)


def _most(values: Tensor, place: Tensor) -> Tensor:
    """The largest of the values (B, N) int64 in each place, by its number; `IGNORED` in others."""
    return torch.full_like(values, IGNORED).scatter_reduce(1, place, values, "amax")


def _alone(carried: _CarriedBatch, mask: Tensor, nearest: Tensor, no_match_px: float) -> Tensor:
    """`UNMATCHED` or `IGNORED` for each keypoint, from its squared distance to the nearest other
    one."""
    known = carried.uv[..., 0].isfinite()
    far = known & (nearest > no_match_px**2)
    alone = mask & ~carried.doubtful & (carried.absent | far)
    return torch.where(alone, UNMATCHED, IGNORED)


_FAR_PX = 1e9
"""Where keypoints are put that are near nothing, on either side of the origin."""


def _squared(uv: Tensor, mask: Tensor, points: Tensor, real: Tensor) -> Tensor:
    """(B, N, 2) and (B, M, 2) -> (B, N, M) squared distances in pixels.

    Those of padding, and of positions that are not known, are larger than any other. The
    differences are taken as they are: on CUDA `torch.cdist` has a block of threads for each of
    them, and a product of matrices would lose hundredths of a pixel.
    """
    known = mask & uv[..., 0].isfinite()
    u, v = torch.where(known[..., None], uv, -_FAR_PX)[:, :, None].unbind(-1)
    x, y = torch.where(real[..., None], points, _FAR_PX)[:, None].unbind(-1)
    du, dv = u - x, v - y
    return du.mul_(du).addcmul_(dv, dv)


def _unless(chosen: Tensor) -> Tensor:
    """0 where something is chosen, else infinity."""
    return torch.zeros_like(chosen, dtype=torch.float32).masked_fill_(~chosen, torch.inf)


def _inside(uv: Tensor, size: Tensor) -> Tensor:
    """Whether positions (B, N, 2) have a nearest pixel in images of (B, 2) width and height."""
    return ((uv >= -0.5) & (uv < size[:, None] - 0.5)).all(-1)


def warped(H: Tensor, points: Tensor) -> Tensor:
    """Where homographies (B, 3, 3) float64 take pixels (B, N, 2); NaN behind the camera."""
    moved = points.double() @ H[:, :, :2].transpose(1, 2) + H[:, None, :, 2]
    front = moved[..., 2:] > 1e-6
    return torch.where(front, moved[..., :2] / moved[..., 2:], torch.nan).float()


def _inverse(matrices: Tensor) -> Tensor:
    """Inverses of matrices that have one: to look whether they do is to wait for the device."""
    inverse: Tensor = torch.linalg.inv_ex(matrices).inverse
    return inverse


# --- homographies -------------------------------------------------------------------------------


@torch.no_grad()
def _carry_homography(here: BatchGeometry, there: BatchGeometry, H: Tensor) -> _CarriedBatch:
    uv = warped(H, here.keypoints)
    front = uv[..., :1].isfinite()
    seen = _inside(uv, there.image_size) & here.mask
    none = torch.zeros_like(seen)
    return _CarriedBatch(uv, seen, ~front[..., 0], none, none)


# --- depth and pose -----------------------------------------------------------------------------


def _joined(first: BatchGeometry, second: BatchGeometry) -> BatchGeometry:
    """Two sides with depths as one, of twice as many frames, padded to the longer one's length."""
    length = max(first.mask.shape[1], second.mask.shape[1])

    def joined(name: str) -> Any:
        values = [getattr(side, name) for side in (first, second)]
        return None if values[0] is None else torch.cat(values)

    def padded(name: str) -> Any:
        values = []
        for side in (first, second):
            value = getattr(side, name)
            assert value is not None
            missing = length - value.shape[1]
            values.append(
                pad(value, (0, 0) * (value.ndim - 2) + (0, missing)) if missing else value
            )
        return torch.cat(values)

    assert first.maps is not None and second.maps is not None
    return BatchGeometry(
        keypoints=padded("keypoints"),
        mask=padded("mask"),
        image_size=joined("image_size"),
        K=joined("K"),
        pose=joined("pose"),
        depth=padded("depth"),
        farthest=padded("farthest"),
        rim=padded("rim"),
        maps=first.maps.joined(second.maps),
        turn=joined("turn"),
    )


def _swapped(sides: BatchGeometry) -> BatchGeometry:
    """What is known of the frames of `_joined` sides, the second half of them first; their
    keypoints stay."""
    count = len(sides.mask) // 2
    assert sides.maps is not None
    maps = sides.maps
    windows = (value.roll(count, 0) for value in (maps.start, maps.box, maps.scale))
    return replace(
        sides,
        image_size=sides.image_size.roll(count, 0),
        K=sides.K.roll(count, 0),
        pose=sides.pose.roll(count, 0),
        maps=DepthMaps(maps.counts, *windows),
        turn=None if sides.turn is None else sides.turn.roll(count, 0),
    )


@torch.no_grad()
def _carry(here: BatchGeometry, there: BatchGeometry, thresholds: Thresholds) -> _CarriedBatch:
    """Keypoints of one side in the other one's images, as `satgen.geometry.warp` does it."""
    assert here.depth is not None and here.farthest is not None
    assert here.rim is not None and there.maps is not None
    mask = here.mask
    project = _projection(here, there)
    surface = (here.depth > 0.0) & mask
    uv, z = project(here.depth)
    uv = torch.where((surface & (z > 0.0))[..., None], uv, torch.nan)
    inside = _inside(uv, there.image_size)
    if there.turn is not None:
        inside &= _inside(warped(there.turn, uv), there.image_size)
    found = _look_up(there.maps, uv.masked_fill(~inside[..., None], 0.0))
    tolerance = 1e-6 + OCCLUSION_RTOL * z
    ahead = z[..., None] - torch.where(found.smooth[..., None], found.z[..., None], found.around)
    step = torch.maximum(tolerance, FRONT_RTOL * z)
    seen = (ahead.abs() <= tolerance[..., None]).any(-1) & (ahead <= step[..., None]).all(-1)
    seen &= inside
    occluded = inside & (ahead > tolerance[..., None]).all(-1)

    behind = project(here.farthest)[0]
    doubtful = surface & ((uv - behind).norm(dim=-1) > thresholds.edge_px)
    # The surface behind may be seen where the one in front is hidden.
    uncertain = occluded & (here.farthest > (1.0 + OCCLUSION_RTOL) * here.depth)
    occluded = occluded & ~uncertain
    undecided = surface & inside & ~seen & ~occluded
    empty = mask & ~surface & ~here.rim
    absent = occluded | empty | (surface & ~inside & ~uv[..., 0].isfinite())
    return _CarriedBatch(uv, seen, absent, undecided | (here.rim & mask), doubtful)


def _projection(here: BatchGeometry, there: BatchGeometry) -> Callable[[Tensor], Any]:
    """Carries the keypoints of frames, at depths (B, N), into the other frames: pixels (B, N, 2)
    and depths (B, N). Products are float64: at a distance, coordinates are differences of large
    numbers; no tensor that is as large as pairs of keypoints has that type."""
    T = there.pose @ _inverse(here.pose)
    turned = _camera(there.K) @ T[:, :3, :3] @ _inverse(_camera(here.K))
    shift = (_camera(there.K) @ T[:, :3, 3:]).mT
    rays = pad(here.keypoints.double(), (0, 1), value=1.0) @ turned.mT

    def at(depth: Tensor) -> tuple[Tensor, Tensor]:
        moved = torch.addcmul(shift, rays, depth.double()[..., None])
        z = moved[..., 2:]
        uv = moved[..., :2] / torch.where(z > 0.0, z, torch.nan)
        return uv.float(), z[..., 0].float()

    return at


def _camera(K: Tensor) -> Tensor:
    """Camera matrices (B, 3, 3) float64 of (B, 4) fx, fy, cx, cy."""
    fx, fy, cx, cy = K.double().unbind(1)
    none, one = torch.zeros_like(fx), torch.ones_like(fx)
    return torch.stack([fx, none, cx, none, fy, cy, none, none, one], 1).view(-1, 3, 3)


class _Found(NamedTuple):
    """What depth maps show around positions, as `satgen.geometry` looks it up.

    `z` (B, N) is of the smooth surface or of the nearest pixel, `smooth` (B, N) says which,
    `around` (B, N, 4) is of the pixels around, inf for none.
    """

    z: Tensor
    smooth: Tensor
    around: Tensor


def _look_up(maps: DepthMaps, uv: Tensor) -> _Found:
    """Look up positions (B, N, 2) inside the images; see `satgen.geometry.sample_depth`."""
    corner = uv.floor()
    du, dv = (uv - corner).unbind(-1)
    steps = torch.arange(-1, 3, device=uv.device)
    columns, rows = (corner.long()[..., None] + steps).unbind(-2)
    block = maps.read(rows[..., :, None], columns[..., None, :])  # (B, N, 4, 4)
    present = block > 0.0
    w = block.reciprocal().masked_fill(~present, torch.nan)
    core = w[..., 1:3, 1:3]
    slack = SMOOTH_RTOL * core.mean((-1, -2))

    def agree(a: Tensor, b: Tensor, more: int) -> Tensor:
        """Whether steps (B, N, …) of so many dimensions more are about the same."""
        loose = slack.view(*slack.shape, *[1] * more)
        steeper = torch.maximum(a.abs(), b.abs())
        bound = loose + SMOOTH_RATIO * torch.minimum(steeper, 10.0 * loose)
        return (a - b).abs() <= bound  # False where either is NaN

    # the two rows and the two columns that a position lies between: three steps along each
    lines = torch.cat([w[..., 1:3, :], w[..., :, 1:3].mT], -2).diff(dim=-1)  # (B, N, 4, 3)
    step = lines[..., 1]
    beside = agree(lines[..., 1:2], lines[..., ::2], 2).any(-1)
    smooth = torch.cat([beside, agree(step[..., ::2], step[..., 1::2], 1)], -1).all(-1)
    smooth = smooth & ((du > 0.0) | (dv > 0.0))
    top = (1.0 - du) * core[..., 0, 0] + du * core[..., 0, 1]
    bottom = (1.0 - du) * core[..., 1, 0] + du * core[..., 1, 1]
    interpolated = 1.0 / ((1.0 - dv) * top + dv * bottom)

    inner = block[..., 1:3, 1:3]
    middle = torch.where((dv >= 0.5)[..., None], inner[..., 1, :], inner[..., 0, :])
    z = torch.where(du >= 0.5, middle[..., 1], middle[..., 0])
    filled = torch.where(present[..., 1:3, 1:3], inner, torch.inf)
    left, right_ = filled[..., 0], filled[..., 1]
    filled = torch.stack([left, torch.where((du > 0.0)[..., None], right_, left)], -1)
    upper, lower = filled[..., 0, :], filled[..., 1, :]
    filled = torch.stack([upper, torch.where((dv > 0.0)[..., None], lower, upper)], -2)
    return _Found(torch.where(smooth, interpolated, z), smooth, filled.flatten(-2))
