"""Writes graphs as ONNX files, each checked with onnxruntime before it is written."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matchers.onnx.graph import OnnxGraph
from satgen.atomic import TEMPORARY, write_atomic
from satgen.errors import InputError, RunError
from satgen.installed import require
from satgen.outputs import check_outside

OPSET = 17
"""The version of ONNX' operators, which onnxruntime has from 1.13 on."""

CLOSE = 1e-3
"""How far a file's numbers may be from the module's, in the trials."""

_NEAR_PX, _STRAYS = 0.01, 0.02


def require_onnx() -> None:
    """Refuse to begin where the extra `onnx` is not installed.

    Raises:
        InputError: it is not.
    """
    require("--export onnx", "onnx", "onnxruntime")


def onnx_bytes(graph: OnnxGraph, facts: Mapping[str, str]) -> bytes:
    """A graph as an ONNX file.

    Args:
        graph: what to write.
        facts: for the file's metadata, besides the graph's notes.

    Raises:
        RunError: PyTorch cannot write it, or onnxruntime computes something else with it.
    """
    import onnx

    names = tuple(graph.trials[0])
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's: the trials show what it would warn of
        torch.onnx.export(
            graph.module.eval(),
            tuple(graph.trials[0].values()),
            buffer,
            input_names=names,
            output_names=graph.outputs,
            dynamic_axes=graph.dynamic,
            opset_version=OPSET,
            dynamo=False,  # the newer one takes minutes where sizes are open
        )
    model = onnx.load_from_string(buffer.getvalue())
    for key, value in {**facts, **graph.notes}.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    _check(graph, data)
    return data


def _check(graph: OnnxGraph, data: bytes) -> None:
    """See that a file gives what the module gives.

    Raises:
        RunError: it does not.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for trial in graph.trials:
        given = {name: value.numpy() for name, value in trial.items()}
        found = session.run(list(graph.outputs), given)
        with torch.no_grad():
            wanted = graph.module(*trial.values())
        if not _alike(graph.outputs, found, [value.numpy() for value in wanted]):
            raise RunError(
                f"onnxruntime {onnxruntime.__version__} computes something else than PyTorch "
                f"{torch.__version__} does: nothing was written"
            )


def _alike(names: Sequence[str], found: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Whether outputs are the same to rounding, which may swap rows whose scores are equal to it,
    and have one or the other over a threshold or under it."""
    first, right = found[0], wanted[0]
    if names[0] == "keypoints":
        found, wanted = ([values[0] for values in side] for side in (found, wanted))
        same = np.abs(found[0][:, None] - wanted[0]).max(-1) < _NEAR_PX
    elif names[0] == "matches0":
        same = (first[:, None] == right).all(-1)
    else:
        return all(
            value.shape == other.shape and np.allclose(value, other, atol=CLOSE)
            for value, other in zip(found, wanted, strict=True)
        )
    if not same.size:
        return bool(len(same) == same.shape[1])
    rows, others = same.any(1).nonzero()[0], same.argmax(1)
    strays = max(len(same), same.shape[1]) - len(rows)
    return strays <= _STRAYS * len(same) and all(
        np.allclose(value[rows], other[others[rows]], atol=CLOSE)
        for value, other in zip(found[1:], wanted[1:], strict=True)
    )


def write_graphs(
    graphs: Sequence[OnnxGraph],
    out: Path,
    facts: Mapping[str, str],
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write a network's graphs: one as a file, several as files in a folder of their own.

    Args:
        graphs: of one network.
        out: the file or the folder; it shows all of it or what was there before.
        facts: for the files' metadata.
        overwrite: replace what is there.

    Returns:
        The files.

    Raises:
        InputError: there is something else, or it lies in a dataset or run.
        RunError: see `onnx_bytes`; it cannot be written.
    """
    check_place(out, len(graphs) > 1, overwrite)
    files = {graph.name: onnx_bytes(graph, facts) for graph in graphs}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if len(graphs) == 1:
            write_atomic(out, next(iter(files.values())))
            return [out]
        _write_folder(out, {f"{name}.onnx": data for name, data in files.items()})
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from None
    return [out / f"{name}.onnx" for name in files]


def check_place(out: Path, folder: bool, overwrite: bool) -> None:
    """Refuse a place where nothing may be written.

    Args:
        out: where to write.
        folder: whether it is to be a folder.
        overwrite: replace what is there.

    Raises:
        InputError: see `write_graphs`.
    """
    check_outside(out)
    if folder:
        if os.path.lexists(out) and not out.is_dir():
            raise InputError(f"--out {out}: is a file, must name a folder")
        foreign = [p.name for p in _entries(out) if p.suffix != ".onnx"]
        if foreign:
            raise InputError(f"--out {out}: holds {foreign[0]}, which is not of an export")
    elif out.is_dir():
        raise InputError(f"--out {out}: is a folder, must name a file")
    elif out.suffix.lower() != ".onnx":
        raise InputError(f"--out {out}: must end in .onnx")
    if not overwrite and (any(_entries(out)) if folder else os.path.lexists(out)):
        raise InputError(f"{out}: is there already; --overwrite replaces it")


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _write_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder beside its place and put it there."""
    temporary = out.parent / f"{TEMPORARY}{os.urandom(8).hex()}"
    old = out.parent / f"{TEMPORARY}{os.urandom(8).hex()}"
    try:
        temporary.mkdir()
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        if out.exists():
            os.rename(out, old)
        os.rename(temporary, out)
    except OSError:
        with contextlib.suppress(OSError):
            if old.exists() and not out.exists():
                os.rename(old, out)
        raise
    finally:
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)
