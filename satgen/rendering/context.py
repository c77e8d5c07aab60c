"""OpenGL contexts without a display, through ctypes: EGL's (a GPU, or Mesa's software renderer) and
OSMesa's.

Only contexts are made here; OpenGL itself is called through PyOpenGL, which binds itself to one of
the two platforms at its first import and works in whichever context is current in a thread. Any
number of contexts may live in a process. A context is made current where it is used and let go
afterwards, so that none draws into another and any thread may use any of them, one at a time.

EGL displays are shared by a process and never terminated: that would end every other context on
them, another library's too. Contexts free what they hold when they are closed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol

from satgen.errors import InputError, RunError

DEVICE = "EGL_DEVICE_ID"
"""Environment variable with the number of the EGL device to render on; by default the first that
works."""
_SONAMES = {"egl": ("libEGL.so.1",), "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6")}
_NAMES = {"egl": "EGL", "osmesa": "OSMesa"}
_MOST_DEVICES = 64

_EGL_NONE = 0x3038
_EGL_SURFACE_TYPE, _EGL_PBUFFER_BIT = 0x3033, 0x0001
_EGL_RENDERABLE_TYPE, _EGL_OPENGL_BIT = 0x3040, 0x0008
_EGL_WIDTH, _EGL_HEIGHT = 0x3057, 0x3056
_EGL_OPENGL_API = 0x30A2
_EGL_MAJOR, _EGL_MINOR = 0x3098, 0x30FB
_EGL_PROFILE, _EGL_CORE = 0x30FD, 0x00000001
_EGL_PLATFORM_DEVICE, _EGL_PLATFORM_SURFACELESS = 0x313F, 0x31DD
_OSMESA_FORMAT, _GL_RGBA, _GL_UNSIGNED_BYTE = 0x22, 0x1908, 0x1401
_OSMESA_DEPTH_BITS, _OSMESA_PROFILE, _OSMESA_CORE = 0x30, 0x33, 0x34
_OSMESA_MAJOR, _OSMESA_MINOR = 0x36, 0x37
_VERSION = (3, 3)
"""The least OpenGL that the shaders need."""
_EGL_VERSIONS = ((4, 1), _VERSION)
"""Versions that EGL is asked for, in turn. Some drivers give just what they are asked for and
others the newest that they have, and a dataset begun with one version is not gone on with in
another."""


class _Handle(Protocol):
    """A context of one platform; calls answer whether the driver did as asked."""

    def make_current(self) -> bool: ...

    def release(self) -> bool: ...

    def is_current(self) -> bool: ...

    def destroy(self) -> None: ...


class Context:
    """An OpenGL context of 3.3 core or newer; closed by `close`, or when it is no longer referred
    to.

    Args:
        platform: "egl" or "osmesa".

    Attributes:
        platform: as given.

    Raises:
        InputError: EGL_DEVICE_ID names no device, or PyOpenGL was imported for another platform.
        RunError: the driver refuses.
    """

    def __init__(self, platform: str) -> None:
        self.platform = platform
        self._lock = threading.RLock()
        self._depth = 0
        handle: _Handle = _EglHandle() if platform == "egl" else _OsmesaHandle()
        self._handle = handle
        self._end = weakref.finalize(self, handle.destroy)
        _ALIVE.add(self)
        try:
            with self.current():
                bind_pyopengl(platform)
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether the context is gone."""
        return not self._end.alive

    @contextmanager
    def current(self) -> Iterator[None]:
        """This thread's OpenGL calls go to this context in the `with` block; it may be nested.

        Raises:
            RunError: the context is closed, or the driver has lost it.
        """
        with self._lock:
            if self.closed:
                raise RunError("this renderer is closed")
            if not self._handle.is_current() and not self._handle.make_current():
                raise RunError(
                    "the OpenGL context cannot be used: another library of this process has ended "
                    "it, or the driver has"
                )
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and not self.closed:
                    self._handle.release()

    def strings(self) -> dict[str, str]:
        """What renders: "platform", "renderer" (the driver's name for itself) and "version"."""
        from OpenGL import GL

        with self.current():
            renderer, version = GL.glGetString(GL.GL_RENDERER), GL.glGetString(GL.GL_VERSION)
        return {
            "platform": self.platform,
            "renderer": str(renderer.decode()),
            "version": str(version.decode()),
        }

    def close(self) -> None:
        """Free the context and all that is in it; does nothing the second time."""
        with self._lock:
            self._end()


