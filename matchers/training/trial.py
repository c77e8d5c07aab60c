"""Whether compiled code is worth it in a training: it is tried, and kept if steps are faster."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from torch import nn

WORTH_S = 120.0
"""Seconds that a stage must still take for compiling, about a minute, to be tried."""

GAIN = 0.97
"""Share of a step's time that compiled code may take at most to be kept."""


def compile_if_faster(model: nn.Module, seconds: Callable[[], float]) -> bool:
    """Have a network compiled (`nn.Module.compile`, or its own) if that makes its steps faster.

    Args:
        model: which is as it was before where it is not.
        seconds: measures a step of it; called twice with the compiled network, as the first time
            is the compiler's.

    Returns:
        Whether it is compiled.
    """
    plain = seconds()
    before = dict(vars(model))
    model.compile()
    changed = {name for name, value in vars(model).items() if before.get(name) is not value}
    try:
        seconds()
        if seconds() < GAIN * plain:
            return True
    except Exception as error:  # whatever a compiler meets
        reason = next(iter(str(error).splitlines()), "")[:120]
        warnings.warn(f"not compiled ({type(error).__name__}: {reason})", stacklevel=2)
    for name in changed:
        if name in before:
            vars(model)[name] = before[name]
        else:
            del vars(model)[name]
    return False
