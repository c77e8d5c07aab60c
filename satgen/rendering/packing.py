"""A target model as the arrays that the shaders look up by triangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from satgen import stored
from satgen.grouping import connected, equal_rows
from satgen.interreflection import LEAF, BakedLight, boxes
from satgen.model import Material, PartLabels, TargetModel
from satgen.rendering.bounce import Exchange, exchange_of
from satgen.rendering.coincident import back_to_back
from satgen.rendering.islands import fill_between_islands
from satgen.rendering.mip_limits import UNLIMITED, charts, mip_limits
from satgen.rendering.mirrors import Mirrors, find_mirrors
from satgen.rendering.outlines import Edges, find_edges
from satgen.rendering.patches import find_neighbours, find_patches
from satgen.rendering.rods import Rods, find_rods
from satgen.targets.stored_models import kept_as

FACE_TEXELS = 7
COLOUR_TEXELS = 3
SECOND_TEXELS = 2
MATERIAL_TEXELS = 4
WRAPS = ("repeat", "clamp", "mirror")
SECOND = ("packed", "normal", "glow")
"""Textures that may lie by the second set of coordinates: 1, 2 and 4 in the shader's flags."""

FLATNESS = 1e-5
"""Share of the model's radius by which points may be off a plane and still count as on it."""
MIRROR_ROUGHNESS = 0.187
"""Roughness below which a surface shows an image (the shader's SMOOTH is its square)."""

MAX_TEXTURE_BYTES = 256 * 1024 * 1024
"""Both texture arrays together: a user's model with many large pictures is scaled down to this."""


@dataclass(frozen=True)
class PackedModel:
    """Arrays for the GPU. Coordinates are about `centre`, to keep float32 exact to micrometres.

    Attributes:
        centre: (3,) float64, target frame.
        radius: reach of the farthest vertex from `centre`, metres.
        extents: (3,) float64 size of the axis-aligned box.
        vertices: (V, 3) float32, each place once.
        faces: (F, 3) uint32.
        face_normals: (F, 3) float64 unit, counter-clockwise outward.
        face_offsets: (F,) float64, normal · first vertex.
        face_part: (F,) part label.
        surface: (F,) uint32 smooth surface, from 1.
        casters: (F, 2) uint32 what the shadow map remembers of a face: its number from 1, and four
            times its patch plus 1 if that is simple (see patches.py).
        rods: the straight thin bodies.
        double_sided: (F,) bool.
        edges: that may be outlines.
        cut: (F,) bool, which faces are cut out by their opacity.
        levels: whether any face must not have all levels of its texture.
        colours, second: the first of a face's texels with its vertices' colours, and with their
            second coordinates; 0 where there are none.
        face_stride: texels of a face, FACE_TEXELS and those.
        face_texels: (F * face_stride, 4) float32: v0, patch | e1, material | e2, nodes |
            uv0, uv1-uv0 | uv2-uv0, n0 | n1, n2 | the faces across its edges (-1 for none), the
            coarsest level of its texture, with unit normals in octahedral coordinates | its
            vertices' colours, RGBA | uv0, uv1-uv0 | uv2-uv0, 0, 0 of the second coordinates.
        material_texels: (M * MATERIAL_TEXELS, 4) float32: base colour, roughness | metallic,
            normal scale, texture layer, variance of the normal map's slopes | emissive, unlit |
            opacity, cutoff, wrap along u plus three times that along v, flags of SECOND.
        mirrors: the faces that show images of others, or None without baked light.
        exchange: how light goes between the receivers, or None likewise.
        nodes: (…,) uint16, one 0, then for each face the steps of its lattice a side and the
            receivers of its nodes (`satgen.interreflection`).
        around: (N * BINS²,) uint16, what lies around the receivers.
        tree: (2 M, 4) float32, of each box about faces its low corner, and of a leaf LEAF + 1 times
            the place of its first face in `leaves` plus their number, else -1; its high corner,
            and the box after all that hang on it.
        leaves: (K,) uint32 faces.
        receivers: how many; 0 for a model whose light was not baked.
        base_roughness, normal_metallic: (L, S, S, 4) uint8 texture arrays; layer 0 is neutral.
        glow_alpha: likewise, sRGB glow and opacity; of one texel where no material has any.
    """

    centre: NDArray[np.float64]
    radius: float
    extents: NDArray[np.float64]
    vertices: NDArray[np.float32]
    faces: NDArray[np.uint32]
    face_normals: NDArray[np.float64]
    face_offsets: NDArray[np.float64]
    face_part: PartLabels
    surface: NDArray[np.uint32]
    casters: NDArray[np.uint32]
    rods: Rods
    double_sided: NDArray[np.bool_]
    edges: Edges
    cut: NDArray[np.bool_]
    levels: bool
    colours: int
    second: int
    face_stride: int
    face_texels: NDArray[np.float32]
    material_texels: NDArray[np.float32]
    mirrors: Mirrors | None
    exchange: Exchange | None
    nodes: NDArray[np.uint16]
    around: NDArray[np.uint16]
    tree: NDArray[np.float32]
    leaves: NDArray[np.uint32]
    receivers: int
    base_roughness: NDArray[np.uint8]
    normal_metallic: NDArray[np.uint8]
    glow_alpha: NDArray[np.uint8]


