"""A network's training on disk, so that one that was killed goes on as if it never had been."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from matchers.training import checkpoint
from satgen.errors import InputError


def restore(
    path: Path,
    identity: Mapping[str, Any],
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
) -> dict[str, Any] | None:
    """Put network and optimiser into the state that `keep` wrote, and return what else it wrote.

    Args:
        path: of the file.
        identity: of configuration and data, as `keep` was given it.
        network, optimiser: new ones of the same kind; unchanged where there is no file.

    Returns:
        None where there is no file.

    Raises:
        InputError: it is another training's.
        RunError: it cannot be read.
    """
    state = checkpoint.load(path)
    if state is None:
        return None
    if state["identity"] != identity:
        raise InputError(f"{path.parent}: holds a training of another configuration or other data")
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return state


def keep(
    path: Path,
    identity: Mapping[str, Any],
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    more: Mapping[str, Any],
) -> None:
    """Write the state of a training, whole or not at all.

    Args:
        path: of the file.
        identity: of configuration and data: what `json` can hold.
        network, optimiser: as they are.
        more: what else decides how it goes on: numbers, texts, lists and tensors.

    Raises:
        RunError: it cannot be written.
    """
    state = {
        "identity": identity,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    checkpoint.save(path, {**state, **more})


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters of an optimiser a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate
