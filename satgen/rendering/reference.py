"""The same scene drawn by pyrender: a plain, slow, outside look at what our renderer draws.

pyrender is used as its own documentation shows it: a `Scene` with a node a part, one directional
light with shadows, an `OffscreenRenderer`. Geometry, pose, camera, materials and sun are those of
`satgen.rendering.renderer`; depth and parts agree with it to the depth buffer's 24 bits, at pixel
centres. The picture is pyrender's own, and simpler: 8 bits after its display curve (values above
white are cut), light from the Earth comes evenly from everywhere, normal maps keep their full
depth, and edges are smoothed by four samples a pixel under EGL and by none under OSMesa.
"""

from __future__ import annotations

import atexit
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.errors import InputError, RunError
from satgen.geometry import bounding_box
from satgen.installed import require
from satgen.model import Material, PartLabels, TargetModel
from satgen.rendering.backend import choose_backend, no_backend_message
from satgen.rendering.context import any_alive, bind_pyopengl, environment, let_go
from satgen.rendering.lighting import Lighting
from satgen.rendering.renderer import RenderedView

DISPLAY_GAMMA = 2.2
"""Gamma of pyrender's shaders: what they write is linear radiance to the power of 1 / 2.2."""

_OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def check_available() -> None:
    """Refuse what cannot be rendered with pyrender here, before anything is begun.

    Raises:
        InputError: it is not installed.
        RunError: Python runs without assertions.
    """
    require("the renderer pyrender", "pyrender", load=False)
    if not __debug__:
        raise RunError(
            "pyrender opens its OpenGL in assertions, which python -O leaves out: run without -O, "
            "or with the renderer satgen"
        )


def check_model(model: TargetModel) -> None:
    """Refuse a model that pyrender draws otherwise than it is.

    Raises:
        InputError: one line.
    """
    for material in model.materials:
        if material.cutoff:
            what = "cuts nothing out by its opacity (alphaMode MASK, BLEND)"
        elif material.second:
            what = "knows one set of texture coordinates"
        else:
            continue
        raise InputError(
            f"{model.name}: the renderer pyrender {what}, as the material {material.name!r} needs: "
            "use the renderer satgen"
        )


@dataclass(frozen=True)
class Images:
    """What pyrender answers for one view, whole images.

    Attributes:
        rgb: (H, W, 3) uint8, after pyrender's display curve.
        covered: (H, W) bool, pixels that show anything of the target.
        depth: (H, W) float32 metres along the optical axis at the pixels' centres, 0 for none.
        parts: (H, W) part label at the pixels' centres, 0 for none.
    """

    rgb: NDArray[np.uint8]
    covered: NDArray[np.bool_]
    depth: NDArray[np.float32]
    parts: PartLabels


