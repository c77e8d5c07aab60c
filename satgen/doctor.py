"""What this machine has and what it lacks, without leaving anything bound or loaded."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from satgen import __version__
from satgen.child import run_python
from satgen.errors import SatgenError
from satgen.installed import Requirement, requirements
from satgen.processes import default_workers
from satgen.rendering.backend import PACKAGES, Probe, candidates, no_backend_message, probe


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        satgen, python, system: versions.
        workers: cores to render with.
        probes: what each OpenGL platform answered, in the order in which they are tried.
        libraries: distribution -> version, or None where it is missing: all that satgen's own
            metadata names.
        absent: distribution -> the command that installs it, of those that are missing and that
            rendering does without.
        torch: "version", "device", its "name" and which "fast" paths it has; or "missing" with what
            to do.
        targets: bundled target -> whether its files are there.
        weights: weights of the networks -> "present", "absent" or "damaged".
        missing: one line for each thing that stands in the way of rendering.
    """

    satgen: str
    python: str
    system: str
    workers: int
    probes: tuple[Probe, ...]
    libraries: dict[str, str | None]
    absent: dict[str, str]
    torch: dict[str, str]
    targets: dict[str, bool]
    weights: dict[str, str]
    missing: tuple[str, ...]

    @property
    def backend(self) -> Probe | None:
        """The first platform that renders; None where none does."""
        return next((p for p in self.probes if p.ok), None)

    def to_json(self) -> dict[str, Any]:
        """The object that `satgen doctor --json` prints."""
        backend = self.backend
        return {
            **asdict(self),
            "ok": not self.missing,
            "backend": None if backend is None else {**asdict(backend), "kind": kind(backend)},
            "install": install_commands(),
        }


def kind(found: Probe) -> str:
    """ "software" or "GPU", by the renderer's name."""
    name = found.detail.lower()
    software = ("llvmpipe", "softpipe", "swrast", "swr ", "software")
    return "software" if any(word in name for word in software) else "GPU"


def install_commands() -> dict[str, str]:
    """The command that installs a software renderer, by package manager."""
    return dict(PACKAGES)


def install_line() -> str:
    """The command for this machine's package manager, or for both kinds."""
    for manager, program in (("apt", "apt-get"), ("dnf", "dnf")):
        if shutil.which(program):
            return PACKAGES[manager]
    return f"{PACKAGES['apt']}   (Debian, Ubuntu)   or   {PACKAGES['dnf']}   (Fedora, RHEL)"


def diagnose(weights: Mapping[str, str] | None = None) -> Diagnosis:
    """Look around. OpenGL and torch are asked in processes of their own.

    Args:
        weights: what is known of the networks' weights, for `Diagnosis.weights`.
    """
    missing = []
    try:
        probes = tuple(_probe(name) for name in candidates())
        if not any(p.ok for p in probes):
            reasons = "; ".join(f"{p.platform}: {p.detail}" for p in probes)
            missing.append(no_backend_message(reasons))
    except SatgenError as error:  # PYOPENGL_PLATFORM names nothing that can be used
        probes = ()
        missing.append(str(error))
    libraries: dict[str, str | None] = {}
    absent: dict[str, str] = {}
    for library in requirements():
        libraries[library.name] = (library.version or "?") if library.present else None
        if library.present:
            continue
        if not library.renders:
            absent[library.name] = library.command
        else:
            missing.append(f"the Python package {library.name} is missing: {library.command}")
    targets = _targets()
    missing += [
        f"target {name}: its files are not there; build them: satgen targets build {name}"
        for name, there in targets.items()
        if not there
    ]
    return Diagnosis(
        __version__,
        platform.python_version(),
        f"{platform.system()} {platform.release()}, {platform.machine()}",
        default_workers(),
        probes,
        libraries,
        absent,
        _torch(),
        targets,
        dict(weights or {}),
        tuple(missing),
    )


def _probe(name: str) -> Probe:
    try:
        return probe(name)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Probe(name, False, str(error).splitlines()[0])


