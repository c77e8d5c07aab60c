"""Finds where code would have a GPU waited for: where a number is read off a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_READS = (
    "_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique",
    "_unique2", "_linalg_check_errors", "bincount", "repeat_interleave",
)  # fmt: skip


class Watch(TorchDispatchMode):
    """Notes in `seen` what waits, while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.__name__.split(".")[0]
        chosen = args[1] if name in ("index", "index_put", "index_put_") else ()
        if name in _READS or any(i is not None and i.dtype == torch.bool for i in chosen):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def waits(function: Callable[[], Any]) -> list[str]:
    """The operations of a call that read numbers off tensors: each of them stalls a GPU."""
    with Watch() as watch:
        function()
    return watch.seen
