"""Ground truth of batches of pairs, from depth and pose or from homographies, in PyTorch.

The rules are those of `matchers.truth.rules`, and where a point is seen is decided as
`satgen.geometry.warp` decides it, on float32 tensors; a test holds the answers against those of
`matchers.truth.exact`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from matchers.truth import rules
from matchers.truth.rules import HOMOGRAPHY, IGNORED, UNMATCHED, Thresholds
from satgen.geometry import FRONT_RTOL, OCCLUSION_RTOL, SMOOTH_RATIO, SMOOTH_RTOL


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
    side0: BatchGeometry, side1: BatchGeometry, thresholds: Thresholds | None = None
) -> Labels:
    """Labels of pairs of frames of one target, by depth and pose.

    Args:
        side0, side1: the first and the second frames, with depths.
        thresholds: the papers' 3 and 5 px unless given.
    """
    thresholds = thresholds or Thresholds()
    carried = (_carry(side0, side1, thresholds), _carry(side1, side0, thresholds))
    return _label(side0, side1, *carried, thresholds)


def homography_labels(
    side0: BatchGeometry, side1: BatchGeometry, thresholds: Thresholds = HOMOGRAPHY
) -> Labels:
    """Labels of pairs of versions of the same frames, by their homographies.

    Args:
        side0, side1: the first and the second versions, with homographies.
        thresholds: 3 and 3 px unless given.
    """
    assert side0.homography is not None and side1.homography is not None
    H = side1.homography @ torch.linalg.inv(side0.homography)
    carried = (
        _carry_homography(side0, side1, H),
        _carry_homography(side1, side0, torch.linalg.inv(H)),
    )
    return _label(side0, side1, *carried, thresholds)


@torch.no_grad()
def _label(
    side0: BatchGeometry,
    side1: BatchGeometry,
    carried0: _CarriedBatch,
    carried1: _CarriedBatch,
    thresholds: Thresholds,
) -> Labels:
    points0, points1 = side0.keypoints, side1.keypoints
    mask0, mask1 = side0.mask, side1.mask
    d0 = _distances(carried0.uv, points1)  # (B, M, N)
    d1 = _distances(carried1.uv, points0).transpose(1, 2)
    real = mask0[:, :, None] & mask1[:, None, :]
    d0, d1 = d0.masked_fill(~real, torch.inf), d1.masked_fill(~real, torch.inf)
    error = torch.maximum(d0, d1)
    close = carried0.seen[:, :, None] & carried1.seen[:, None, :] & (error < thresholds.match_px)

    candidates = error.masked_fill(~close, torch.inf)
    best0, first = candidates.min(2)
    second = candidates.argmin(1)
    rows = torch.arange(first.shape[1], device=first.device)
    mutual = (best0 < torch.inf) & (second.gather(1, first) == rows)
    # A keypoint that is nearer still, but of unknown fate, might be the partner.
    rival0 = d0.masked_fill(~carried1.unknown[:, None, :], torch.inf).amin(2)
    rival1 = d1.masked_fill(~carried0.unknown[:, :, None], torch.inf).amin(1)
    mutual &= (rival0 >= best0) & (rival1.gather(1, first) >= best0)

    partner0 = _alone(carried0, mask0, d0.amin(2), thresholds.no_match_px)
    partner1 = _alone(carried1, mask1, d1.amin(1), thresholds.no_match_px)
    partner0 = torch.where(mutual, first, partner0)
    pair, i = mutual.nonzero(as_tuple=True)
    partner1[pair, first[pair, i]] = i
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


@torch.no_grad()
def judge(labels: Labels, partner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the truth says of predicted matches, by `matchers.truth.rules.judge`.

    Args:
        labels: of the pairs.
        partner: (B, M) int64, the match of each keypoint of the first images, -1 where none.

    Returns:
        (B, M) bool each: the keypoint's match is correct; it is wrong; it is correct, and the
        keypoint has a true match.
    """
    none = partner < 0
    chosen = partner.clamp(min=0)
    places = chosen[..., None].expand(-1, -1, 2)
    correct, wrong = rules.judge(
        (
            (labels.uv0 - labels.points1.gather(1, places)).norm(dim=2),
            (labels.uv1.gather(1, places) - labels.points0).norm(dim=2),
        ),
        labels.seen0 & labels.seen1.gather(1, chosen),
        (labels.doubtful0, labels.doubtful1.gather(1, chosen)),
        (labels.partner0, labels.partner1.gather(1, chosen)),
        labels.thresholds,
    )
    correct, wrong = correct & ~none, wrong & ~none
    return correct, wrong, correct & (labels.partner0 >= 0)


def _alone(carried: _CarriedBatch, mask: Tensor, nearest: Tensor, no_match_px: float) -> Tensor:
    """`UNMATCHED` or `IGNORED` for each keypoint, from its distance to the nearest other one."""
    known = carried.uv[..., 0].isfinite()
    alone = mask & ~carried.doubtful & (carried.absent | (known & (nearest > no_match_px)))
    return torch.where(alone, UNMATCHED, IGNORED)


