"""Which OpenGL platform renders here, found without a display.

PyOpenGL binds itself to one platform at its first import, so the choice is made before that, by
asking the platform's own library. EGL is tried first (a GPU's, or Mesa's software renderer), then
OSMesa; `PYOPENGL_PLATFORM` overrides both.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from satgen.child import run_python
from satgen.errors import InputError, RunError
from satgen.rendering.context import Context, bound_platform, why_not

PLATFORMS = ("egl", "osmesa")
ENVIRONMENT = "PYOPENGL_PLATFORM"
PACKAGES = {
    "apt": "apt-get install -y libegl1 libgl1-mesa-dri libosmesa6",
    "dnf": "dnf install -y mesa-libEGL mesa-dri-drivers mesa-libOSMesa",
}
"""The command that brings a software renderer, by package manager."""


@dataclass(frozen=True)
class Probe:
    """What one platform answered when it was asked for a context.

    Attributes:
        platform: "egl" or "osmesa".
        ok: whether a frame could be rendered with it.
        detail: the renderer's own name, or the reason why not.
        version: OpenGL version string, empty where ok is false.
    """

    platform: str
    ok: bool
    detail: str
    version: str = ""


def candidates() -> tuple[str, ...]:
    """The platforms to try, in order.

    Raises:
        InputError: PYOPENGL_PLATFORM names one that is not "egl" or "osmesa".
    """
    asked = os.environ.get(ENVIRONMENT)
    if not asked:
        return PLATFORMS
    if asked not in PLATFORMS:
        raise InputError(f"{ENVIRONMENT}={asked}: must be one of {', '.join(PLATFORMS)}, or unset")
    return (asked,)


def choose_backend() -> str:
    """Name of the first platform that answers; of the one that PyOpenGL serves in this process, if
    it was imported before. Makes no context and imports nothing heavy.

    Raises:
        RunError: none does; the one line says what to install.
    """
    reasons = []
    bound = bound_platform()
    for platform in (bound,) if bound in PLATFORMS else candidates():
        reason = why_not(platform)
        if not reason:
            return platform
        reasons.append(f"{platform}: {reason}")
    raise RunError(no_backend_message("; ".join(reasons)))


def no_backend_message(reasons: str) -> str:
    """The one line for a machine that cannot render."""
    return (
        f"no OpenGL to render with ({reasons}): install a software renderer with "
        f"`{PACKAGES['apt']}` (Debian, Ubuntu) or `{PACKAGES['dnf']}` (Fedora, RHEL)"
    )


def create_context(platform: str) -> Context:
    """An OpenGL context on a platform, to which this process is bound from then on.

    Raises:
        InputError: EGL_DEVICE_ID names no device, or PyOpenGL was imported for another platform.
        RunError: the driver refuses.
    """
    try:
        return Context(platform)
    except InputError:
        raise
    except Exception as error:  # drivers fail in every way there is: ctypes, GLError, ImportError
        reason = str(error) or type(error).__name__
        raise RunError(no_backend_message(f"{platform}: {reason}")) from error


_PROBE = """
import json
from satgen.rendering.backend import create_context
context = create_context(sys.argv[1])
print(json.dumps(context.strings()))
context.close()
"""


def probe(platform: str) -> Probe:
    """Create a context on `platform` in a process of its own and say what renders there."""
    reason = why_not(platform)
    if reason:
        return Probe(platform, False, reason)
    environment = {**os.environ, ENVIRONMENT: platform}
    done = run_python(_PROBE, platform, env=environment)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Probe(platform, False, lines[-1])
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Probe(platform, True, found["renderer"], found["version"])
