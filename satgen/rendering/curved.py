"""What a camera with a distorting lens sees: a visibility buffer whose samples look along rays.

A rasteriser draws straight edges, and a lens bends them. So each triangle covers a rectangle of
samples that is sure to hold it, and a sample asks itself whether its ray meets the triangle: as
exact as the numbers are, for any lens, and about a ten-thousandth of a pixel in single precision.

The rectangle is the smaller of two bounds. One follows from the rays alone: sample columns and rows
whose rays can reach the triangle's extent. The other from the lens: the corners and the middles of
the edges are put through it, and between these the image of an edge leaves its chord by no more
than an eighth of the length squared times the polynomial's second derivative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from satgen import lens
from satgen.camera import Camera
from satgen.rendering.device import Device, Faces, Program, buffer_texture, texture_2d

Floats = NDArray[np.float64]
CURVED_TEXELS = 4


@dataclass(frozen=True)
class CurvedTriangles:
    """Triangles as the pass draws them.

    Attributes:
        chosen: (N,) which of the faces given these are; the others are out of the image.
        texels: (N, CURVED_TEXELS, 4) float32: rectangle in clip space; edge planes and plane.
        window: (x, y, w, h) of the pixels that may see them.
    """

    chosen: NDArray[np.intp]
    texels: NDArray[np.float32]
    window: tuple[int, int, int, int]


class Rays:
    """The rays of a camera's half-pixel grid: sample (i, j) is at u = (i - 1) / 2, v = (j - 1) / 2.

    Args:
        camera: with its lens.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        u = (np.arange(2 * camera.width + 1) - 1) / 2.0
        v = (np.arange(2 * camera.height + 1) - 1) / 2.0
        self.xy = np.empty((len(v), len(u), 2), dtype=np.float32)
        lows, highs = np.full(len(u), np.inf), np.full(len(u), -np.inf)
        row_lows, row_highs = np.empty(len(v)), np.empty(len(v))
        pixels = np.empty((len(u), 2))
        pixels[:, 0] = u
        for row, at in enumerate(v):
            pixels[:, 1] = at
            xy = camera.rays_at(pixels)[:, :2]
            self.xy[row] = xy
            lows, highs = np.minimum(lows, xy[:, 0]), np.maximum(highs, xy[:, 0])
            row_lows[row], row_highs[row] = xy[:, 1].min(), xy[:, 1].max()
        # From the left, no column up to here reaches farther right; from the right, likewise.
        self._columns = np.maximum.accumulate(highs), np.minimum.accumulate(lows[::-1])[::-1]
        self._rows = (
            np.maximum.accumulate(row_highs),
            np.minimum.accumulate(row_lows[::-1])[::-1],
        )

    def triangles(
        self, vertices: Floats, faces: NDArray[np.uint32], near: float
    ) -> CurvedTriangles:
        """Triangles ready to be drawn.

        Args:
            vertices: (V, 3) camera frame, metres.
            faces: (F, 3) into these.
            near: nothing nearer is seen, metres.
        """
        z = vertices[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            flat = vertices[:, :2] / np.where(z > 0.0, z, np.nan)[:, None]
        first, last = self._boxes(flat, faces)
        behind = ~(z >= near)[faces].all(axis=1)
        size = np.array([self.xy.shape[1], self.xy.shape[0]])
        first[behind], last[behind] = 0, size - 1
        in_reach = (z > near)[faces].any(axis=1)
        chosen = np.flatnonzero((first <= last).all(axis=1) & in_reach)
        first, last = first[chosen], last[chosen]
        if len(chosen) == 0:
            return CurvedTriangles(chosen, np.zeros((0, CURVED_TEXELS, 4), np.float32), (0,) * 4)

        corners = [vertices[faces[chosen, k]] for k in range(3)]
        texels = np.zeros((len(chosen), CURVED_TEXELS, 4), dtype=np.float32)
        texels[:, 0, :2] = first * 2.0 / size - 1.0
        texels[:, 0, 2:] = (last + 1) * 2.0 / size - 1.0
        for k in range(3):
            # Neighbours that share an edge get the same numbers with the opposite sign.
            side = np.cross(corners[k], corners[(k + 1) % 3])
            texels[:, k + 1, :3] = _unit(side)
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        height = np.einsum("ij,ij->i", normal, corners[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            texels[:, 1:, 3] = np.nan_to_num(normal / height[:, None], posinf=0.0, neginf=0.0)
        low, high = first.min(axis=0), last.max(axis=0)
        x0, y0 = (max(int(i - 1) // 2, 0) for i in low)
        x1 = min(int(high[0]) // 2 + 1, self.camera.width)
        y1 = min(int(high[1]) // 2 + 1, self.camera.height)
        return CurvedTriangles(chosen, texels, (x0, y0, x1 - x0, y1 - y0))

    def _boxes(
        self, flat: Floats, faces: NDArray[np.uint32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last sample column and row, (F, 2) each, that may see triangles."""
        ends = [flat[faces[:, k]] for k in range(3)]
        first = np.empty((len(faces), 2), dtype=np.int64)
        last = np.empty_like(first)
        for axis, (highs, lows) in enumerate((self._columns, self._rows)):
            a, b, c = (end[:, axis] for end in ends)
            first[:, axis] = np.searchsorted(highs, np.minimum(np.minimum(a, b), c), "left")
            last[:, axis] = np.searchsorted(lows, np.maximum(np.maximum(a, b), c), "right") - 1

        camera, coefficients = self.camera, self.camera.distortion
        k1, k2, p1, p2, k3 = (abs(value) for value in coefficients)
        reach = np.sqrt(np.maximum.reduce([np.einsum("ij,ij->i", e, e) for e in ends]))
        bend = 6.0 * k1 * reach + 20.0 * k2 * reach**3 + 42.0 * k3 * reach**5 + 9.0 * (p1 + p2)
        points, length2 = [], np.zeros(len(faces))
        bent = lens.distort(coefficients, flat)
        for k in range(3):
            a, b = ends[k], ends[(k + 1) % 3]
            points += [bent[faces[:, k]], lens.distort(coefficients, (a + b) / 2.0)]
            length2 = np.maximum(length2, np.einsum("ij,ij->i", a - b, a - b))
        slack = length2 * bend / 32.0
        low, high = np.minimum.reduce(points), np.maximum.reduce(points)
        for axis, (focal, middle) in enumerate(((camera.fx, camera.cx), (camera.fy, camera.cy))):
            with np.errstate(invalid="ignore"):
                start = np.ceil(2.0 * (focal * (low[:, axis] - slack) + middle) + 1.0 - 1e-3)
                stop = np.floor(2.0 * (focal * (high[:, axis] + slack) + middle) + 1.0 + 1e-3)
            known = np.isfinite(start + stop)  # all three corners are in the lens's domain
            start, stop = np.clip(start[known], -2, 1e6), np.clip(stop[known], -2, 1e6)
            first[known, axis] = np.maximum(first[known, axis], start.astype(np.int64))
            last[known, axis] = np.minimum(last[known, axis], stop.astype(np.int64))
        return first, last


class CurvedView:
    """A lens's view of triangles: the OpenGL side of it, in the context that is current.

    Args:
        device: whose visibility buffer is filled.
        camera: with its lens.
        most: triangles that are drawn at most.
    """

    def __init__(self, device: Device, camera: Camera, most: int) -> None:
        self._device, self._centres = device, camera.undistorted_centres()
        rays = Rays(camera)
        self.triangles = rays.triangles
        self._program = Program(
            "curved.vert", "curved.frag", {**device.constants, "CURVED_TEXELS": CURVED_TEXELS}
        )
        height, width = rays.xy.shape[:2]
        rays_unit, triangles_unit = device.free_unit, device.free_unit + 1
        GL.glActiveTexture(GL.GL_TEXTURE0 + rays_unit)
        texture_2d((width, height), GL.GL_RG32F, GL.GL_RG, GL.GL_FLOAT, rays.xy)
        self._buffer = GL.glGenBuffers(1)
        GL.glBindBuffer(GL.GL_TEXTURE_BUFFER, self._buffer)
        size = 16 * CURVED_TEXELS * max(most, 1)
        GL.glBufferData(GL.GL_TEXTURE_BUFFER, size, None, GL.GL_STREAM_DRAW)
        GL.glActiveTexture(GL.GL_TEXTURE0 + triangles_unit)
        buffer_texture(self._buffer, GL.GL_RGBA32F)
        self._vao = GL.glGenVertexArrays(1)
        device.bind_cutting(self._program)
        GL.glUniform1i(self._program["rays"], rays_unit)
        GL.glUniform1i(self._program["triangles"], triangles_unit)

    def draw(self, triangles: CurvedTriangles, near: float, rotation: Floats, eye: Floats) -> Faces:
        """Fill the visibility buffer and read it back: see `Device.draw_visibility`.

        Args:
            triangles: to draw; what cuts them out was told to `Device.set_casters`.
            near: nothing nearer is seen, metres.
            rotation: (3, 3) target to camera frame; eye: (3,) target frame.
        """
        with self._device.visibility(triangles.window) as seen:
            GL.glBindBuffer(GL.GL_TEXTURE_BUFFER, self._buffer)
            GL.glBufferSubData(GL.GL_TEXTURE_BUFFER, 0, triangles.texels.nbytes, triangles.texels)
            # Nearness instead of depth: as fine far away as it is close by.
            GL.glClearDepth(0.0)
            GL.glDepthFunc(GL.GL_GREATER)
            GL.glClear(GL.GL_DEPTH_BUFFER_BIT)
            self._program.use()
            GL.glUniform1f(self._program["near"], near)
            if self._device.constants["CUT"]:
                back = np.ascontiguousarray(rotation.T, dtype=np.float32)
                GL.glUniformMatrix3fv(self._program["target_from_camera"], 1, GL.GL_TRUE, back)
                GL.glUniform3f(self._program["eye"], *eye)
            GL.glBindVertexArray(self._vao)
            GL.glDrawArrays(GL.GL_TRIANGLES, 0, 6 * len(triangles.chosen))
            GL.glClearDepth(1.0)
            GL.glDepthFunc(GL.GL_LESS)
        return seen

    def undistorted(self, uv: NDArray[np.float32]) -> Floats:
        """Where a pinhole sees what pixels (N, 2), at most half a one beyond the image, show.

        Between the pixel centres in straight lines: to about a thousandth of a pixel, for shading.
        """
        height, width = self._centres.shape[:2]
        low = np.clip(np.floor(uv).astype(np.intp), 0, np.maximum((width - 2, height - 2), 0))
        right, below = np.minimum(low + 1, (width - 1, height - 1)).T
        u, v = low.T
        across, down = (uv - low).T[..., None]
        grid = self._centres
        top = grid[v, u] + across * (grid[v, right] - grid[v, u])
        bottom = grid[below, u] + across * (grid[below, right] - grid[below, u])
        return np.asarray(top + down * (bottom - top))


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-300))
