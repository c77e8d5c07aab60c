"""The Earth behind the target, drawn with OpenGL: one ray through each pixel's centre."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.rendering.backend import choose_backend, create_context
from satgen.surroundings.earth import CONSTANTS, ground_map, land_map, noise_volume

COARSE = 2
"""The Earth is drawn for blocks of so many pixels each way, and is linear between their middles:
pixel by pixel it would cost more than the target."""


class EarthRenderer(AbstractContextManager["EarthRenderer"]):
    """Draws the Earth as one camera sees it. Holds an OpenGL context; a context manager.

    Args:
        camera: whose pixels are drawn.
        seed: of the clouds.
        float32: radiance in 32 instead of 16 bits.
        platform: "egl" or "osmesa"; by default the first that answers.

    Raises:
        RunError: no OpenGL can be had here, or the driver lacks what is needed.
    """

    def __init__(
        self, camera: Camera, seed: int, *, float32: bool = False, platform: str | None = None
    ) -> None:
        self.camera = camera
        self._context = create_context(platform or choose_backend())
        try:
            with self._context.current():
                self._make(seed, float32)
        except Exception:
            self.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the OpenGL context; again does nothing."""
        self._context.close()

    def _make(self, seed: int, float32: bool) -> None:
        from OpenGL import GL

        from satgen.rendering.device import Program, check_framebuffer, framebuffer, texture_2d

        self._kind = GL.GL_FLOAT if float32 else GL.GL_HALF_FLOAT
        self._dtype = np.float32 if float32 else np.float16
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)
        GL.glPixelStorei(GL.GL_UNPACK_ALIGNMENT, 1)
        camera = self.camera
        directions = _coarse_rays(camera)
        constants = {**CONSTANTS, "LAND_HEIGHT": float(land_map().shape[0])}
        self._program = Program("list.vert", "earth.frag", constants)
        self._program.use()
        self._size = size = (directions.shape[1], directions.shape[0])
        rays_of_length = np.sqrt(1.0 + np.sum(directions**2, axis=-1, keepdims=True))
        self._rays = np.concatenate([directions, np.ones_like(directions[..., :1])], axis=-1)
        self._rays /= rays_of_length
        rays = texture_2d(size, GL.GL_RG32F, GL.GL_RG, GL.GL_FLOAT, directions)
        land = _map(land_map()[..., None], GL.GL_R8, GL.GL_RED)
        ground = _map(ground_map(), GL.GL_SRGB8, GL.GL_RGB)
        textures = (
            ("rays", GL.GL_TEXTURE_2D, rays),
            ("land", GL.GL_TEXTURE_2D, land),
            ("ground", GL.GL_TEXTURE_2D, ground),
            ("noise", GL.GL_TEXTURE_3D, _volume(noise_volume(seed))),
        )
        for unit, (name, kind, texture) in enumerate(textures):
            GL.glActiveTexture(GL.GL_TEXTURE0 + unit)
            GL.glBindTexture(kind, texture)
            GL.glUniform1i(self._program[name], unit)
        GL.glUniform1f(self._program["pixel"], COARSE / float(np.sqrt(camera.fx * camera.fy)))
        GL.glActiveTexture(GL.GL_TEXTURE0 + len(textures))
        layout = GL.GL_RGBA32F if float32 else GL.GL_RGBA16F
        self._framebuffer = framebuffer(texture_2d(size, layout, GL.GL_RGBA, self._kind))
        check_framebuffer()
        GL.glBindVertexArray(GL.glGenVertexArrays(1))
        GL.glViewport(0, 0, *size)
        GL.glEnable(GL.GL_SCISSOR_TEST)

    def draw(
        self,
        ground_from_cam: NDArray[np.float64],
        sun_cam: NDArray[np.float64],
        nadir_cam: NDArray[np.float64],
        radius: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Radiance of the Earth and its air.

        Args:
            ground_from_cam: (3, 3) rotation of camera axes to the Earth's.
            sun_cam, nadir_cam: (3,) unit vectors, camera frame.
            radius: distance from the Earth's centre, Earth radii.

        Returns:
            (H, W, 3) float32, linear RGB, and (H, W) float32, the share of the pixel that the solid
            Earth fills; None where it fills every pixel.
        """
        from OpenGL import GL

        program, (w, h) = self._program, self._size
        column, row, across, down = self._seen(nadir_cam, radius)
        image = np.zeros((h, w, 4), dtype=self._dtype)
        part = np.empty((down, across, 4), dtype=self._dtype)
        if part.size:
            with self._context.current():
                program.use()
                GL.glUniformMatrix3fv(
                    program["ground_from_cam"], 1, GL.GL_TRUE, ground_from_cam.astype(np.float32)
                )
                GL.glUniform3f(program["sun"], *(ground_from_cam @ sun_cam))
                GL.glUniform3f(program["up"], *(ground_from_cam @ -nadir_cam))
                GL.glUniform1f(program["radius"], radius)
                GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._framebuffer)
                GL.glScissor(column, row, across, down)
                GL.glDrawArrays(GL.GL_TRIANGLES, 0, 3)
                GL.glReadPixels(column, row, across, down, GL.GL_RGBA, self._kind, part)
            image[row : row + down, column : column + across] = part
        # Beyond a row of blocks without anything all is black.
        rows = slice(max(row - 2, 0), row + down + 2)
        size = (self.camera.height, self.camera.width)
        radiance = _enlarged(image[..., :3], *size, rows)
        if part.shape == image.shape and part[..., 3].min() >= 1.0:
            return radiance, None
        return radiance, _enlarged(image[..., 3:], *size, rows)[..., 0]

    def _seen(self, nadir_cam: NDArray[np.float64], radius: float) -> tuple[int, int, int, int]:
        """Columns and rows (x, y, w, h) of blocks out of which there is only sky."""
        limb = np.sqrt(max(1.0 - ((1.0 + CONSTANTS["ATMOSPHERE"]) / radius) ** 2, 0.0))
        seen = self._rays @ nadir_cam.astype(np.float32) > np.float32(limb - 1e-4)
        columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
        if not len(rows):
            return 0, 0, 0, 0
        # By fours, as drivers shade neighbours together and look textures up at one level for them.
        x, y = int(columns[0]) // 4 * 4, int(rows[0]) // 4 * 4
        right = min(int(columns[-1]) // 4 * 4 + 4, self._size[0])
        below = min(int(rows[-1]) // 4 * 4 + 4, self._size[1])
        return x, y, right - x, below - y


def _coarse_rays(camera: Camera) -> NDArray[np.float32]:
    """Rays (h, w, 2), x and y at z = 1, through the middles of blocks of 2 x 2 pixels."""
    rays = camera.rays()
    rays = rays[..., :2] / rays[..., 2:]
    for axis in (0, 1):
        if rays.shape[axis] % COARSE:
            last = np.take(rays, [-1], axis)
            before = np.take(rays, [-2 if rays.shape[axis] > 1 else -1], axis)
            rays = np.concatenate([rays, 2.0 * last - before], axis)
    h, w, _ = rays.shape
    blocks = rays.reshape(h // COARSE, COARSE, w // COARSE, COARSE, 2)
    return np.ascontiguousarray(blocks.mean(axis=(1, 3)), np.float32)


_BAND = 8
"""Rows of blocks that are enlarged at a time."""


def _enlarged(
    image: NDArray[np.floating[Any]], height: int, width: int, seen: slice
) -> NDArray[np.float32]:
    """An image of blocks of 2 x 2 pixels, between whose middles it is linear, as pixels.

    Args:
        image: (h, w, C) of the blocks.
        height, width: of the pixels.
        seen: rows of blocks; all others are black, and so are the first and the last of these,
            but at the image's edges.
    """
    larger = np.zeros((2 * image.shape[0], 2 * image.shape[1], image.shape[2]), np.float32)
    image = image[seen].astype(np.float32)
    h, w, channels = image.shape
    framed = np.concatenate([image[:1], image, image[-1:]])
    pixels = larger.view(np.dtype((np.void, 4 * channels)))[2 * seen.start :, :, 0]
    # A few rows at a time: large temporary arrays cost more than the sums.
    for top in range(0, h, _BAND):
        band = framed[top : top + _BAND + 2]
        near, far = np.float32(0.75) * band[1:-1], np.float32(0.25) * band
        rows = np.empty((2 * len(near), w, channels), np.float32)
        np.add(near, far[:-2], out=rows[0::2])
        np.add(near, far[2:], out=rows[1::2])
        near, far = np.float32(0.75) * rows, np.float32(0.25) * rows
        left, right = near.copy(), near
        left[:, 1:] += far[:, :-1]
        left[:, 0] += far[:, 0]
        right[:, :-1] += far[:, 1:]
        right[:, -1] += far[:, -1]
        there = pixels[2 * top : 2 * top + len(rows)]
        there[:, 0::2] = left.view(pixels.dtype)[..., 0]
        there[:, 1::2] = right.view(pixels.dtype)[..., 0]
    return np.ascontiguousarray(larger[:height, :width])


def _map(values: NDArray[np.uint8], layout: Any, form: Any) -> int:
    """A map of the Earth as a texture with levels, around which the meridians close."""
    from OpenGL import GL

    texture = GL.glGenTextures(1)
    GL.glBindTexture(GL.GL_TEXTURE_2D, texture)
    height, width, _ = values.shape
    GL.glTexImage2D(
        GL.GL_TEXTURE_2D, 0, layout, width, height, 0, form, GL.GL_UNSIGNED_BYTE,
        np.ascontiguousarray(values),
    )  # fmt: skip
    _filtered(GL.GL_TEXTURE_2D, GL.GL_CLAMP_TO_EDGE)
    return int(texture)


def _volume(values: NDArray[np.uint8]) -> int:
    """Noise as a texture that repeats."""
    from OpenGL import GL

    texture = GL.glGenTextures(1)
    GL.glBindTexture(GL.GL_TEXTURE_3D, texture)
    depth, height, width, _ = values.shape
    GL.glTexImage3D(
        GL.GL_TEXTURE_3D, 0, GL.GL_RGBA8, width, height, depth, 0, GL.GL_RGBA,
        GL.GL_UNSIGNED_BYTE, np.ascontiguousarray(values),
    )  # fmt: skip
    _filtered(GL.GL_TEXTURE_3D, GL.GL_REPEAT)
    GL.glTexParameteri(GL.GL_TEXTURE_3D, GL.GL_TEXTURE_WRAP_R, GL.GL_REPEAT)
    return int(texture)


def _filtered(kind: Any, down: Any) -> None:
    from OpenGL import GL

    GL.glGenerateMipmap(kind)
    for name, value in (
        (GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR_MIPMAP_NEAREST),
        (GL.GL_TEXTURE_MAG_FILTER, GL.GL_LINEAR),
        (GL.GL_TEXTURE_WRAP_S, GL.GL_REPEAT),
        (GL.GL_TEXTURE_WRAP_T, down),
    ):
        GL.glTexParameteri(kind, name, value)
