"""satgen.doctor: what it finds, and what it says where something is missing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from satgen import doctor
from satgen.installed import Requirement
from satgen.rendering.backend import PACKAGES, Probe
from tests.datasets import satgen

SOFTWARE = Probe("egl", True, "llvmpipe (LLVM 15.0.6, 256 bits)", "4.5")
GPU = Probe("egl", True, "NVIDIA H200/PCIe/SSE2", "4.6")
NONE = Probe("osmesa", False, "libOSMesa is not installed")


@pytest.fixture(autouse=True)
def _any_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user's shell is: rendering in this process has bound it to a platform."""
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)


def test_it_reports_what_renders_here() -> None:
    found = doctor.diagnose()
    assert found.backend is not None
    assert found.libraries["numpy"]
    text = "\n".join(doctor.lines(found))
    assert "renders with: " in text
    assert "torch: " in text
    assert "fast paths: oneDNN" in text
    assert "weights: " in text
    data = json.loads(json.dumps(found.to_json()))
    assert data["backend"]["platform"] in ("egl", "osmesa")
    assert data["backend"]["kind"] in ("software", "GPU")
    assert data["probes"][0]["platform"] == "egl"


def test_software_and_gpu_are_told_apart() -> None:
    assert doctor.kind(SOFTWARE) == "software"
    assert doctor.kind(GPU) == "GPU"


def test_missing_things_come_with_the_command_that_brings_them(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "probe", lambda name: Probe(name, False, f"{name} is not there"))
    wanted = (Requirement("scipy_"), Requirement("poselib_"), Requirement("numpy"))
    wanted += (Requirement("embree_", "verify"),)
    monkeypatch.setattr(doctor, "requirements", lambda: wanted)
    monkeypatch.setattr("satgen.installed.NOT_FOR_RENDERING", ("poselib_",))
    found = doctor.diagnose()
    assert found.backend is None
    text = "\n".join(doctor.lines(found))
    assert "renders with: nothing" in text
    assert "egl: egl is not there; osmesa: osmesa is not there" in text
    assert PACKAGES["apt"] in text
    assert PACKAGES["dnf"] in text
    assert "MISSING: the Python package scipy_ is missing: pip install scipy_" in text
    assert "not installed: poselib_ (pip install poselib_)" in text
    assert "not installed: embree_ (pip install 'satgen[verify]')" in text
    assert f"numpy {np.__version__}" in text
    assert len(found.missing) == 2


def test_a_probe_that_hangs_is_an_answer(monkeypatch) -> None:
    def hang(name: str) -> Probe:
        raise subprocess.TimeoutExpired("python", 120)

    monkeypatch.setattr(doctor, "probe", hang)
    found = doctor.diagnose()
    assert not any(p.ok for p in found.probes)
    assert "timed out" in found.probes[0].detail


def test_torch_that_cannot_be_imported(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "_TORCH", "raise SystemExit(3)")
    assert "cannot be imported" in doctor._torch()["missing"]
    monkeypatch.setattr(
        doctor, "_TORCH", 'print(\'{"version": "2", "device": "cpu", "name": "x"}\')'
    )
    assert doctor._torch()["device"] == "cpu"


def test_render_and_doctor_say_the_same_where_nothing_renders(craft_path, tmp_path) -> None:
    # A Python whose ctypes finds no OpenGL library, as on a bare machine.
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes\n"
        "load = ctypes.CDLL.__init__\n"
        "def refuse(self, name, *rest, **more):\n"
        "    if name and ('EGL' in str(name) or 'OSMesa' in str(name)):\n"
        "        raise OSError(name)\n"
        "    load(self, name, *rest, **more)\n"
        "ctypes.CDLL.__init__ = refuse\n"
    )
    env = {"PYTHONPATH": str(tmp_path)}
    rendered = satgen("render", "--target", craft_path, "--out", tmp_path / "out", env=env)
    assert rendered.returncode == 1
    assert rendered.stderr.count("\n") == 1
    line = rendered.stderr.strip().removeprefix("Error: ")
    assert line.startswith("no OpenGL to render with")
    assert PACKAGES["apt"] in line
    assert not (tmp_path / "out").exists()
    said = satgen("doctor", env=env)
    assert said.returncode == 1
    assert line in said.stdout


@pytest.mark.skipif(shutil.which("apt-cache") is None, reason="not a Debian system")
def test_the_debian_packages_exist() -> None:
    names = re.sub(r".*-y ", "", PACKAGES["apt"]).split()
    known = subprocess.run(
        ["apt-cache", "pkgnames"], capture_output=True, text=True, check=True
    ).stdout.split()
    if len(known) < 10_000:
        pytest.skip("this system keeps no list of packages")
    assert set(names) <= set(known)