def _distances(uv: Tensor, points: Tensor) -> Tensor:
    """(B, N, 2) and (B, M, 2) -> (B, N, M) pixels; inf where a position is not known."""
    known = uv[..., :1].isfinite()
    uv = torch.where(known, uv, 0.0)
    distance = torch.cdist(uv, points, compute_mode="donot_use_mm_for_euclid_dist")
    return distance.masked_fill(~known, torch.inf)


def _inside(uv: Tensor, size: Tensor) -> Tensor:
    """Whether positions (B, N, 2) have a nearest pixel in images of (B, 2) width and height."""
    return ((uv >= -0.5) & (uv < size[:, None] - 0.5)).all(-1)


def warped(H: Tensor, points: Tensor) -> Tensor:
    """Where homographies (B, 3, 3) float64 take pixels (B, N, 2); NaN behind the camera."""
    moved = points.double() @ H[:, :, :2].transpose(1, 2) + H[:, None, :, 2]
    front = moved[..., 2:] > 1e-6
    return torch.where(front, moved[..., :2] / moved[..., 2:], torch.nan).float()


# --- homographies -------------------------------------------------------------------------------


@torch.no_grad()
def _carry_homography(here: BatchGeometry, there: BatchGeometry, H: Tensor) -> _CarriedBatch:
    uv = warped(H, here.keypoints)
    front = uv[..., :1].isfinite()
    seen = _inside(uv, there.image_size) & here.mask
    none = torch.zeros_like(seen)
    return _CarriedBatch(uv, seen, ~front[..., 0], none, none)


# --- depth and pose -----------------------------------------------------------------------------


@torch.no_grad()
def _carry(here: BatchGeometry, there: BatchGeometry, thresholds: Thresholds) -> _CarriedBatch:
    """Keypoints of one side in the other one's images, as `satgen.geometry.warp` does it."""
    assert here.depth is not None and here.farthest is not None
    assert here.rim is not None and there.maps is not None
    mask = here.mask
    T = there.pose @ torch.linalg.inv(here.pose)
    surface = (here.depth > 0.0) & mask
    uv, z = _project(here, there, T, here.depth)
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

    behind = _project(here, there, T, here.farthest)[0]
    doubtful = surface & ((uv - behind).norm(dim=-1) > thresholds.edge_px)
    # The surface behind may be seen where the one in front is hidden.
    uncertain = occluded & (here.farthest > (1.0 + OCCLUSION_RTOL) * here.depth)
    occluded = occluded & ~uncertain
    undecided = surface & inside & ~seen & ~occluded
    empty = mask & ~surface & ~here.rim
    absent = occluded | empty | (surface & ~inside & ~uv[..., 0].isfinite())
    return _CarriedBatch(uv, seen, absent, undecided | (here.rim & mask), doubtful)


def _project(
    here: BatchGeometry, there: BatchGeometry, T: Tensor, depth: Tensor
) -> tuple[Tensor, Tensor]:
    """Pixels (B, N, 2) and depths (B, N) in the other frame of keypoints at depths (B, N)."""
    fx, fy, cx, cy = here.K.double()[:, :, None].unbind(1)
    u, v = here.keypoints.double().unbind(-1)
    z = depth.double()
    points = torch.stack([(u - cx) / fx * z, (v - cy) / fy * z, z], -1)
    moved = points @ T[:, :3, :3].transpose(1, 2) + T[:, None, :3, 3]
    fx, fy, cx, cy = there.K.double()[:, :, None].unbind(1)
    x, y, z = moved.unbind(-1)
    safe = torch.where(z > 0.0, z, torch.nan)
    return torch.stack([fx * x / safe + cx, fy * y / safe + cy], -1).float(), z.float()


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
    w = torch.where(present, 1.0 / block, torch.nan)
    core = w[..., 1:3, 1:3]
    slack = SMOOTH_RTOL * core.mean((-1, -2))

    def agree(a: Tensor, b: Tensor) -> Tensor:
        steeper = torch.maximum(a.abs(), b.abs())
        bound = slack + SMOOTH_RATIO * torch.minimum(steeper, 10.0 * slack)
        return (a - b).abs() <= bound  # False where either is NaN

    right, down = w[..., 1:3, :].diff(dim=-1), w[..., :, 1:3].diff(dim=-2)
    smooth = agree(right[..., 0, 1], right[..., 1, 1]) & agree(down[..., 1, 0], down[..., 1, 1])
    for line in (0, 1):
        step, before, after = (right[..., line, i] for i in (1, 0, 2))
        smooth = smooth & (agree(step, before) | agree(step, after))
        step, before, after = (down[..., i, line] for i in (1, 0, 2))
        smooth = smooth & (agree(step, before) | agree(step, after))
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
