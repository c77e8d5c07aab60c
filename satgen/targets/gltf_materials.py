"""Materials and textures of a glTF file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.colour import srgb_decode, srgb_encode
from satgen.model import Material
from satgen.targets.files import MAX_TEXTURE_BYTES, ModelFileError, decode_pixels
from satgen.targets.gltf_data import GltfData
from satgen.targets.gltf_document import (
    EMISSION,
    GLOSSINESS,
    TRANSFORM,
    UNLIT,
    WEBP,
    Document,
    GltfError,
    clean_name,
)
from satgen.targets.pieces import plural

KEPT_PIXELS = 96 << 20
"""Pixels that all textures of a file keep: what comes later is scaled down."""
DECODED_PIXELS = 600 << 20
"""Pixels that are decoded at most."""

_WRAPS = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
_DIELECTRIC = 0.04


@dataclass(frozen=True)
class Mapping2d:
    """How a texture lies on a surface: v down, u' = matrix u + offset of a TEXCOORD set."""

    texcoord: int = 0
    matrix: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def apply(self, uv: NDArray[np.float64]) -> NDArray[np.float64]:
        """Texture coordinates (V, 2) of a set's (V, 2)."""
        if self.matrix == (1.0, 0.0, 0.0, 1.0) and self.offset == (0.0, 0.0):
            return uv
        placed: NDArray[np.float64] = uv @ np.array(self.matrix).reshape(2, 2).T + self.offset
        return placed


