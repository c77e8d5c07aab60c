"""What rendering a frame brought to light, and the journal of it that a run keeps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from satgen.dataset import JOURNAL
from satgen.runfolder import Journal


@dataclass(frozen=True)
class FrameRecord:
    """What rendering a frame brought to light; the rest of its row follows from the configuration.

    Attributes:
        index: observation index.
        bbox: (x, y, w, h) of the visible pixels, x and y of the first one; all 0 if there is none.
        coverage: share of the image's pixels that show the target.
        sha256: of the bytes of the images, in the order of `IMAGES`, and of those that were asked
            for besides.
        visible: for each landmark whether the frame shows it.
        exposure: the sensor's, where it is metered; else None.
        lit: share of the target's pixels in the sun, of a dataset with shadow images; else None.
    """

    index: int
    bbox: tuple[int, int, int, int]
    coverage: float
    sha256: tuple[str, ...]
    visible: tuple[bool, ...]
    exposure: float | None = None
    lit: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that a line of the journal holds."""
        return {
            "index": self.index,
            "bbox": self.bbox,
            "coverage": self.coverage,
            "sha256": self.sha256,
            "visible": [int(v) for v in self.visible],
            **{name: value for name, value in self.measures.items() if value is not None},
        }

    @property
    def measures(self) -> dict[str, float | None]:
        """What only some datasets have a column of."""
        return {"exposure": self.exposure, "lit": self.lit}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FrameRecord:
        """Inverse of `to_json`; KeyError, TypeError or ValueError for anything else."""
        x, y, w, h = (int(v) for v in data["bbox"])
        measures = {name: float(data[name]) for name in ("exposure", "lit") if name in data}
        return cls(
            int(data["index"]),
            (x, y, w, h),
            float(data["coverage"]),
            tuple(str(v) for v in data["sha256"]),
            tuple(bool(v) for v in data["visible"]),
            **measures,
        )


def read_journal(folder: Path) -> dict[int, FrameRecord]:
    """Records in the journal by index. A line that is not whole, as a killed run leaves it, and
    whatever else does not read as a record, is passed over: its frame will be rendered again."""
    records: dict[int, FrameRecord] = {}
    for value in Journal(folder / JOURNAL).read():
        with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
            record = FrameRecord.from_json(value)
            records[record.index] = record
    return records
