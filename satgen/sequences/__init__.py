"""Windows of consecutive frames of rendered datasets, for PyTorch's `DataLoader`.

A window is T observed frames and H frames to come. `WindowDataset` gives any of them by its number,
`WindowStream` gives them one after another, `split_windows` keeps what is trained on apart from
what is tested on:

    from torch.utils.data import DataLoader
    from satgen.sequences import WindowConfig, split_windows

    config = WindowConfig(observed=10, future=20, size=128)
    parts = split_windows(["datasets/aura"], config, cache="cache")
    for batch in DataLoader(parts.train, batch_size=16, shuffle=True, num_workers=2):
        frames, rotation = batch["frames"], batch["R"]  # (16, 30, 1, 128, 128), (16, 30, 3, 3)

torch is imported when one of those three is first looked up, not by `import satgen.sequences`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from satgen.sequences.config import CROPS, FIELDS, WindowConfig

if TYPE_CHECKING:
    from satgen.sequences.loading import (
        SplitWindows,
        WindowDataset,
        WindowStream,
        split_windows,
    )

__all__ = [
    "CROPS",
    "FIELDS",
    "SplitWindows",
    "WindowConfig",
    "WindowDataset",
    "WindowStream",
    "split_windows",
]

_WITH_TORCH = ("SplitWindows", "WindowDataset", "WindowStream", "split_windows")


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        from satgen.sequences import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