_ALIVE: weakref.WeakSet[Context] = weakref.WeakSet()


def any_alive() -> bool:
    """Whether any context is open in this process."""
    return any(not context.closed for context in list(_ALIVE))


def let_go(platform: str) -> None:
    """Let this thread go of whichever context of a platform is current in it, another library's
    too."""
    if platform == "egl":
        egl = _egl()
        egl.eglMakeCurrent(egl.eglGetCurrentDisplay(), None, None, None)
    else:
        _osmesa().OSMesaMakeCurrent(None, None, 0, 0, 0)


def bind_pyopengl(platform: str) -> None:
    """Import PyOpenGL for a platform.

    Raises:
        InputError: it was imported for another one before.
    """
    bound = bound_platform()
    if bound is None:
        with environment(PYOPENGL_PLATFORM=platform):
            import OpenGL.GL  # noqa: F401
    elif bound != platform:
        raise InputError(
            f"PyOpenGL was imported for {bound} before satgen could choose {platform}: set "
            f"PYOPENGL_PLATFORM={platform} before the first import of OpenGL or pyrender"
        )


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Environment variables for the length of the `with` block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def bound_platform() -> str | None:
    """The platform that PyOpenGL serves in this process: "egl", "osmesa", "glx", …, None for none
    yet."""
    module = sys.modules.get("OpenGL.platform")
    chosen = getattr(module, "PLATFORM", None)
    return None if chosen is None else type(chosen).__name__.removesuffix("Platform").lower()


def why_not(platform: str) -> str:
    """Why a platform cannot give a context here, as far as can be told without making one; else
    empty.

    Raises:
        InputError: EGL_DEVICE_ID names no device.
    """
    if _library(platform) is None:
        return f"lib{_NAMES[platform]} is not installed"
    if platform == "egl":
        try:
            next(_egl_ready())
        except RunError as error:
            return str(error)
    return ""


@cache
def _library(platform: str) -> ctypes.CDLL | None:
    """The platform's library, or None."""
    # Mesa's software renderer: no threads of its own, workers are the parallelism. It looks once.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    for name in (*_SONAMES[platform], ctypes.util.find_library(_NAMES[platform])):
        if name:
            try:
                return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
            except OSError:
                continue
    return None


