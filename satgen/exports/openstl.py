"""Arrays of windows, as OpenSTL's loader of TaxiBJ reads them; SimVP's and others' code likewise.

    OUT/taxibj/dataset.npz    X_train, Y_train, X_val, Y_val, X_test, Y_test: (N, T, C, H, W)

float32 from -1 to 1, which that loader brings back to 0 to 1. A window is frames that follow each
other without a gap, all of one part; X is what is shown, Y what is to be forecast.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from satgen.errors import InputError
from satgen.exports.pixels import picture, scaled_size
from satgen.exports.source import Export, ExportWriter, Indices, mono
from satgen.trajectory.motion import INDEX_MAX

SIZE = 128
"""Longest side of the images unless another is asked for."""

_DATE = (1980, 1, 1, 0, 0, 0)
"""Of the members of the archive, so that equal exports have equal bytes."""


class OpenstlWriter(ExportWriter):
    """Writes the format."""

    def write(self) -> None:
        """Write the export."""
        _write(self.export)


def _write(export: Export) -> None:
    source, options = export.source, export.options
    windows = {part: _windows(export, indices) for part, indices in source.parts.items()}
    for part, found in windows.items():
        if not found and part != "val":  # that loader does without
            most = max(map(len, source.parts.values()))
            raise InputError(
                f"{source.data.folder}: no window of {options.frames_in} + {options.frames_out} "
                f"frames in a row is left in part {part} (the largest part has {most} frames); "
                "export more frames, or shorter windows"
            )
    held = sum(map(len, source.parts.values()))
    step = _steps(export, sum(len(window) for found in windows.values() for window in found), held)
    length = options.frames_in + options.frames_out
    spans = {"X": slice(0, options.frames_in), "Y": slice(options.frames_in, length)}
    path = export.make("taxibj") / "dataset.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for part, found in windows.items():
            for letter, span in spans.items():
                member = zipfile.ZipInfo(f"{letter}_{part}.npy", _DATE)
                with archive.open(member, "w", force_zip64=True) as file:
                    _write_array(
                        export,
                        file,
                        [window[span] for window in found],
                        span.stop - span.start,
                        step,
                    )


def _windows(export: Export, indices: Indices) -> list[list[int]]:
    """The windows of a part: indices of frames that follow each other."""
    options = export.options
    length = options.frames_in + options.frames_out
    apart = np.diff(export.source.data.indices).min(initial=INDEX_MAX)
    runs = np.split(indices, np.flatnonzero(np.diff(indices) != apart) + 1)
    stride = options.window_step or length
    return [
        run[at : at + length].tolist()
        for run in runs
        for at in range(0, len(run) - length + 1, stride)
    ]


def _write_array(
    export: Export, file: Any, windows: list[list[int]], frames: int, step: Callable[[], None]
) -> None:
    """Write an array of windows, a frame at a time."""
    source = export.source
    size = export.options.size or SIZE
    width, height = scaled_size(source.camera.width, source.camera.height, size)
    grey = export.options.grey or mono(source)
    shape = (len(windows), frames, 1 if grey else 3, height, width)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, header)
    for window in windows:
        for index in window:
            pixels = picture(source, index, size, grey=grey).reshape(height, width, shape[2])
            values = np.moveaxis(pixels, -1, 0).astype(np.float32) / np.float32(127.5)
            file.write(np.ascontiguousarray(values - np.float32(1.0)).tobytes())
            step()


def _steps(export: Export, reads: int, frames: int) -> Callable[[], None]:
    """What is called for each frame that is read: it ticks for as many frames as there are."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        for _ in range(done * frames // reads - (done - 1) * frames // reads):
            export.tick()

    return step