def octahedral(normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors (N, 3) to octahedral coordinates (N, 2) (Cigolle et al., JCGT 2014, §3)."""
    norm = np.abs(normals).sum(axis=1, keepdims=True)
    e = normals / np.maximum(norm, 1e-20)
    folded = (1.0 - np.abs(e[:, 1::-1])) * np.where(e[:, :2] >= 0.0, 1.0, -1.0)
    encoded: NDArray[np.float32] = np.where(e[:, 2:3] < 0.0, folded, e[:, :2]).astype(np.float32)
    return encoded


def smooth_surfaces(faces: NDArray[np.int32], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the surfaces over which shading is smooth, (F,) int64 from 1.

    Faces that share a vertex (hard edges have split vertices) and the same key belong together.

    Args:
        faces: (F, 3) vertex indices.
        keys: (F,) whatever must not be mixed, such as part and material.
    """
    start, end = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    component = connected(start, end, int(faces.max()) + 1)
    pairs = component[faces[:, 0]].astype(np.int64) * (int(keys.max()) + 1) + keys
    _, surface = np.unique(pairs, return_inverse=True)
    return np.asarray(surface.reshape(-1) + 1, dtype=np.int64)


def weld(
    vertices: NDArray[np.float32], faces: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Vertices (V, 3) without repeated places, in the order of their first use by faces (F, 3)."""
    first, of_vertex = equal_rows(vertices)
    corners = of_vertex[faces.ravel()]
    # The first corner at each place.
    seen = np.full(len(first), len(corners), dtype=np.int64)
    np.minimum.at(seen, corners, np.arange(len(corners)))
    order = np.argsort(seen)[: int(np.count_nonzero(seen < len(corners)))]
    rank = np.empty(len(first), dtype=np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    welded = vertices[faces.ravel()[seen[order]]]
    return welded, rank[corners].reshape(-1, 3)


def pack(model: TargetModel, pixel_m: float = 0.0) -> PackedModel:
    """Bring a model to the form that the shaders read.

    Args:
        model: the target.
        pixel_m: the least that a pixel will ever span on the target, metres: textures are kept
            only as fine as that needs. Zero keeps them whole.
    """
    kept = kept_as(model)
    if not kept:
        return _packed(model, pixel_m)
    from satgen.rendering import stored_packs

    name = stored.name_of("packed", kept, float(pixel_m) if model.textured else 0.0)
    with stored.alone(name):
        packed = stored_packs.find(name)
        if packed is None:
            packed = _packed(model, pixel_m)
            stored_packs.keep(name, packed)
        return packed


def _packed(model: TargetModel, pixel_m: float) -> PackedModel:
    """See `pack`."""
    centre, radius = model.bounding_sphere
    exact = model.vertices - centre
    vertices, faces = weld(exact.astype(np.float32), model.faces)
    corners = exact[model.faces]
    edges1 = corners[:, 1] - corners[:, 0]
    edges2 = corners[:, 2] - corners[:, 0]
    cross = np.cross(edges1, edges2)
    face_normals = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)

    keys = model.face_part.astype(np.int64) * (len(model.materials) + 1) + model.face_material
    surface = smooth_surfaces(model.faces, keys)
    wraps = np.array([[WRAPS.index(w) for w in m.wrap] for m in model.materials])
    period = np.array([1.0, np.inf, 2.0])[wraps][model.face_material]
    uv = _shifted(model.uv[model.faces].astype(np.float64), period)
    encoded = octahedral(model.normals)[model.faces]

    first_colour = 0 if model.colours is None else FACE_TEXELS
    stride = FACE_TEXELS + (COLOUR_TEXELS if first_colour else 0)
    second = 0 if model.uv2 is None else stride
    stride += SECOND_TEXELS if second else 0
    texels = np.zeros((len(model.faces), stride, 4), dtype=np.float32)
    neighbours = find_neighbours(faces)
    patch, simple = find_patches(vertices, faces, face_normals, neighbours, FLATNESS * radius)
    casters = np.stack([np.arange(1, len(faces) + 1), 4 * patch + simple], axis=1)
    texels[:, 0, :3], texels[:, 0, 3] = corners[:, 0], patch
    texels[:, 1, :3], texels[:, 1, 3] = edges1, model.face_material
    texels[:, 2, :3] = edges2
    texels[:, 3, :2], texels[:, 3, 2:] = uv[:, 0], uv[:, 1] - uv[:, 0]
    texels[:, 4, :2], texels[:, 4, 2:] = uv[:, 2] - uv[:, 0], encoded[:, 0]
    texels[:, 5, :2], texels[:, 5, 2:] = encoded[:, 1], encoded[:, 2]

    texels[:, 6, :3] = neighbours
    if model.colours is not None:
        texels[:, first_colour : first_colour + COLOUR_TEXELS] = model.colours[model.faces]
    if model.uv2 is not None:
        uv2 = _shifted(model.uv2[model.faces].astype(np.float64), period)
        texels[:, second, :2], texels[:, second, 2:] = uv2[:, 0], uv2[:, 1] - uv2[:, 0]
        texels[:, second + 1, :2] = uv2[:, 2] - uv2[:, 0]
    nodes, around = np.zeros(1, dtype=np.uint16), np.zeros(1, dtype=np.uint16)
    mirrors = None
    tree, leaves = np.zeros((0, 4), dtype=np.float32), np.zeros(1, dtype=np.uint32)
    if model.light is not None:
        tree, leaves = _tree(model.light, corners), model.light.order
        nodes, texels[:, 2, 3] = _nodes(model.light)
        smooth = np.array([_is_mirror(material) for material in model.materials], dtype=bool)
        mirrors = find_mirrors(model.light, np.flatnonzero(smooth[model.face_material]), corners)
        around = model.light.hits.reshape(-1)

    limit = _texture_limit(uv, np.linalg.norm(cross, axis=1), pixel_m)
    made_of = model.materials
    if model.islands:
        made_of = fill_between_islands(made_of, model.face_material, model.uv[model.faces])
    base, relief, glow, layers = _texture_arrays(made_of, limit)
    if model.islands and len(base) > 1:
        chart = charts(neighbours, face_normals, keys, uv)
        of_face, how = np.array(layers)[model.face_material], wraps[model.face_material]
        texels[:, 6, 3] = mip_limits(base, of_face, how, uv, chart)
    else:
        texels[:, 6, 3] = UNLIMITED
    materials = np.zeros((len(model.materials), MATERIAL_TEXELS, 4), dtype=np.float32)
    for i, material in enumerate(model.materials):
        materials[i, 0] = (*material.base_color, material.roughness)
        slopes = material.normal_scale**2 * _slope_variance(relief[layers[i]])
        materials[i, 1] = (material.metallic, material.normal_scale, layers[i], slopes)
        materials[i, 2] = (*material.emissive, float(material.unlit))
        flags = sum(1 << k for k, name in enumerate(SECOND) if name in material.second)
        wrap = wraps[i, 0] + 3 * wraps[i, 1]
        materials[i, 3] = (material.opacity, material.cutoff, wrap, flags)
    double_sided = np.array([material.double_sided for material in model.materials], dtype=bool)
    double_sided = double_sided[model.face_material]
    if double_sided.any():
        double_sided &= ~back_to_back(faces, face_normals, keys, neighbours)
    cut = np.array([m.cutoff > 0.0 for m in model.materials], dtype=bool)[model.face_material]
    return PackedModel(
        centre=centre,
        radius=radius,
        extents=model.extents,
        vertices=vertices,
        faces=faces,
        face_normals=face_normals,
        face_offsets=np.einsum("ij,ij->i", face_normals, corners[:, 0]),
        face_part=model.face_part,
        surface=surface.astype(np.uint32),
        casters=casters.astype(np.uint32),
        rods=find_rods(vertices, faces, ~cut),
        double_sided=double_sided,
        cut=cut,
        edges=find_edges(faces, face_normals, neighbours),
        levels=bool(np.any(texels[:, 6, 3] < UNLIMITED)),
        colours=first_colour,
        second=second,
        face_stride=stride,
        face_texels=texels.reshape(-1, 4),
        material_texels=materials.reshape(-1, 4),
        mirrors=mirrors,
        exchange=None if model.light is None else exchange_of(model.light),
        nodes=nodes,
        around=around,
        tree=tree,
        leaves=leaves,
        receivers=0 if model.light is None else len(model.light.normals),
        base_roughness=base,
        normal_metallic=relief,
        glow_alpha=glow,
    )


def _shifted(uv: NDArray[np.float64], period: NDArray[np.float64]) -> NDArray[np.float32]:
    """Texture coordinates (F, 3, 2) near zero, where single precision is fine: moved by as many
    periods (F, 2) of the texture as each triangle allows."""
    low = uv.min(axis=1, keepdims=True)
    step = period[:, None, :]
    endless = np.isinf(step)
    moved = np.floor(low / np.where(endless, 1.0, step)) * np.where(endless, 0.0, step)
    return np.asarray(uv - moved, dtype=np.float32)


def _nodes(light: BakedLight) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """The shader's list of nodes, and where in it each face (F,) begins."""
    steps = light.levels.astype(np.int64)
    first = 1 + light.starts + np.arange(len(steps))
    nodes = np.zeros(1 + len(light.nodes) + len(steps), dtype=np.uint16)
    held = np.ones(len(nodes), dtype=bool)
    held[0] = False
    held[first] = False
    nodes[first] = steps
    nodes[held] = light.nodes
    return nodes, first


def _is_mirror(material: Material) -> bool:
    """Whether a good part of a surface shows an image: smooth, and flat."""
    roughness = np.asarray(material.roughness)
    if material.metallic_roughness_image is not None:
        roughness = roughness * (material.metallic_roughness_image[::8, ::8, 1] / 255.0)
    slope = np.zeros(1)
    if material.normal_image is not None:
        relief = material.normal_image[::8, ::8, :2].astype(np.float64)
        slope = (relief - 128.0) * (2.0 / 255.0 * material.normal_scale)
    return bool(np.mean(roughness < MIRROR_ROUGHNESS) > 0.25 and np.abs(slope).mean() < 0.03)


def _tree(light: BakedLight, corners: NDArray[np.float64]) -> NDArray[np.float32]:
    """The shader's tree of boxes."""
    low, high = boxes(light, corners)
    first, end, after = light.tree.astype(np.int64).T
    leaf = after == np.arange(1, len(after) + 1)
    tree = np.empty((len(low), 2, 4), dtype=np.float32)
    # A hair larger: a plane's box has no thickness, and single precision rounds.
    tree[:, 0, :3], tree[:, 1, :3] = low - 1e-5, high + 1e-5
    tree[:, 0, 3] = np.where(leaf, first * (LEAF + 1) + end - first, -1)
    tree[:, 1, 3] = after
    return tree.reshape(-1, 4)


def _texture_limit(
    uv: NDArray[np.float32], doubled_areas: NDArray[np.float64], pixel_m: float
) -> float:
    """Texels across a texture for four a pixel where it is widest, but for 2 % of the area."""
    edges = uv[:, 1:] - uv[:, :1]
    doubled = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    textured = (doubled > 0.0) & (doubled_areas > 0.0)
    if pixel_m <= 0.0 or not textured.any():
        return float("inf")
    areas = doubled_areas[textured]
    widths_per_m = np.sqrt(doubled[textured] / areas)
    order = np.argsort(widths_per_m, kind="stable")
    share = np.cumsum(areas[order]) / areas.sum()
    return float(4.0 / (pixel_m * widths_per_m[order][np.searchsorted(share, 0.02)]))


def _texture_arrays(
    materials: Sequence[Material], limit: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], list[int]]:
    """Textures of equal size, four channels, one layer a textured material; layer 0 is neutral."""
    textured = [i for i, material in enumerate(materials) if _images(material)]
    layers = [0] * len(materials)
    largest = max((max(im.shape[:2]) for i in textured for im in _images(materials[i])), default=1)
    size = 1 << max(largest - 1, 0).bit_length()
    glowing = any(
        m.emissive_image is not None or m.alpha_image is not None or m.cutoff for m in materials
    )
    # 4 channels, 2 or 3 arrays, a third more for the mipmaps.
    texel = 12 if glowing else 8
    while size > 64 and (
        size >= 2.0 * limit
        or (len(textured) + 1) * size * size * texel * 4 // 3 > MAX_TEXTURE_BYTES
    ):
        size //= 2
    base = np.empty((len(textured) + 1, size, size, 4), dtype=np.uint8)
    relief = np.empty_like(base)
    base[0], relief[0] = 255, _NEUTRAL
    glow = np.full(base.shape if glowing else (1, 1, 1, 4), 255, dtype=np.uint8)
    for layer, i in enumerate(textured, start=1):
        layers[i] = layer
        material = materials[i]
        roughness = metallic = None
        if material.metallic_roughness_image is not None:
            image = _resized(material.metallic_roughness_image, size)
            roughness, metallic = image[..., 1], image[..., 2]
        base[layer] = _layer(_visible(material), (255, 255, 255), roughness, size)
        relief[layer] = _layer(material.normal_image, _NEUTRAL[:3], metallic, size)
        if material.emissive_image is not None:
            glow[layer, ..., :3] = _resized(material.emissive_image, size)
        if material.alpha_image is not None:
            glow[layer, ..., 3] = _resized(material.alpha_image, size)
    return base, relief, glow, layers


def _visible(material: Material) -> NDArray[np.uint8] | None:
    """The base colour's image, with the mean of what is seen where it is cut out: what is clear has
    any colour, which must not run into the edges."""
    image, alpha = material.base_color_image, material.alpha_image
    if image is None or alpha is None or not material.cutoff or alpha.shape != image.shape[:2]:
        return image
    seen = alpha * (material.opacity / 255.0) >= material.cutoff
    if seen.all() or not seen.any():
        return image
    filled: NDArray[np.uint8] = image.copy()
    filled[~seen] = np.round(image[seen].mean(axis=0)).astype(np.uint8)
    return filled


_NEUTRAL = (128, 128, 255, 255)
"""Of a normal map without relief, and metallic as the material says."""


def _layer(
    colours: NDArray[np.uint8] | None,
    neutral: tuple[int, ...],
    alpha: NDArray[np.uint8] | None,
    size: int,
) -> NDArray[np.uint8]:
    """A layer of a texture array (S, S, 4): a picture or one colour, and a channel or 255."""
    from PIL import Image

    if colours is None:
        image = Image.new("RGBA", (size, size), (*neutral, 255))
    else:
        image = Image.fromarray(_resized(colours, size)).convert("RGBA")
    if alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
    return np.asarray(image, dtype=np.uint8)


def _slope_variance(relief: NDArray[np.uint8]) -> float:
    """Mean square slope along an axis of a normal map (S, S, 4), 0 where it is neutral."""
    values = np.arange(256, dtype=np.uint8).astype(np.float32) / 127.5 - 256.0 / 255.0
    steep = np.maximum(values, 0.1) ** 2
    slopes = np.take(values * values, relief[..., 0])
    slopes += np.take(values * values, relief[..., 1])
    slopes /= np.take(steep, relief[..., 2])
    return float(np.mean(slopes) / 2.0)


def _images(material: Material) -> list[NDArray[np.uint8]]:
    candidates = (
        material.base_color_image,
        material.metallic_roughness_image,
        material.normal_image,
        material.emissive_image,
        material.alpha_image,
    )
    return [image for image in candidates if image is not None]


def _resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (size, size):
        return image
    from PIL import Image

    height, width = image.shape[:2]
    # The mean over whole blocks, as a mipmap would have it, where that comes out even.
    exact = height % size == 0 and width % size == 0
    method = Image.Resampling.BOX if exact else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize((size, size), method), dtype=np.uint8)
