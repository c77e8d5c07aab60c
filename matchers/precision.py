"""How precise a GPU's products of float32 are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def products(device: torch.device, precision: str) -> Iterator[None]:
    """In the `with` block, CUDA's products of float32 are of a precision; nothing on other devices.

    Args:
        device: where the products are.
        precision: see `torch.set_float32_matmul_precision`: "highest" for float32 as such, "high"
            for TF32.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
