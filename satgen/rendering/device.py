"""The OpenGL objects behind a renderer: buffers, textures, framebuffers, programs, draw calls."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL
from OpenGL.GL import shaders
from OpenGL.GL.ARB.clear_texture import glInitClearTextureARB

from satgen.errors import RunError
from satgen.interreflection import BINS, LEAF
from satgen.rendering.bounce import TEXELS
from satgen.rendering.outlines import LEAST_BLOCK, NARROW
from satgen.rendering.packing import FLATNESS, MATERIAL_TEXELS, PackedModel
from satgen.rendering.reflectance import DIELECTRIC, SIDE, table

SHADERS = Path(__file__).parent / "shaders"
LOOKS = (0, 1, 2)
"""What the shader looks up about a sample's surroundings: nothing; what was baked; that, and a
traced image in the mirror that the surface is."""

LIST_WIDTH, LIST_ROWS = 128, 1024
"""Size of the output texture for one batch of shading samples, which follow one another by squares
of 2 x 2."""

Faces = NDArray[np.unsignedinteger[Any]]
"""Numbers of faces as the visibility buffer has them: uint16 where there are so few, or uint32."""

_NOTHING = np.zeros(4, dtype=np.uint32)
_FARTHEST = np.ones(1, dtype=np.float32)


@dataclass(frozen=True)
class ShadeUniforms:
    """What the shading pass needs of one view; vectors in the target frame about its centre.

    Attributes:
        ray_from_pixel: (3, 3), pixel (u, v, 1) to the direction whose camera z is 1.
        eye: (3,) camera centre, metres.
        sun, earth: (3,) unit vectors.
        shadow_from_target: (4, 4), to texels (x, y) of the shadow map, whose first is centred at
            (0.5, 0.5), and depth.
        shadow_size: (w, h) of it.
        shadow_block: texels of it in each direction that share one depth of outlines.
        penumbra: half the width of a half shadow, texels, for each unit of its depth.
        earthshine: (3,) mean radiance of the Earth's disc, linear RGB.
        sunlight: share of the sun's light that reaches the target.
        ambient: radiance of everything else.
        cos_earth_limb: cosine of the Earth's angular radius.
    """

    ray_from_pixel: NDArray[np.float64]
    eye: NDArray[np.float64]
    sun: NDArray[np.float64]
    earth: NDArray[np.float64]
    shadow_from_target: NDArray[np.float64]
    shadow_size: tuple[int, int]
    shadow_block: int
    penumbra: float
    earthshine: NDArray[np.float64]
    sunlight: float
    ambient: float
    cos_earth_limb: float


class Device:
    """OpenGL state for one model and image size, in the context that is current.

    Args:
        packed: the model.
        width, height: image size in pixels.
        float32: radiance in 32 instead of 16 bits.

    Raises:
        RunError: the driver cannot hold or render what is asked.
    """

    def __init__(self, packed: PackedModel, width: int, height: int, float32: bool) -> None:
        self.grid = (2 * width + 1, 2 * height + 1)
        # Room for a target that fills the frame's diagonal at half a pixel a texel.
        self.shadow_side = min(max(1 << (3 * max(width, height)).bit_length(), 512), 4096)
        self._radiance_type = GL.GL_FLOAT if float32 else GL.GL_HALF_FLOAT
        self._dtype = np.float32 if float32 else np.float16
        if max(self.grid) > GL.glGetIntegerv(GL.GL_MAX_TEXTURE_SIZE):
            raise RunError(f"image of {width}×{height}: more than this OpenGL driver can render")
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)
        GL.glEnable(GL.GL_SCISSOR_TEST)
        self._make_geometry(packed)
        self._make_targets(packed)
        self._make_programs(packed)

    # -- set-up ------------------------------------------------------------------------------

    def _make_geometry(self, packed: PackedModel) -> None:
        # The last corner of each face has a vertex of its own, which bears what is written where
        # the face is seen: drivers are slower to number triangles themselves.
        last = packed.faces[:, 2]
        owner = np.full(len(packed.vertices), -1, dtype=np.int64)
        owner[last] = np.arange(len(last))
        others = np.flatnonzero(owner < 0)
        owner[others] = len(last) + np.arange(len(others))
        vertices = packed.vertices[np.concatenate([last, others])]
        short, self._corner_type = _narrowest(len(vertices))
        self._corners = owner[packed.faces].astype(short)
        self._corners[:, 2] = np.arange(len(last))
        self._casters = packed.casters
        casters = np.zeros((len(vertices), 2), dtype=np.uint32)
        casters[: len(last)] = packed.casters

        self._mesh_vao = GL.glGenVertexArrays(1)
        GL.glBindVertexArray(self._mesh_vao)
        for place, values in enumerate((vertices, casters)):
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, GL.glGenBuffers(1))
            GL.glBufferData(GL.GL_ARRAY_BUFFER, values.nbytes, values, GL.GL_STATIC_DRAW)
            GL.glEnableVertexAttribArray(place)
            if values is vertices:
                GL.glVertexAttribPointer(place, 3, GL.GL_FLOAT, GL.GL_FALSE, 0, ctypes.c_void_p(0))
            else:
                GL.glVertexAttribIPointer(place, 2, GL.GL_UNSIGNED_INT, 0, ctypes.c_void_p(0))
        indices = GL.glGenBuffers(1)
        GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, indices)
        GL.glBufferData(GL.GL_ELEMENT_ARRAY_BUFFER, self._corners.nbytes, None, GL.GL_STREAM_DRAW)

        # Triangles that a view brings with it, each with three corners of its own.
        self._loose_vao = GL.glGenVertexArrays(1)
        GL.glBindVertexArray(self._loose_vao)
        self._loose_buffer = GL.glGenBuffers(1)
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._loose_buffer)
        GL.glEnableVertexAttribArray(0)
        GL.glVertexAttribPointer(0, 3, GL.GL_FLOAT, GL.GL_FALSE, 20, ctypes.c_void_p(0))
        GL.glEnableVertexAttribArray(1)
        GL.glVertexAttribIPointer(1, 2, GL.GL_UNSIGNED_INT, 20, ctypes.c_void_p(12))

        self._empty_vao = GL.glGenVertexArrays(1)
        self._samples_buffer = GL.glGenBuffers(1)
        GL.glBindBuffer(GL.GL_TEXTURE_BUFFER, self._samples_buffer)
        size = 16 * LIST_WIDTH * LIST_ROWS
        GL.glBufferData(GL.GL_TEXTURE_BUFFER, size, None, GL.GL_STREAM_DRAW)

    def _make_targets(self, packed: PackedModel) -> None:
        self._number, self._number_type = _narrowest(len(packed.faces))
        layout = GL.GL_R16UI if self._number is np.uint16 else GL.GL_R32UI
        self._visibility = texture_2d(self.grid, layout, GL.GL_RED_INTEGER, self._number_type)
        self._visibility_fb = framebuffer(self._visibility)
        self._depth = _depth_texture(self.grid)

        layout = GL.GL_RGBA32F if self._dtype is np.float32 else GL.GL_RGBA16F
        radiance = texture_2d((LIST_WIDTH, LIST_ROWS), layout, GL.GL_RGBA, self._radiance_type)
        self._radiance_fb = framebuffer(radiance)
        check_framebuffer()

        side = (self.shadow_side, self.shadow_side)
        self._shadow_map = texture_2d(side, GL.GL_RG32UI, GL.GL_RG_INTEGER, GL.GL_UNSIGNED_INT)
        self._shadow_fb = framebuffer(self._shadow_map)
        self._shadow_depth = _depth_texture(side)
        # Drivers draw a clear of less than a whole buffer; this one fills memory.
        self._clears_textures = bool(glInitClearTextureARB())
        blocks = (-(-self.shadow_side // LEAST_BLOCK),) * 2
        self._outlines = texture_2d(blocks, GL.GL_R32F, GL.GL_RED, GL.GL_FLOAT)

    def _make_programs(self, packed: PackedModel) -> None:
        constants = {
            "FACE_TEXELS": packed.face_stride,
            "COLOURS": packed.colours,
            "SECOND": packed.second,
            "GLOW": int(packed.glow_alpha.size > 4),
            "WRAP": int(packed.material_texels[3::MATERIAL_TEXELS, 2].any()),
            "LEVELS": int(packed.levels),
            "UNLIT": int(packed.material_texels[2::MATERIAL_TEXELS, 3].any()),
            "MATERIAL_TEXELS": MATERIAL_TEXELS,
            "LIST_WIDTH": LIST_WIDTH,
            "NARROW": NARROW,
            "TABLE_SIDE": SIDE,
            "DIELECTRIC": DIELECTRIC,
            "AROUND_BINS": BINS,
            "AROUND_TEXELS": TEXELS,
            "LEAF": LEAF,
            "TEXTURE_SIZE": float(packed.base_roughness.shape[1]),
        }
        self.constants = {**constants, "CUT": int(packed.cut.any())}
        self._visibility_program = Program("geometry.vert", "visibility.frag", self.constants)
        self._shadow_program = Program("geometry.vert", "shadow.frag", self.constants)
        # One for each of what a sample may look up: llvmpipe runs what a branch leaves out.
        self._shade_programs = [
            Program(
                "list.vert", "shade.frag", {**constants, "CUT": 0, "LOOK": look, "HALF_SHADOWS": 0}
            )
            for look in LOOKS
        ]
        self._half_shadows = Program(
            "list.vert", "shade.frag", {**constants, "CUT": 0, "LOOK": 0, "HALF_SHADOWS": 1}
        )
        faces = buffer_texture(_static_buffer(packed.face_texels), GL.GL_RGBA32F)
        materials = buffer_texture(_static_buffer(packed.material_texels), GL.GL_RGBA32F)
        samples = buffer_texture(self._samples_buffer, GL.GL_RGBA32F)
        nodes = buffer_texture(_static_buffer(packed.nodes), GL.GL_R16UI)
        around = buffer_texture(_static_buffer(packed.around), GL.GL_R16UI)
        tree = buffer_texture(_static_buffer(packed.tree), GL.GL_RGBA32F)
        leaves = buffer_texture(_static_buffer(packed.leaves), GL.GL_R32UI)
        self._receivers_buffer = _static_buffer(
            np.zeros((max(packed.receivers, 1) * TEXELS, 4), dtype=np.float32)
        )
        receivers = buffer_texture(self._receivers_buffer, GL.GL_RGBA32F)
        self._casters_buffer = _static_buffer(packed.casters)
        casters = buffer_texture(self._casters_buffer, GL.GL_RG32UI)
        textures = (
            ("samples", GL.GL_TEXTURE_BUFFER, samples),
            ("faces", GL.GL_TEXTURE_BUFFER, faces),
            ("materials", GL.GL_TEXTURE_BUFFER, materials),
            (
                "base_roughness",
                GL.GL_TEXTURE_2D_ARRAY,
                _texture_array(packed.base_roughness, GL.GL_SRGB8_ALPHA8),
            ),
            (
                "normal_metallic",
                GL.GL_TEXTURE_2D_ARRAY,
                _texture_array(packed.normal_metallic, GL.GL_RGBA8),
            ),
            ("reflectance", GL.GL_TEXTURE_2D, _table_texture(table())),
            ("shadow_map", GL.GL_TEXTURE_2D, self._shadow_map),
            ("shadow_depth", GL.GL_TEXTURE_2D, self._shadow_depth),
            ("shadow_outlines", GL.GL_TEXTURE_2D, self._outlines),
            ("nodes", GL.GL_TEXTURE_BUFFER, nodes),
            ("around_of", GL.GL_TEXTURE_BUFFER, around),
            ("tree", GL.GL_TEXTURE_BUFFER, tree),
            ("leaves", GL.GL_TEXTURE_BUFFER, leaves),
            ("receivers", GL.GL_TEXTURE_BUFFER, receivers),
            # The passes that cut triangles out read these, too.
            ("casters", GL.GL_TEXTURE_BUFFER, casters),
            (
                "glow_alpha",
                GL.GL_TEXTURE_2D_ARRAY,
                _texture_array(packed.glow_alpha, GL.GL_SRGB8_ALPHA8),
            ),
        )
        for unit, (_, kind, texture) in enumerate(textures):
            GL.glActiveTexture(GL.GL_TEXTURE0 + unit)
            GL.glBindTexture(kind, texture)
        self._units = {name: unit for unit, (name, _, _) in enumerate(textures)}
        self.free_unit = len(textures)  # from here on nothing is bound
        for program in (self._visibility_program, self._shadow_program):
            self.bind_cutting(program)
        for program in (*self._shade_programs, self._half_shadows):
            program.use()
            for name, unit in self._units.items():
                GL.glUniform1i(program[name], unit)
            GL.glUniform1i(program["tree_boxes"], len(packed.tree) // 2)
            GL.glUniform1f(program["flatness"], FLATNESS * packed.radius)

    def bind_cutting(self, program: Program) -> None:
        """Tell a pass over triangles where it finds what they are, to cut them out."""
        program.use()
        for name in ("casters", "faces", "materials", "glow_alpha"):
            GL.glUniform1i(program[name], self._units[name])

    # -- a view ------------------------------------------------------------------------------

    def set_casters(self, casters: NDArray[np.uint32]) -> None:
        """What a lens's view knows its triangles by, (N, 2): numbers of the model's faces from 1,
        and what the shadow map remembers."""
        GL.glBindBuffer(GL.GL_TEXTURE_BUFFER, self._casters_buffer)
        GL.glBufferSubData(GL.GL_TEXTURE_BUFFER, 0, casters.nbytes, casters)

    def _draw_mesh(self, faces: NDArray[np.intp]) -> None:
        corners = np.take(self._corners, faces, axis=0)
        GL.glBindVertexArray(self._mesh_vao)
        GL.glBufferSubData(GL.GL_ELEMENT_ARRAY_BUFFER, 0, corners.nbytes, corners)
        GL.glDrawElements(GL.GL_TRIANGLES, corners.size, self._corner_type, ctypes.c_void_p(0))

    def draw_shadow_map(
        self,
        faces: NDArray[np.intp],
        clip_from_target: NDArray[np.float64],
        size: tuple[int, int],
        outlines: NDArray[np.float32],
    ) -> None:
        """What the sun sees of faces, in the map's first (w, h) texels.

        Args:
            faces: (N,) of the model.
            clip_from_target: (4, 4).
            size: (w, h) in texels.
            outlines: depths by blocks of texels, from `outlines.depths_of_outlines`.
        """
        GL.glActiveTexture(GL.GL_TEXTURE0 + self._units["shadow_outlines"])
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._outlines)
        GL.glTexSubImage2D(
            *(GL.GL_TEXTURE_2D, 0, 0, 0, outlines.shape[1], outlines.shape[0]),
            *(GL.GL_RED, GL.GL_FLOAT, np.ascontiguousarray(outlines)),
        )
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._shadow_fb)
        GL.glViewport(0, 0, *size)
        GL.glEnable(GL.GL_DEPTH_TEST)
        self._clear((0, 0, *size), self._shadow_map, GL.GL_RG_INTEGER, self._shadow_depth)
        self._shadow_program.use()
        self._shadow_program.matrix("clip_from_target", clip_from_target)
        self._draw_mesh(faces)

    def draw_visibility(
        self,
        faces: NDArray[np.intp],
        clip_from_target: NDArray[np.float64],
        window: tuple[int, int, int, int],
    ) -> Faces:
        """Fill the visibility buffer over a window of pixels and read it back.

        Args:
            faces: (N,) of the model.
            clip_from_target: (4, 4) for the half-pixel grid.
            window: (x, y, w, h) in pixels.

        Returns:
            (2h + 1, 2w + 1) uint16 or uint32, number of the face from 1, or zero.
        """
        with self.visibility(window) as seen:
            self._visibility_program.use()
            self._visibility_program.matrix("clip_from_target", clip_from_target)
            self._draw_mesh(faces)
        return seen

    def draw_layers(
        self,
        behind: NDArray[np.intp],
        thin: NDArray[np.intp],
        corners: NDArray[np.float32],
        clip_from_target: NDArray[np.float64],
        window: tuple[int, int, int, int],
        around: tuple[int, int, int, int],
    ) -> tuple[Faces, Faces, Faces]:
        """The visibility buffer of some faces, of these and thin ones, and what widened ones show.

        Args:
            behind: (N,) faces of the model.
            thin: (M,) others.
            corners: (M, 3, 3) of the thin ones as they are widened, target frame.
            clip_from_target: (4, 4) for the half-pixel grid.
            window: (x, y, w, h) in pixels.
            around: (x, y, w, h) in pixels, within the window, of all thin ones, widened.

        Returns:
            The buffer as `draw_visibility` has it, over the window, without the thin faces; (h, w)
            of it at the pixels' centres alone, with them; and as the first, but over `around`, the
            widened faces that are before all others.
        """
        x, y, w, h = around
        samples = (2 * x, 2 * y, 2 * w + 1, 2 * h + 1)
        with self.visibility(window) as without:
            self._visibility_program.use()
            self._visibility_program.matrix("clip_from_target", clip_from_target)
            self._draw_mesh(behind)
        part = np.empty((2 * h + 1, 2 * w + 1), dtype=self._number)
        GL.glScissor(*samples)  # nothing else changes
        self._draw_mesh(thin)
        GL.glReadPixels(*samples, GL.GL_RED_INTEGER, self._number_type, part)
        centres = without[1::2, 1::2].copy()
        row, column = y - window[1], x - window[0]
        centres[row : row + h, column : column + w] = part[1::2, 1::2]

        vertices = np.empty((3 * len(thin), 5), dtype=np.float32)
        vertices[:, :3] = corners.reshape(-1, 3)
        vertices.view(np.uint32)[:, 3:] = np.repeat(self._casters[thin], 3, axis=0)
        wide = np.empty_like(part)
        self._clear(samples, self._visibility, GL.GL_RED_INTEGER)
        GL.glBindVertexArray(self._loose_vao)
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._loose_buffer)
        GL.glBufferData(GL.GL_ARRAY_BUFFER, vertices.nbytes, vertices, GL.GL_STREAM_DRAW)
        # A widened rod lies where the rod itself does, or hardly before it.
        GL.glEnable(GL.GL_POLYGON_OFFSET_FILL)
        GL.glPolygonOffset(-1.0, -4.0)
        GL.glDrawArrays(GL.GL_TRIANGLES, 0, len(vertices))
        GL.glDisable(GL.GL_POLYGON_OFFSET_FILL)
        GL.glReadPixels(*samples, GL.GL_RED_INTEGER, self._number_type, wide)
        return without, centres, wide

    @contextmanager
    def visibility(self, window: tuple[int, int, int, int]) -> Iterator[Faces]:
        """The visibility buffer over a window of pixels, empty, to be drawn into within the block.

        At its end the array, (2h + 1, 2w + 1), holds what was drawn.
        """
        x, y, w, h = window
        samples = (2 * x, 2 * y, 2 * w + 1, 2 * h + 1)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._visibility_fb)
        GL.glViewport(0, 0, *self.grid)
        GL.glEnable(GL.GL_DEPTH_TEST)
        self._clear(samples, self._visibility, GL.GL_RED_INTEGER, self._depth)
        seen = np.empty((2 * h + 1, 2 * w + 1), dtype=self._number)
        yield seen
        GL.glReadPixels(*samples, GL.GL_RED_INTEGER, self._number_type, seen)

    def _clear(
        self, box: tuple[int, int, int, int], numbers: int, form: Any, depth: int | None = None
    ) -> None:
        """Empty what is bound where these (x, y, w, h) texels are, and draw there alone from
        now on.

        Args:
            box: the texels.
            numbers: the texture of integers that is drawn into, of format `form`.
            depth: that of depths; None leaves them.
        """
        x, y, w, h = box
        GL.glScissor(*box)
        if self._clears_textures:
            texels = (x, y, 0, w, h, 1)
            GL.glClearTexSubImage(numbers, 0, *texels, form, GL.GL_UNSIGNED_INT, _NOTHING)
            if depth is not None:
                kind = (GL.GL_DEPTH_COMPONENT, GL.GL_FLOAT)
                GL.glClearTexSubImage(depth, 0, *texels, *kind, _FARTHEST)
            return
        GL.glClearBufferuiv(GL.GL_COLOR, 0, _NOTHING)
        if depth is not None:
            GL.glClear(GL.GL_DEPTH_BUFFER_BIT)

    def set_receivers(self, texels: NDArray[np.float32]) -> None:
        """What the receivers get and send, from `Bounce.solve`."""
        GL.glBindBuffer(GL.GL_TEXTURE_BUFFER, self._receivers_buffer)
        GL.glBufferSubData(GL.GL_TEXTURE_BUFFER, 0, texels.nbytes, texels)

    def shade(
        self,
        samples: NDArray[np.float32],
        looks: NDArray[np.uint8],
        uniforms: ShadeUniforms,
    ) -> NDArray[np.float32]:
        """Radiance of points on triangles.

        Args:
            samples: (N, 4) float32: u, v in pixels, face of the model, unused.
            looks: (N,) which of LOOKS the samples need.
            uniforms: the view.

        Returns:
            (N, 3) float32 linear RGB.
        """
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._radiance_fb)
        GL.glViewport(0, 0, LIST_WIDTH, LIST_ROWS)
        GL.glDisable(GL.GL_DEPTH_TEST)
        GL.glBindVertexArray(self._empty_vao)
        GL.glBindBuffer(GL.GL_TEXTURE_BUFFER, self._samples_buffer)
        first = int(looks[0]) if len(looks) else 0
        if not np.any(looks != first):
            shaded, half = self._shade_list(self._shade_programs[first], samples, uniforms)
        else:
            shaded = np.empty((len(samples), 4), dtype=np.float32)
            to, halves = rows_as_one(shaded), []
            for look in LOOKS:
                part = np.flatnonzero(looks == look)
                if len(part):
                    listed, half = self._shade_list(
                        self._shade_programs[look], np.take(samples, part, axis=0), uniforms
                    )
                    to[part] = rows_as_one(listed)
                    halves.append(np.take(part, half))
            half = np.concatenate(halves)
        if len(half):
            chosen = np.take(samples, half, axis=0)
            change, _ = self._shade_list(self._half_shadows, chosen, uniforms)
            shaded[half] = np.maximum(shaded[half] + change, np.float32(0.0))
        return shaded[:, :3]

    def _shade_list(
        self, program: Program, samples: NDArray[np.float32], uniforms: ShadeUniforms
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Radiance (N, 4), the last of no use, of samples that all need the same; and which of them
        may be in half shadow."""
        program.use()
        rays = np.ascontiguousarray(uniforms.ray_from_pixel, dtype=np.float32)
        GL.glUniformMatrix3fv(program["ray_from_pixel"], 1, GL.GL_TRUE, rays)
        program.matrix("shadow_from_target", uniforms.shadow_from_target)
        for name in ("eye", "sun", "earth", "earthshine"):
            GL.glUniform3f(program[name], *getattr(uniforms, name))
        GL.glUniform2i(program["shadow_size"], *uniforms.shadow_size)
        GL.glUniform1i(program["shadow_block"], uniforms.shadow_block)
        GL.glUniform1f(program["penumbra"], uniforms.penumbra)
        GL.glUniform1f(program["sunlight"], uniforms.sunlight)
        GL.glUniform1f(program["ambient"], uniforms.ambient)
        GL.glUniform1f(program["cos_earth_limb"], uniforms.cos_earth_limb)
        rows = 2 * -(-len(samples) // (2 * LIST_WIDTH))
        radiance = np.empty((rows, LIST_WIDTH, 4), dtype=self._dtype)
        for row in range(0, rows, LIST_ROWS):
            part = samples[row * LIST_WIDTH : (row + LIST_ROWS) * LIST_WIDTH]
            count = min(LIST_ROWS, rows - row)
            GL.glBufferSubData(GL.GL_TEXTURE_BUFFER, 0, part.nbytes, part)
            GL.glScissor(0, 0, LIST_WIDTH, count)
            GL.glDrawArrays(GL.GL_TRIANGLES, 0, 3)
            GL.glReadPixels(
                *(0, 0, LIST_WIDTH, count, GL.GL_RGBA, self._radiance_type),
                radiance[row : row + count],
            )
        # Two texels that lie beside one another follow one another in the list.
        pairs = rows_as_one(radiance.reshape(rows // 2, 2, LIST_WIDTH // 2, 8))
        listed = np.ascontiguousarray(pairs.transpose(0, 2, 1)).reshape(-1)
        colours = listed.view(self._dtype).reshape(-1, 4)[: len(samples)]
        # The bits of a zero: halves are slow to compare.
        bits = np.uint32 if self._dtype is np.float32 else np.uint16
        half = np.flatnonzero(colours.view(bits)[:, 3] == 0)
        # In the order of the texture's texels.
        y = (half // (2 * LIST_WIDTH) << 1) + (half >> 1 & 1)
        x = (half % (2 * LIST_WIDTH) >> 2 << 1) + (half & 1)
        return colours.astype(np.float32), half[np.argsort(y * LIST_WIDTH + x)]


def rows_as_one(values: NDArray[Any]) -> NDArray[np.void]:
    """An array (…, C) as one (…,) whose elements are moved whole, which is faster."""
    row = np.dtype((np.void, values.itemsize * values.shape[-1]))
    return values.view(row)[..., 0]


def _narrowest(most: int) -> tuple[type[np.unsignedinteger[Any]], Any]:
    """The narrowest type of whole numbers up to `most`, NumPy's and OpenGL's: the less memory is
    filled, read back and brought to the device for a view, the better."""
    if most < 1 << 16:
        return np.uint16, GL.GL_UNSIGNED_SHORT
    return np.uint32, GL.GL_UNSIGNED_INT


def texture_2d(
    size: tuple[int, int], layout: Any, form: Any, kind: Any, data: NDArray[Any] | None = None
) -> int:
    """A texture (w, h) that is read texel by texel, empty or of the array `data`."""
    texture = GL.glGenTextures(1)
    GL.glBindTexture(GL.GL_TEXTURE_2D, texture)
    GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, layout, *size, 0, form, kind, data)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MIN_FILTER, GL.GL_NEAREST)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MAG_FILTER, GL.GL_NEAREST)
    return int(texture)


def _texture_array(layers: NDArray[np.uint8], layout: Any) -> int:
    texture = GL.glGenTextures(1)
    GL.glBindTexture(GL.GL_TEXTURE_2D_ARRAY, texture)
    count, height, width, _ = layers.shape
    GL.glTexImage3D(
        GL.GL_TEXTURE_2D_ARRAY, 0, layout, width, height, count, 0,
        GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, np.ascontiguousarray(layers),
    )  # fmt: skip
    GL.glGenerateMipmap(GL.GL_TEXTURE_2D_ARRAY)
    for name, value in (
        (GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR_MIPMAP_LINEAR),
        (GL.GL_TEXTURE_MAG_FILTER, GL.GL_LINEAR),
        (GL.GL_TEXTURE_WRAP_S, GL.GL_REPEAT),
        (GL.GL_TEXTURE_WRAP_T, GL.GL_REPEAT),
    ):
        GL.glTexParameteri(GL.GL_TEXTURE_2D_ARRAY, name, value)
    return int(texture)


def _table_texture(values: NDArray[np.float32]) -> int:
    """A table (H, W, 4) to look up between its entries."""
    texture = GL.glGenTextures(1)
    GL.glBindTexture(GL.GL_TEXTURE_2D, texture)
    height, width, _ = values.shape
    GL.glTexImage2D(
        GL.GL_TEXTURE_2D, 0, GL.GL_RGBA32F, width, height, 0, GL.GL_RGBA, GL.GL_FLOAT, values
    )
    for name, value in (
        (GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR),
        (GL.GL_TEXTURE_MAG_FILTER, GL.GL_LINEAR),
        (GL.GL_TEXTURE_WRAP_S, GL.GL_CLAMP_TO_EDGE),
        (GL.GL_TEXTURE_WRAP_T, GL.GL_CLAMP_TO_EDGE),
    ):
        GL.glTexParameteri(GL.GL_TEXTURE_2D, name, value)
    return int(texture)


def _static_buffer(texels: NDArray[Any]) -> int:
    if len(texels) > GL.glGetIntegerv(GL.GL_MAX_TEXTURE_BUFFER_SIZE):
        raise RunError("the model has more triangles than this OpenGL driver can address")
    buffer = GL.glGenBuffers(1)
    GL.glBindBuffer(GL.GL_TEXTURE_BUFFER, buffer)
    texels = np.ascontiguousarray(texels)
    GL.glBufferData(GL.GL_TEXTURE_BUFFER, texels.nbytes, texels, GL.GL_STATIC_DRAW)
    return int(buffer)


def buffer_texture(buffer: int, layout: Any) -> int:
    """A buffer as a texture, bound to the active unit."""
    texture = GL.glGenTextures(1)
    GL.glBindTexture(GL.GL_TEXTURE_BUFFER, texture)
    GL.glTexBuffer(GL.GL_TEXTURE_BUFFER, layout, buffer)
    return int(texture)


def framebuffer(colour: int) -> int:
    """A framebuffer, now bound, that draws into a texture."""
    framebuffer = GL.glGenFramebuffers(1)
    GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, framebuffer)
    GL.glFramebufferTexture2D(
        GL.GL_FRAMEBUFFER, GL.GL_COLOR_ATTACHMENT0, GL.GL_TEXTURE_2D, colour, 0
    )
    return int(framebuffer)


