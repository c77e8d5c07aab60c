"""What an export may be asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from satgen.camera import MAX_SIDE
from satgen.errors import InputError
from satgen.settings import SEEDS, check, numbers, setting
from satgen.trajectory.motion import INDEX_MAX, INDEX_MIN

IMAGE_WAYS = ("copy", "link")


def _gaps(text: str) -> tuple[int, ...]:
    found = numbers(text)
    if not all(math.isfinite(gap) and gap == int(gap) for gap in found):
        raise InputError("must be whole numbers between commas")
    return tuple(int(gap) for gap in found)


@dataclass(frozen=True)
class ExportOptions:
    """Which frames are exported, and how.

    Attributes:
        start, stop, step: observation indices, `stop` included; of the frames that there are.
        splits: divide the frames into training, validation and test blocks.
        guard: degrees between these.
        images: copy image files, or make hard links to the dataset's.
        masks: write a mask of the target beside each image.
        grey: one channel of luminance.
        size: longest side of the images, pixels; they are scaled down by averaging.
        frames_in, frames_out, window_step: frames of a window that are shown and asked for, and
            frames from one window to the next; 0 is the window's length.
        clip: frames of a clip.
        tracks: points followed in each clip.
        seed: of the draw of these.
        gaps: observation indices between the two images of a pair.

    Raises:
        InputError: a number out of range.
    """

    start: int | None = setting(
        None, "First observation index", low=INDEX_MIN, high=INDEX_MAX, shown="the dataset's first"
    )
    stop: int | None = setting(
        None,
        "Last observation index, included",
        low=INDEX_MIN,
        high=INDEX_MAX,
        shown="the dataset's last",
    )
    step: int = setting(1, "Export every so many indices", low=1, high=INDEX_MAX)
    splits: bool = setting(
        False, "Divide the frames into training, validation and test blocks, as `satgen train` does"
    )
    guard: float = setting(5.0, "Degrees between these blocks", low=0.0, below=90.0)
    images: str = setting(
        "copy",
        "copy the image files, or link: hard links to the dataset's",
        choices=IMAGE_WAYS,
    )
    masks: bool = setting(
        False, "Of colmap and nerf: write masks, which leave out all but the target"
    )
    grey: bool = setting(False, "Of openstl: one channel of luminance")
    size: int | None = setting(
        None,
        "Of openstl, tapvid and tapvid3d: scale images down to this longest side, pixels",
        low=8,
        high=MAX_SIDE,
        shown="128 for openstl, else their own",
    )
    frames_in: int = setting(10, "Of openstl: frames of a window that are shown", low=1, high=1000)
    frames_out: int = setting(10, "Of openstl: frames of it to be forecast", low=1, high=1000)
    window_step: int = setting(
        0,
        "Of openstl: frames from one window to the next",
        low=0,
        high=INDEX_MAX,
        shown="the window's length",
    )
    clip: int = setting(480, "Of tapvid and tapvid3d: frames of a clip", low=2, high=INDEX_MAX)
    tracks: int = setting(256, "Of tapvid and tapvid3d: points of a clip", low=1, high=100_000)
    seed: int = setting(0, "Of tapvid and tapvid3d: seed of their draw", low=0, below=SEEDS)
    gaps: tuple[int, ...] = setting(
        (5, 10, 20, 40),
        "Of glue-factory: indices between the images of a pair",
        low=1,
        high=INDEX_MAX,
        parse=_gaps,
        metavar="GAP,GAP,…",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.start is not None and self.stop is not None and self.stop < self.start:
            raise InputError(f"stop {self.stop}: must not be less than start {self.start}")
