"""Deformable convolution (Dai et al., ICCV 2017, eq. 2) without torchvision."""

from __future__ import annotations

import torch
from torch import Tensor

from matchers.features.sampling import bilinear_taps, weighted_rows

_CHUNK = 1 << 22  # sampled values held at once: 16 MiB in float32
_GPU_CHUNK = 1 << 28  # a gibibyte, so that few steps are taken


def deform_conv2d(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Deformable convolution with stride 1, odd square kernel and zero padding to the same size.

    The samples of all k² taps are gathered at once, channels last, and one matrix product
    with the kernel follows. Memory is bounded: pixels are taken in chunks.

    Args:
        x: (B, C, H, W); channels-last memory saves a copy.
        offset: (B, 2·k², H, W), pixels; for each tap, row by row, its shift down, then right
            (torchvision's layout). Samples outside the map are zeros.
        weight: (O, C, k, k).
        bias: (O,).

    Returns:
        (B, O, H, W), in channels-last memory.
    """
    batch, channels, height, width = x.shape
    out_channels, _, size, _ = weight.shape
    taps, reach, pixels = size * size, size // 2, height * width
    table = x.permute(0, 2, 3, 1).reshape(batch * pixels, channels)
    exact = torch.promote_types(offset.dtype, torch.float32)  # positions outgrow half precision
    shifts = offset.permute(0, 2, 3, 1).reshape(batch * pixels, taps, 2).to(exact)
    kernel = weight.permute(2, 3, 1, 0).reshape(taps * channels, out_channels)

    steps = torch.arange(-reach, reach + 1, device=x.device)
    pixel = torch.arange(pixels, device=x.device).repeat(batch)
    x_tap = (pixel % width)[:, None] + steps.repeat(size)
    y_tap = (pixel // width)[:, None] + steps.repeat_interleave(size)
    first = torch.arange(batch, device=x.device).repeat_interleave(pixels) * pixels

    out = x.new_empty(batch * pixels, out_channels)
    chunk = max(1, (_CHUNK if x.device.type == "cpu" else _GPU_CHUNK) // (taps * channels))
    for start in range(0, batch * pixels, chunk):
        part = slice(start, start + chunk)
        down, right = shifts[part].unbind(-1)
        rows, weights = bilinear_taps(right + x_tap[part], down + y_tap[part], width, height)
        rows += first[part, None, None]
        samples = weighted_rows(table, rows.flatten(0, 1), weights.flatten(0, 1))
        torch.mm(samples.reshape(-1, taps * channels), kernel, out=out[part])
    if bias is not None:
        out += bias
    return out.reshape(batch, height, width, out_channels).permute(0, 3, 1, 2)