def _depth_texture(size: tuple[int, int]) -> int:
    """A texture (w, h) of the depths of the framebuffer that is bound."""
    texture = texture_2d(size, GL.GL_DEPTH_COMPONENT32F, GL.GL_DEPTH_COMPONENT, GL.GL_FLOAT)
    GL.glFramebufferTexture2D(
        GL.GL_FRAMEBUFFER, GL.GL_DEPTH_ATTACHMENT, GL.GL_TEXTURE_2D, texture, 0
    )
    check_framebuffer()
    return texture


def check_framebuffer() -> None:
    """RunError if the bound framebuffer cannot be drawn into."""
    status = GL.glCheckFramebufferStatus(GL.GL_FRAMEBUFFER)
    if status != GL.GL_FRAMEBUFFER_COMPLETE:
        raise RunError(f"this OpenGL driver refuses a framebuffer (status {int(status):#x})")


class Program:
    """A linked shader program with its uniform locations looked up once."""

    def __init__(self, vertex: str, fragment: str, constants: dict[str, int | float]) -> None:
        defines = "".join(f"#define {name} {value}\n" for name, value in constants.items())
        compiled = [
            shaders.compileShader(_with_defines(SHADERS / name, defines), kind)
            for name, kind in ((vertex, GL.GL_VERTEX_SHADER), (fragment, GL.GL_FRAGMENT_SHADER))
        ]
        # Validation at link time would ask for bindings that are made later.
        self._program = shaders.compileProgram(*compiled, validate=False)
        self._locations: dict[str, int] = {}

    def use(self) -> None:
        """Draw with it from now on."""
        GL.glUseProgram(self._program)

    def __getitem__(self, name: str) -> int:
        """Location of a uniform."""
        if name not in self._locations:
            self._locations[name] = GL.glGetUniformLocation(self._program, name)
        return self._locations[name]

    def matrix(self, name: str, matrix: NDArray[np.float64]) -> None:
        """Set a uniform (4, 4)."""
        GL.glUniformMatrix4fv(
            self[name], 1, GL.GL_TRUE, np.ascontiguousarray(matrix, dtype=np.float32)
        )


def _with_defines(path: Path, defines: str) -> str:
    version, body = path.read_text(encoding="utf-8").split("\n", 1)
    body = re.sub(r'#include "(.*)"\n', lambda m: (SHADERS / m[1]).read_text("utf-8"), body)
    return f"{version}\n{defines}{body}"
