"""Trained weights as they are shipped: float16 safetensors with a card that says what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from matchers import weights as store
from matchers.training.checkpoint import save_weights
from satgen.atomic import write_atomic
from satgen.errors import InputError, RunError
from satgen.reading import read_json

LICENCE = "Apache-2.0"


_HANDED_ON = ("steps", "pairs_a_step", "data", "hardware", "initial")
"""What a card says of the weights that a training began with, as far as their card says it."""


def half(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in float16; running statistics, whose range is not bounded, and counts stay."""
    return {
        name: value.half() if value.is_floating_point() and "running_" not in name else value
        for name, value in weights.items()
    }


def export(path: Path, weights: Mapping[str, Tensor], card: Mapping[str, Any]) -> dict[str, Any]:
    """Write weights and, beside them with the ending .json, their card.

    Args:
        path: ends in .safetensors.
        weights: of the network.
        card: what it says besides size and hash: "matcher" and "features" at least.

    Returns:
        The card.

    Raises:
        RunError: a weight is beyond float16's range, or a file cannot be written.
    """
    small = half(weights)
    for name, value in small.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise RunError(f"weights {name}: beyond the range of float16")
    save_weights(path, small, store.Purpose(card["matcher"], card["features"]))
    data = path.read_bytes()
    full = {
        **card,
        "licence": LICENCE,
        "parameters": sum(value.numel() for value in weights.values()),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    try:
        text = json.dumps(full, indent=1, ensure_ascii=False) + "\n"
        write_atomic(path.with_suffix(".json"), text.encode())
    except OSError as error:
        raise RunError(f"cannot write {error.filename}: {error.strerror}") from error
    return full


def origin(path: Path) -> dict[str, Any]:
    """What a card says of the weights that a training began with.

    Args:
        path: the weights; where their card lies beside them, it is handed on; of official ones
            it says whose they are.

    Raises:
        InputError: the weights cannot be read.
    """
    try:
        known: dict[str, Any] = {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    except OSError as error:
        raise InputError(f"weights {path}: {error.strerror or error}") from None
    for weights in store.OFFICIAL:
        if weights.sha256 == known["sha256"]:
            known |= {"source": weights.source, "licence": weights.licence}
    try:
        card = read_json(path.with_suffix(".json"))
        if card["sha256"] == known["sha256"]:
            known |= {name: card[name] for name in _HANDED_ON if name in card}
    except (InputError, KeyError, TypeError):
        pass  # weights without a card, or with that of others
    return known