@dataclass(frozen=True)
class _Texture:
    """A texture where a material uses it: (H, W, 3) and (H, W) uint8, wraps, place."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    wrap: tuple[str, str]
    mapping: Mapping2d


@dataclass(frozen=True)
class Skin:
    """A material with what its textures ask of a surface.

    Attributes:
        index: of the material in the document.
        blends: whether its opacity stands for half tones (alphaMode BLEND).
        material: with its textures.
        plain: without, for surfaces that lack the coordinates.
        mappings: none, one or two places of textures; `Material.second` says which are by the
            second.
    """

    index: int
    blends: bool
    material: Material
    plain: Material
    mappings: tuple[Mapping2d, ...]


class GltfMaterials:
    """Reads materials when they are asked for, each once.

    Args:
        document, data: of the file.

    Attributes:
        warnings: what of the materials that were read is not drawn as they say.
    """

    def __init__(self, document: Document, data: GltfData) -> None:
        self._document = document
        self._data = data
        self._skins: dict[int, Skin] = {}
        self._images: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8] | None]] = {}
        self._kept = self._decoded = 0
        self._told: dict[str, set[int]] = {}

    @property
    def used(self) -> tuple[int, ...]:
        """The materials that were read."""
        return tuple(self._skins)

    @property
    def warnings(self) -> list[str]:
        """What is drawn otherwise than the materials say, a line each."""
        return [
            text.format(plural(len(found), "material"))
            for text, found in sorted(self._told.items())
        ]

    def skin(self, index: int) -> Skin:
        """A material of the document."""
        if index not in self._skins:
            entry = self._document.table("materials")[index]
            self._skins[index] = self._read(entry, f"materials[{index}]", index)
        return self._skins[index]

    def tell(self, text: str, index: int) -> None:
        """Note for the warnings what is true of a material; {} in it becomes how many those are."""
        self._told.setdefault(text, set()).add(index)

    def _read(self, entry: Mapping[str, Any], where: str, index: int) -> Skin:
        extensions = entry.get("extensions", {})
        pbr = entry.get("pbrMetallicRoughness", {})
        glossy = extensions.get(GLOSSINESS)
        if glossy is None:
            base = self._texture(pbr.get("baseColorTexture"))
            packed = self._texture(pbr.get("metallicRoughnessTexture"))
            factor = [*map(float, pbr.get("baseColorFactor", (1.0,) * 4))]
        else:
            base = self._texture(glossy.get("diffuseTexture"))
            packed = self._texture(glossy.get("specularGlossinessTexture"))
            factor = [*map(float, glossy.get("diffuseFactor", (1.0,) * 4))]
        normal_ref = entry.get("normalTexture")
        normal = self._texture(normal_ref)
        strength = float(extensions.get(EMISSION, {}).get("emissiveStrength", 1.0))
        emissive = np.clip(entry.get("emissiveFactor", (0.0,) * 3), 0.0, 1.0) * max(strength, 0.0)
        # Without a factor nothing glows, and where its texture would lie has no say.
        glow = self._texture(entry.get("emissiveTexture")) if emissive.any() else None
        r, g, b = (min(max(v, 0.0), 1.0) for v in factor[:3])
        scale = normal_ref.get("scale", 1.0) if normal_ref else 1.0
        red, green, blue = (float(v) for v in emissive)
        plain = Material(
            name=clean_name(entry.get("name") or f"material {index}"),
            base_color=(r, g, b),
            metallic=_share(pbr.get("metallicFactor", 1.0)),
            roughness=_share(pbr.get("roughnessFactor", 1.0)),
            normal_scale=float(scale),
            emissive=(red, green, blue),
            double_sided=bool(entry.get("doubleSided", False)),
            unlit=UNLIT in extensions,
            opacity=_share(factor[3]),
            cutoff=self._cutoff(entry),
        )
        named = {"base": base, "packed": packed, "normal": normal, "glow": glow}
        there = {name: t for name, t in named.items() if t is not None}
        mappings = tuple(dict.fromkeys(t.mapping for t in there.values()))
        if len(mappings) > 2:
            self.tell("draws textures of {} by the coordinates of others", index)
        if len({t.wrap for t in there.values()}) > 1:
            self.tell("draws textures of {} repeated as others are", index)
        second = frozenset(n for n, t in there.items() if t.mapping in mappings[1:])
        material = plain
        if there:
            material = replace(
                plain,
                base_color_image=base.rgb if base else None,
                metallic_roughness_image=packed.rgb if packed else None,
                normal_image=normal.rgb if normal else None,
                emissive_image=glow.rgb if glow else None,
                alpha_image=base.alpha if base and plain.cutoff else None,
                wrap=next(iter(there.values())).wrap,
                second=second,
            )
        if glossy is not None:
            material, plain = (
                _metallic(m, glossy, packed if m is material else None) for m in (material, plain)
            )
        blends = entry.get("alphaMode") == "BLEND"
        return Skin(index, blends, material, plain, mappings[:2])

    def _cutoff(self, entry: Mapping[str, Any]) -> float:
        mode = entry.get("alphaMode", "OPAQUE")
        if mode == "MASK":
            # of more than 1 nothing is drawn, of 0 all
            return min(max(float(entry.get("alphaCutoff", 0.5)), 0.0), 2.0)
        return 0.5 if mode == "BLEND" else 0.0

    # --- textures

    def _texture(self, ref: Mapping[str, Any] | None) -> _Texture | None:
        """A texture that a material refers to; None where there is none that can be read."""
        if ref is None:
            return None
        entry = self._document.table("textures")[int(ref["index"])]
        webp = entry.get("extensions", {}).get(WEBP)
        source = webp["source"] if webp is not None else entry.get("source")
        if source is None:
            return None  # in a form that is told of
        sampler = (
            self._document.table("samplers")[int(entry["sampler"])] if "sampler" in entry else {}
        )
        wrap = (_WRAPS[int(sampler.get("wrapS", 10497))], _WRAPS[int(sampler.get("wrapT", 10497))])
        return _Texture(*self._image(int(source)), wrap, _mapping(ref))

    def _image(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Colours (H, W, 3) and opacity (H, W) of an image, None where that is full."""
        if index not in self._images:
            image = self._document.table("images")[index]
            uri = image.get("uri", "")
            shown = f"image {index}" if uri.startswith("data:") or not uri else uri
            name = clean_name((image.get("name") or shown)[:80])
            if uri:
                raw = self._data.named(uri, "texture")
            elif "bufferView" in image:
                try:
                    raw = bytes(self._data.view(int(image["bufferView"])))
                except GltfError as error:
                    raise GltfError(f"texture {name!r}: {error}") from None
            else:
                raise GltfError(f"texture {name!r} has neither a file nor a buffer view")
            if len(raw) > MAX_TEXTURE_BYTES:
                raise GltfError(f"texture {name!r} has {len(raw)} bytes")
            side = 64
            while side < 4096 and (2 * side) ** 2 <= (KEPT_PIXELS - self._kept) / 4:
                side *= 2
            most = DECODED_PIXELS - self._decoded
            try:
                rgb, alpha, decoded = decode_pixels(raw, name, side, most)
            except ModelFileError as error:
                raise GltfError(str(error)) from None
            self._decoded += decoded
            self._kept += rgb.shape[0] * rgb.shape[1]
            self._images[index] = rgb, alpha
        return self._images[index]