def _targets() -> dict[str, bool]:
    from satgen.targets import registry

    return {
        name: all(registry.asset_path(name, suffix).is_file() for suffix in (".glb", ".json"))
        for name in registry.TARGETS
    }


_TORCH = """
import importlib.util, json, shutil, torch
device, name = "cpu", f"{torch.get_num_threads()} threads"
if torch.cuda.is_available():
    device, name = "cuda", torch.cuda.get_device_name(0)
elif torch.backends.mps.is_available():
    device, name = "mps", "Apple GPU"
if device == "cuda":
    backends, compiler = torch.backends.cuda, importlib.util.find_spec("triton")
    newer = torch.cuda.get_device_capability(0) >= (8, 0)
    paths = {
        "CUDA graphs": True,
        "compiled blocks (compile=True)": compiler is not None,
        "flash attention": newer and backends.flash_sdp_enabled(),
        "memory-efficient attention": backends.mem_efficient_sdp_enabled(),
        "bfloat16": torch.cuda.is_bf16_supported(),
    }
else:
    compiler = any(map(shutil.which, ("g++", "clang++", "cl")))
    paths = {"oneDNN": torch.backends.mkldnn.is_available(), "compiled blocks": compiler}
on = ", ".join(path for path, there in paths.items() if there) or "none"
off = ", ".join(path for path, there in paths.items() if not there)
fast = on + (f"; not {off}" if off else "")
print(json.dumps({"version": torch.__version__, "device": device, "name": name, "fast": fast}))
"""


def _torch() -> dict[str, str]:
    """torch's version and device, asked in a process of its own: its import takes seconds."""
    if not Requirement("torch").present:
        return {"missing": "matching and training need it: pip install torch"}
    try:
        done = run_python(_TORCH)
        answer: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {"missing": "it is installed, but cannot be imported: python -c 'import torch'"}
    return answer


def _weight_lines(weights: dict[str, str]) -> list[str]:
    """Which weights are there, and how to get the others."""
    there = [name for name, state in weights.items() if state == "present"]
    out = [f"weights: {', '.join(there) or 'none here'}"]
    rest = [f"{name} ({state})" for name, state in weights.items() if state != "present"]
    if rest:
        out.append(f"  not here: {', '.join(rest)}; to have all: satgen weights --fetch")
    return out


def lines(found: Diagnosis) -> list[str]:
    """The diagnosis as lines for a terminal."""
    out = [f"satgen {found.satgen}, Python {found.python}, {found.system}"]
    backend = found.backend
    if backend is None:
        out.append("renders with: nothing")
    else:
        how = "in software" if kind(backend) == "software" else "on a GPU"
        out.append(
            f"renders with: {backend.platform.upper()}, {how}: {backend.detail} "
            f"(OpenGL {backend.version}), {found.workers} workers"
        )
    for p in found.probes:
        answer = f"ok, {p.detail}" if p.ok else f"no: {p.detail}"
        out.append(f"  {p.platform:<7} {answer}")
    if any(not p.ok for p in found.probes):
        out.append(f"  to have all: {install_line()}")
    torch = found.torch
    if "missing" in torch:
        out.append(f"torch: not available; {torch['missing']}")
    else:
        out.append(f"torch: {torch['version']} on {torch['device']} ({torch['name']})")
        out.append(f"  fast paths: {torch['fast']}")
    out += _weight_lines(found.weights)
    there = [name for name, ok in found.targets.items() if ok]
    out.append(f"targets: {', '.join(there) or 'none built'}")
    versions = [f"{name} {version}" for name, version in found.libraries.items() if version]
    if versions:
        out.append(f"libraries: {', '.join(versions)}")
    else:
        out.append("libraries: not known, as satgen is not installed but only on Python's path")
    out += [f"not installed: {name} ({command})" for name, command in found.absent.items()]
    out += [f"MISSING: {line}" for line in found.missing]
    return out