class ReferenceRenderer(AbstractContextManager["ReferenceRenderer"]):
    """Renders a target from any pose with pyrender; used as a context manager, or closed with
    `close`. Any number may be alive in a process; they share one `OffscreenRenderer`.

    Args:
        model: the target.
        camera: intrinsics and image size.
        lighting: fill light.
        platform: "egl" or "osmesa"; by default the first that answers.

    Raises:
        InputError: pyrender is not installed, or cannot draw the model.
        RunError: no OpenGL can be had here.
    """

    def __init__(
        self,
        model: TargetModel,
        camera: Camera,
        lighting: Lighting | None = None,
        *,
        platform: str | None = None,
    ) -> None:
        check_available()
        check_model(model)
        self.camera = camera
        self._platform = platform or choose_backend()
        self._centre, self._radius = model.bounding_sphere
        self._closed = False
        self._label_type = model.face_part.dtype
        with _LOCK:
            _SHARED.open(self._platform)
        import pyrender

        self._lighting = lighting or Lighting()
        self._scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0])
        self._labels = {
            self._scene.add(mesh): (label % 256, label // 256, 0) for label, mesh in _meshes(model)
        }
        # pyrender counts pixels from the image's corner, half a pixel before our origin.
        self._eye = pyrender.IntrinsicsCamera(
            camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5, znear=1.0, zfar=2.0
        )
        self._eye_node = self._scene.add(self._eye)
        # White paper in the sun has radiance 1, as everywhere in satgen.
        self._sun = pyrender.DirectionalLight(color=np.ones(3), intensity=float(np.pi))
        self._sun_node = self._scene.add(self._sun)

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of pyrender; again does nothing."""
        with _LOCK:
            if not self._closed:
                self._closed = True
                _SHARED.leave()

    def gl_strings(self) -> dict[str, str]:
        """What renders: OpenGL "platform", "renderer" and "version"."""
        return dict(_SHARED.strings)

    def render(
        self,
        T_cam_target: NDArray[np.float64],
        sun_cam: NDArray[np.float64],
        earth_cam: NDArray[np.float64] | None = None,
        earthshine: NDArray[np.float64] | None = None,
        sunlight: float = 1.0,
        *,
        shadow: bool = False,
        normals: bool = False,
    ) -> RenderedView:
        """Render one view; see `satgen.rendering.renderer.Renderer.render`.

        Args:
            T_cam_target: (4, 4) pose, target frame to OpenCV camera frame, metres.
            sun_cam: (3,) unit vector from target to sun, camera frame.
            earth_cam: has no say here.
            earthshine: (3,) mean radiance of the Earth's disc; by default that of the lighting.
            sunlight: share of the sun's light that reaches the target.
            shadow, normals: have no say here.

        Raises:
            RunError: the renderer is closed.
        """
        seen = self.images(T_cam_target, sun_cam, earthshine=earthshine, sunlight=sunlight)
        window = bounding_box(seen.covered)
        x, y, w, h = window
        inside = np.s_[y : y + h, x : x + w]
        pixels = np.flatnonzero(seen.covered[inside])
        shown = seen.rgb[inside].reshape(-1, 3)[pixels]
        radiance = _LINEAR[shown]
        covers = np.ones(len(pixels), dtype=np.float32)  # no background is drawn behind it
        depth = seen.depth[inside].reshape(-1)
        centres = np.flatnonzero(depth)
        z = depth[centres].astype(np.float64)
        return RenderedView(window, pixels, radiance, covers, centres, z, seen.parts[inside])

    def images(
        self,
        T_cam_target: NDArray[np.float64],
        sun_cam: NDArray[np.float64],
        *,
        exact: bool = True,
        earthshine: NDArray[np.float64] | None = None,
        sunlight: float = 1.0,
    ) -> Images:
        """What pyrender draws of one view.

        Args:
            T_cam_target: (4, 4) pose, target frame to OpenCV camera frame, metres.
            sun_cam: (3,) unit vector from target to sun, camera frame.
            exact: a second pass for parts, and depth at the pixels' centres. Without it there are
                no parts, and depth is that of one of the picture's samples.
            earthshine: (3,) mean radiance of the Earth's disc; by default that of the lighting.
            sunlight: share of the sun's light that reaches the target.

        Raises:
            RunError: the renderer is closed.
        """
        if self._closed:
            raise RunError("this renderer is closed")
        pose = np.asarray(T_cam_target, dtype=np.float64).copy()
        pose[:3, 3] += pose[:3, :3] @ self._centre  # vertices are about the target's centre
        size = (self.camera.height, self.camera.width)
        if pose[2, 3] + self._radius <= 0.0:
            return Images(
                np.zeros((*size, 3), np.uint8),
                np.zeros(size, bool),
                np.zeros(size, np.float32),
                np.zeros(size, self._label_type),
            )
        reach = 1.001 * self._radius
        self._eye.zfar = np.inf  # it is never let below znear
        self._eye.znear = max(pose[2, 3] - reach, 1e-3 * self._radius)
        self._eye.zfar = pose[2, 3] + reach
        inverse = np.linalg.inv(pose)
        self._scene.set_pose(self._eye_node, inverse @ _OPENCV_TO_OPENGL)
        self._scene.set_pose(self._sun_node, _facing(inverse[:3, :3] @ sun_cam))
        self._sun.intensity = float(np.pi * sunlight)
        self._scene.ambient_light = _fill(self._lighting, earthshine)
        with _LOCK:
            shown, depth = _SHARED.draw(self._scene, size)
            parts = np.zeros(size, self._label_type)
            if exact:
                labels, depth = _SHARED.draw_labels(self._scene, size, self._labels)
                parts[:] = labels[..., 0]
                if parts.itemsize > 1:
                    parts += labels[..., 1].astype(parts.dtype) << 8
        rgb = np.ascontiguousarray(shown[..., :3])
        alpha = shown[..., 3] > 0 if shown.shape[2] == 4 else rgb.any(axis=2)
        return Images(rgb, alpha | (parts > 0), depth, parts)


_LINEAR = ((np.arange(256) / 255.0) ** DISPLAY_GAMMA).astype(np.float32)


def _facing(sun: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pose whose +z axis points to the sun: lights shine along their -z. pyrender places it."""
    z = sun / np.linalg.norm(sun)
    x = np.cross(np.eye(3)[int(np.argmin(np.abs(z)))], z)
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([x, np.cross(z, x), z])
    return pose


def _fill(lighting: Lighting, earthshine: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Radiance that comes evenly from everywhere: all else, and the Earth's over its share."""
    share = (1.0 - np.cos(np.radians(lighting.earth_limb_deg))) / 2.0
    shine = np.asarray(
        lighting.fixed_earthshine if earthshine is None else earthshine, dtype=np.float64
    )
    return np.asarray(lighting.ambient + share * shine)


# --- the model ------------------------------------------------------------------------------------


def _meshes(model: TargetModel) -> list[tuple[int, Any]]:
    """A pyrender mesh a part, with its label; a primitive a material in it."""
    import pyrender

    materials = [_material(material) for material in model.materials]
    positions = (model.vertices - model.bounding_sphere[0]).astype(np.float32)
    uv = np.stack([model.uv[:, 0], 1.0 - model.uv[:, 1]], axis=1)  # pyrender's v runs up
    found = []
    for part in model.parts:
        primitives = []
        of_part = model.face_part == part.label
        for number in np.unique(model.face_material[of_part]):
            faces = model.faces[of_part & (model.face_material == number)]
            used, indices = np.unique(faces, return_inverse=True)
            primitives.append(
                pyrender.Primitive(
                    positions=positions[used],
                    normals=model.normals[used],
                    texcoord_0=uv[used].astype(np.float32),
                    color_0=None if model.colours is None else model.colours[used],
                    indices=indices.reshape(-1, 3).astype(np.uint32),
                    material=materials[number],
                    mode=pyrender.GLTF.TRIANGLES,
                )
            )
        if primitives:
            found.append((part.label, pyrender.Mesh(primitives=primitives, name=part.name)))
    return found


_WRAPS = {"repeat": 10497, "clamp": 33071, "mirror": 33648}
"""OpenGL's names for what is beyond a texture's edges."""


def _material(material: Material) -> Any:
    import pyrender

    def texture(image: NDArray[np.uint8] | None) -> Any:
        if image is None:
            return None
        # Four channels, so that rows of any width start where OpenGL expects them.
        opaque = np.concatenate([image, np.full_like(image[..., :1], 255)], axis=2)
        across, down = (_WRAPS[how] for how in material.wrap)
        sampler = pyrender.Sampler(wrapS=across, wrapT=down)
        return pyrender.Texture(source=opaque, source_channels="RGBA", sampler=sampler)

    glow, emissive = material.emissive_image, np.asarray(material.emissive, dtype=np.float64)
    if material.unlit:
        # black metal that glows in its colour
        glow, emissive = material.base_color_image, np.asarray(material.base_color)
        material = replace(
            material, base_color=(0.0, 0.0, 0.0), metallic=1.0, base_color_image=None
        )
    packed = material.metallic_roughness_image
    return pyrender.MetallicRoughnessMaterial(
        name=material.name,
        baseColorFactor=(*material.base_color, 1.0),
        metallicFactor=material.metallic,
        roughnessFactor=material.roughness,
        # Its shader reads roughness and metalness from the first two channels.
        metallicRoughnessTexture=texture(None if packed is None else packed[..., [1, 2, 0]]),
        baseColorTexture=texture(material.base_color_image),
        normalTexture=texture(material.normal_image),
        # It multiplies the factor with itself.
        emissiveFactor=np.sqrt(emissive),
        emissiveTexture=texture(glow),
        doubleSided=material.double_sided,
        alphaMode="OPAQUE",
    )


# --- pyrender's own renderer ----------------------------------------------------------------------

_LOCK = threading.RLock()


class _Shared:
    """The process's one `OffscreenRenderer`. pyrender ends the EGL display with the first that is
    deleted, under all others and under our own contexts: so there is one, and it is deleted when
    nothing else lives there, else kept for the next."""

    def __init__(self) -> None:
        self.strings: dict[str, str] = {}
        self._renderer: Any = None
        self._users = 0

    def open(self, platform: str) -> None:
        """Count a user in; RunError where there is no OpenGL."""
        bind_pyopengl(platform)
        if self._renderer is None:
            try:
                self._renderer = self._made(platform)
            except Exception as error:  # assertions, GLError, ctypes: drivers fail in all ways
                reason = str(error) or type(error).__name__
                raise RunError(no_backend_message(f"{platform}: {reason}")) from error
        self._users += 1

    def _made(self, platform: str) -> Any:
        import pyrender
        from OpenGL import GL

        try:
            with environment(PYOPENGL_PLATFORM=platform):
                renderer = pyrender.OffscreenRenderer(1, 1)
            self.strings = {
                "platform": platform,
                "renderer": str(GL.glGetString(GL.GL_RENDERER).decode()),
                "version": str(GL.glGetString(GL.GL_VERSION).decode()),
            }
        finally:
            let_go(platform)
        return renderer

    def leave(self) -> None:
        """Count a user out; the last one frees what is held."""
        self._users -= 1
        if self._users == 0 and not any_alive():
            self.delete()

    def delete(self) -> None:
        """Free what is held, before the interpreter ends at the latest."""
        if self._renderer is not None:
            renderer, self._renderer = self._renderer, None
            renderer.delete()

    def draw(
        self, scene: Any, size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(H, W, 3 or 4) uint8 picture with shadows, and (H, W) float32 depth of its samples."""
        import pyrender

        flags = pyrender.RenderFlags
        colour, depth = self._drawn(scene, size, flags.SHADOWS_DIRECTIONAL | flags.RGBA, None)
        return np.asarray(colour, dtype=np.uint8), np.asarray(depth, dtype=np.float32)

    def draw_labels(
        self, scene: Any, size: tuple[int, int], labels: dict[Any, tuple[int, int, int]]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(H, W, 3) uint8 of the nodes' labels and (H, W) float32 depth, at pixel centres."""
        import pyrender

        colour, depth = self._drawn(scene, size, pyrender.RenderFlags.SEG, labels)
        return np.asarray(colour, dtype=np.uint8), np.asarray(depth, dtype=np.float32)

    def _drawn(self, scene: Any, size: tuple[int, int], flags: int, labels: Any) -> Any:
        self._renderer.viewport_height, self._renderer.viewport_width = size
        try:
            with environment(PYOPENGL_PLATFORM=self.strings["platform"]):
                return self._renderer.render(scene, flags=flags, seg_node_map=labels)
        finally:
            let_go(self.strings["platform"])


_SHARED = _Shared()
atexit.register(_SHARED.delete)