def _declare(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> None:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments


# --- EGL ------------------------------------------------------------------------------------------


@cache
def _egl() -> ctypes.CDLL:
    """libEGL with its functions declared."""
    egl = _library("egl")
    if egl is None:
        raise RunError("libEGL is not installed")
    flag, count, pointer, text = ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p
    attributes = ctypes.POINTER(ctypes.c_int)
    _declare(egl, "eglGetProcAddress", pointer, text)
    _declare(egl, "eglGetDisplay", pointer, pointer)
    _declare(egl, "eglInitialize", flag, pointer, pointer, pointer)
    _declare(egl, "eglBindAPI", flag, flag)
    _declare(egl, "eglChooseConfig", flag, pointer, attributes, pointer, count, attributes)
    _declare(egl, "eglCreateContext", pointer, pointer, pointer, pointer, attributes)
    _declare(egl, "eglCreatePbufferSurface", pointer, pointer, pointer, attributes)
    _declare(egl, "eglMakeCurrent", flag, pointer, pointer, pointer, pointer)
    _declare(egl, "eglGetCurrentContext", pointer)
    _declare(egl, "eglGetCurrentDisplay", pointer)
    _declare(egl, "eglDestroyContext", flag, pointer, pointer)
    _declare(egl, "eglDestroySurface", flag, pointer, pointer)
    _declare(egl, "eglGetError", count)
    return egl


def _attributes(*values: int) -> Any:
    return (ctypes.c_int * (len(values) + 1))(*values, _EGL_NONE)


def _extension(name: bytes, result: Any, *arguments: Any) -> Any:
    """A function of an EGL extension, or None."""
    address = _egl().eglGetProcAddress(name)
    return ctypes.CFUNCTYPE(result, *arguments)(address) if address else None


def _egl_device() -> int | None:
    """The number of the device that the user asks for."""
    asked = os.environ.get(DEVICE, "")
    if not asked:
        return None
    if not asked.isdigit():
        raise InputError(f"{DEVICE}={asked}: must be the number of an EGL device, or unset")
    return int(asked)


def _egl_devices() -> list[int]:
    """Handles of the EGL devices; none without the extension that lists them."""
    pointer = ctypes.c_void_p
    query = _extension(
        b"eglQueryDevicesEXT", ctypes.c_uint, ctypes.c_int, pointer, ctypes.POINTER(ctypes.c_int)
    )
    if query is None:
        return []
    devices, count = (pointer * _MOST_DEVICES)(), ctypes.c_int()
    if not query(_MOST_DEVICES, devices, ctypes.byref(count)):
        return []
    return [device for device in devices[: count.value] if device]


def _egl_displays() -> Iterator[int]:
    """Displays to try: the devices', or the one that is asked for; then those without a device."""
    egl = _egl()
    open_display = _extension(
        b"eglGetPlatformDisplayEXT",
        ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
    )  # fmt: skip
    asked = _egl_device()
    devices = _egl_devices() if open_display is not None else []
    if asked is not None and asked >= max(len(devices), 1):
        raise InputError(
            f"{DEVICE}={asked}: there is no such EGL device here; they are numbered from 0 to "
            f"{max(len(devices), 1) - 1}"
        )
    for number, device in enumerate(devices):
        if asked in (None, number):
            yield open_display(_EGL_PLATFORM_DEVICE, device, None)
    if asked is None or not devices:
        if open_display is not None:
            yield open_display(_EGL_PLATFORM_SURFACELESS, None, None)
        yield egl.eglGetDisplay(None)


def _egl_ready() -> Iterator[int]:
    """Displays that a driver answers for.

    Raises:
        InputError: EGL_DEVICE_ID names no device.
        RunError: none does.
    """
    egl = _egl()
    offered = answered = False
    for display in _egl_displays():
        if not display:
            continue
        offered = True
        if egl.eglInitialize(display, None, None):
            if not egl.eglBindAPI(_EGL_OPENGL_API):
                raise RunError("EGL is installed, but without desktop OpenGL")
            answered = True
            yield display
    if not offered:
        raise RunError("EGL offers no display")
    if not answered:
        raise RunError(
            "EGL is installed, but no driver answers (Mesa's libgl1-mesa-dri, or a GPU's own)"
        )


class _EglHandle:
    """A context of EGL, without a surface where the driver can do that, else with one pixel.

    On the first display whose driver has the OpenGL that is needed: a GPU that one may not use, or
    that is too old, gives way to the next, which may be Mesa's software renderer.
    """

    def __init__(self) -> None:
        self._egl = _egl()
        self._surface: int | None
        reason = ""
        for display in _egl_ready():
            self._display = display
            try:
                return self._make()
            except RunError as error:
                reason = reason or str(error)
        raise RunError(reason)

    def _make(self) -> None:
        egl, self._surface = self._egl, None
        configs, count = (ctypes.c_void_p * 1)(), ctypes.c_int()
        wanted = _attributes(
            _EGL_SURFACE_TYPE, _EGL_PBUFFER_BIT, _EGL_RENDERABLE_TYPE, _EGL_OPENGL_BIT
        )
        if (
            not egl.eglChooseConfig(self._display, wanted, configs, 1, ctypes.byref(count))
            or not count.value
        ):
            raise RunError("EGL offers no configuration for OpenGL")
        self._context: int | None = None
        for major, minor in _EGL_VERSIONS:
            attributes = _attributes(_EGL_MAJOR, major, _EGL_MINOR, minor, _EGL_PROFILE, _EGL_CORE)
            self._context = egl.eglCreateContext(self._display, configs[0], None, attributes)
            if self._context:
                break
        else:
            raise RunError(f"the EGL driver has no OpenGL {major}.{minor} ({self._error()})")
        if not self.make_current():
            size = _attributes(_EGL_WIDTH, 1, _EGL_HEIGHT, 1)
            self._surface = egl.eglCreatePbufferSurface(self._display, configs[0], size)
            if not self._surface or not self.make_current():
                reason = self._error()
                self.destroy()
                raise RunError(f"the EGL driver cannot use its own context ({reason})")
        self.release()

    def _error(self) -> str:
        return f"EGL error {self._egl.eglGetError():#x}"

    def make_current(self) -> bool:
        # The API is bound per thread, and desktop OpenGL is no thread's default.
        return bool(
            self._egl.eglBindAPI(_EGL_OPENGL_API)
            and self._egl.eglMakeCurrent(self._display, self._surface, self._surface, self._context)
        )

    def release(self) -> bool:
        return bool(self._egl.eglMakeCurrent(self._display, None, None, None))

    def is_current(self) -> bool:
        current = self._egl.eglGetCurrentContext()
        return current is not None and current == self._context

    def destroy(self) -> None:
        if self.is_current():
            self.release()
        if self._surface:
            self._egl.eglDestroySurface(self._display, self._surface)
        self._egl.eglDestroyContext(self._display, self._context)


# --- OSMesa ---------------------------------------------------------------------------------------


@cache
def _osmesa() -> ctypes.CDLL:
    """libOSMesa with its functions declared."""
    osmesa = _library("osmesa")
    if osmesa is None:
        raise RunError("libOSMesa is not installed")
    pointer, number = ctypes.c_void_p, ctypes.c_int
    _declare(osmesa, "OSMesaCreateContextAttribs", pointer, ctypes.POINTER(number), pointer)
    _declare(
        osmesa, "OSMesaMakeCurrent", ctypes.c_ubyte, pointer, pointer, ctypes.c_uint, number, number
    )
    _declare(osmesa, "OSMesaGetCurrentContext", pointer)
    _declare(osmesa, "OSMesaDestroyContext", None, pointer)
    return osmesa


class _OsmesaHandle:
    """A context of OSMesa, which draws into memory: one pixel, as all else has its own buffers."""

    def __init__(self) -> None:
        self._osmesa = _osmesa()
        major, minor = _VERSION
        values = (
            _OSMESA_FORMAT, _GL_RGBA, _OSMESA_DEPTH_BITS, 24, _OSMESA_PROFILE, _OSMESA_CORE,
            _OSMESA_MAJOR, major, _OSMESA_MINOR, minor, 0,
        )  # fmt: skip
        attributes = (ctypes.c_int * len(values))(*values)
        self._context = self._osmesa.OSMesaCreateContextAttribs(attributes, None)
        if not self._context:
            raise RunError(f"OSMesa has no OpenGL {major}.{minor}")
        self._pixel = (ctypes.c_ubyte * 4)()

    def make_current(self) -> bool:
        return bool(
            self._osmesa.OSMesaMakeCurrent(self._context, self._pixel, _GL_UNSIGNED_BYTE, 1, 1)
        )

    def release(self) -> bool:
        return bool(self._osmesa.OSMesaMakeCurrent(None, None, 0, 0, 0))

    def is_current(self) -> bool:
        current = self._osmesa.OSMesaGetCurrentContext()
        return current is not None and current == self._context

    def destroy(self) -> None:
        if self.is_current():
            self.release()
        self._osmesa.OSMesaDestroyContext(self._context)
