"""Which OpenGL platform renders here, found without a display.

PyOpenGL binds itself to one platform at its first import, so the choice is made before that, by
asking the platform's own library through ctypes. EGL is tried first (a GPU's, or Mesa's software
renderer), then OSMesa; `PYOPENGL_PLATFORM` overrides both.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from satgen.errors import InputError, RunError

PLATFORMS = ("egl", "osmesa")
ENVIRONMENT = "PYOPENGL_PLATFORM"
PACKAGES = {
    "apt": "apt-get install -y libegl1 libgl1-mesa-dri libosmesa6",
    "dnf": "dnf install -y mesa-libEGL mesa-dri-drivers mesa-libOSMesa",
}
"""The command that brings a software renderer, by package manager."""


@dataclass(frozen=True)
class Probe:
    """What one platform answered.

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


def _load(name: str, *sonames: str) -> ctypes.CDLL | None:
    for candidate in (*sonames, ctypes.util.find_library(name)):
        if candidate:
            try:
                return ctypes.CDLL(candidate)
            except OSError:
                continue
    return None


def _egl_available() -> str:
    """Empty when an EGL display can be initialised for desktop OpenGL, else the reason."""
    egl = _load("EGL", "libEGL.so.1")
    if egl is None:
        return "libEGL is not installed"
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    egl.eglGetDisplay.restype = ctypes.c_void_p
    egl.eglGetDisplay.argtypes = [ctypes.c_void_p]
    egl.eglInitialize.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    egl.eglTerminate.argtypes = [ctypes.c_void_p]
    display = _egl_device_display(egl) or egl.eglGetDisplay(None)
    if not display:
        return "EGL offers no display"
    if not egl.eglInitialize(display, None, None):
        return "EGL is installed, but no driver answers (Mesa's libgl1-mesa-dri, or a GPU's own)"
    opengl_api = 0x30A2
    bound = egl.eglBindAPI(opengl_api)
    egl.eglTerminate(display)
    return "" if bound else "EGL is installed, but without desktop OpenGL"


def _egl_device_display(egl: ctypes.CDLL) -> int | None:
    """The display of the EGL device that the renderer will take, None without that extension."""
    query = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    get_display = egl.eglGetProcAddress(b"eglGetPlatformDisplayEXT")
    if not query or not get_display:
        return None
    count = ctypes.c_int()
    devices = (ctypes.c_void_p * 16)()
    query_devices = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
    )(query)
    if not query_devices(16, devices, ctypes.byref(count)) or count.value < 1:
        return None
    index = min(int(os.environ.get("EGL_DEVICE_ID", "0")), count.value - 1)
    platform_device = 0x313F
    display: int | None = ctypes.CFUNCTYPE(
        ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p
    )(get_display)(platform_device, devices[index], None)
    return display


def _osmesa_available() -> str:
    found = _load("OSMesa", "libOSMesa.so.8", "libOSMesa.so.6")
    return "" if found is not None else "libOSMesa is not installed"


def _available(platform: str) -> str:
    return _egl_available() if platform == "egl" else _osmesa_available()


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
    """Name of the first platform that answers. Starts no OpenGL and imports nothing heavy.

    Raises:
        RunError: none does; the one line says what to install.
    """
    reasons = []
    for platform in candidates():
        reason = _available(platform)
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


def use_backend(platform: str) -> None:
    """Bind this process, which must not have imported OpenGL yet, to a platform."""
    os.environ[ENVIRONMENT] = platform
    # Mesa's software renderer: no threads of its own, workers are the parallelism.
    os.environ.setdefault("LP_NUM_THREADS", "0")


def create_context(platform: str) -> Any:
    """Create an OpenGL context and make it current; returns pyrender's platform object.

    Raises:
        RunError: the driver refuses.
    """
    use_backend(platform)
    try:
        platforms = _pyrender_platform(platform)
        if platform == "egl":
            device = platforms.get_device_by_index(int(os.environ.get("EGL_DEVICE_ID", "0")))
            context: Any = platforms.EGLPlatform(1, 1, device=device)
        else:
            context = platforms.OSMesaPlatform(1, 1)
        context.init_context()
        context.make_current()
    except Exception as error:  # drivers fail in every way there is: assertion, ctypes, GLError
        raise RunError(
            no_backend_message(f"{platform}: {error or type(error).__name__}")
        ) from error
    return context


def _pyrender_platform(name: str) -> ModuleType:
    """The module pyrender.platforms.NAME, without the rest of pyrender.

    That would cost each worker a second: it imports trimesh, SciPy and a viewer.
    """
    alias = "_pyrender_platforms"
    if alias not in sys.modules:
        found = importlib.util.find_spec("pyrender")
        if found is None or not found.submodule_search_locations:
            raise ImportError("pyrender is not installed")
        folder = Path(found.submodule_search_locations[0]) / "platforms"
        spec = importlib.util.spec_from_file_location(
            alias, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[alias] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{alias}.{name}")


_PROBE = """
import json, sys
from satgen.rendering.backend import create_context
context = create_context(sys.argv[1])
from OpenGL import GL
print(json.dumps([GL.glGetString(GL.GL_RENDERER).decode(), GL.glGetString(GL.GL_VERSION).decode()]))
context.delete_context()
"""


def probe(platform: str) -> Probe:
    """Create a context on `platform` in a process of its own and say what renders there."""
    reason = _available(platform)
    if reason:
        return Probe(platform, False, reason)
    environment = {**os.environ, ENVIRONMENT: platform}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, platform],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Probe(platform, False, lines[-1])
    renderer, version = json.loads(done.stdout.strip().splitlines()[-1])
    return Probe(platform, True, renderer, version)