def _share(value: Any) -> float:
    return min(max(float(value), 0.0), 1.0)


def _mapping(ref: Mapping[str, Any]) -> Mapping2d:
    """Where a texture reference puts its texture (KHR_texture_transform's order: scale, rotate,
    shift)."""
    change = ref.get("extensions", {}).get(TRANSFORM)
    texcoord = int(ref.get("texCoord", 0))
    if change is None:
        return Mapping2d(texcoord)
    angle = float(change.get("rotation", 0.0))
    sine, cosine = float(np.sin(angle)), float(np.cos(angle))
    across, down = map(float, change.get("scale", (1.0, 1.0)))
    u, v = map(float, change.get("offset", (0.0, 0.0)))
    matrix = (cosine * across, sine * down, -sine * across, cosine * down)
    return Mapping2d(int(change.get("texCoord", texcoord)), matrix, (u, v))


# --- specular and glossiness ----------------------------------------------------------------------


def _metallic(material: Material, glossy: Mapping[str, Any], packed: _Texture | None) -> Material:
    """A material of KHR_materials_pbrSpecularGlossiness in metallic roughness, by Khronos' own
    formula (glTF repository, KHR_materials_pbrSpecularGlossiness/examples/convert-between-workflows
    ).

    Args:
        material: with the diffuse colour and texture for its base colour.
        glossy: the extension.
        packed: specular colour in sRGB, and glossiness for opacity, or None.
    """
    specular = np.clip(glossy.get("specularFactor", (1.0,) * 3), 0.0, 1.0)
    glossiness = _share(glossy.get("glossinessFactor", 1.0))
    diffuse: NDArray[np.float64] = np.array(material.base_color)[None, None]
    if packed is None and material.base_color_image is None:
        base, metallic = _converted(diffuse, specular[None, None])
        r, g, b = (float(v) for v in base[0, 0])
        return replace(
            material,
            base_color=(r, g, b),
            metallic=float(metallic[0, 0]),
            roughness=1.0 - glossiness,
        )
    picture = material.base_color_image
    shown = picture if packed is None else packed.rgb
    assert shown is not None
    size = shown.shape[:2]
    if picture is not None:
        diffuse = diffuse * srgb_decode(_sized(picture, size) / 255.0)
    rough = np.full(size, 1.0 - glossiness)
    if packed is not None:
        specular = specular * srgb_decode(packed.rgb / 255.0)
        gloss = np.ones(size) if packed.alpha is None else packed.alpha / 255.0
        rough = 1.0 - glossiness * gloss
    base, metallic = _converted(
        np.broadcast_to(diffuse, (*size, 3)), np.broadcast_to(specular, (*size, 3))
    )
    codes = np.stack([np.zeros(size), rough, metallic], axis=-1)
    return replace(
        material,
        base_color=(1.0, 1.0, 1.0),
        metallic=1.0,
        roughness=1.0,
        base_color_image=_bytes(srgb_encode(base)),
        metallic_roughness_image=_bytes(codes),
        # one place for both, the diffuse texture's where there is one
        second=material.second - {"base", "packed"}
        | ({"packed"} if "base" in material.second else set()),
    )


def _converted(
    diffuse: NDArray[np.float64], specular: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Base colour (H, W, 3) and metalness (H, W) of linear diffuse and specular colours."""
    weights = np.array([0.299, 0.587, 0.114])
    d = np.sqrt(diffuse**2 @ weights)
    s = np.sqrt(specular**2 @ weights)
    left = 1.0 - specular.max(axis=-1)
    b = d * left / (1.0 - _DIELECTRIC) + s - 2.0 * _DIELECTRIC
    root = np.sqrt(np.maximum(b * b - 4.0 * _DIELECTRIC * (_DIELECTRIC - s), 0.0))
    metallic = np.where(s < _DIELECTRIC, 0.0, np.clip((root - b) / (2.0 * _DIELECTRIC), 0.0, 1.0))
    m = metallic[..., None]
    of_diffuse = diffuse * (left / (1.0 - _DIELECTRIC))[..., None] / np.maximum(1.0 - m, 1e-6)
    of_specular = (specular - _DIELECTRIC * (1.0 - m)) / np.maximum(m, 1e-6)
    base = of_diffuse + (of_specular - of_diffuse) * m * m
    return np.clip(base, 0.0, 1.0), metallic


def _bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.round(values * 255.0).astype(np.uint8)


def _sized(image: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    from PIL import Image

    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0])), dtype=np.uint8)
