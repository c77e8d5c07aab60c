"""With what software and on which machine a benchmark was run, for its record."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import satgen

if TYPE_CHECKING:
    import torch


def software() -> dict[str, Any]:
    """The versions of satgen and of what decides its figures."""
    versions = {"satgen": satgen.__version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "opencv-python-headless", "poselib", "scipy"):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {"satgen": satgen.__version__, "versions": versions}


def machine(threads: int | None, device: torch.device) -> dict[str, Any]:
    """Processor, cores, device and system; `threads` as they were asked for."""
    import torch

    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "platform": platform.platform(),
    }


def cpu_name() -> str:
    """The processor's name for itself."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
