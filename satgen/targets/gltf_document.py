"""What is known of a glTF 2.0 document: every key that is read, its type, and what is left out.

`KEYS` lists, for each kind of object, the keys that the readers use and what may stand there.
`HARMLESS` lists those that have no say in a picture at rest. Any other key or extension is counted
and told of, so that nothing that changes the picture is dropped in silence (glTF 2.0, §3 and §5).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from satgen.reading import is_number
from satgen.targets.files import ModelFileError
from satgen.targets.pieces import plural

MAX_JSON_BYTES = 512 << 20
"""Longest document; what is larger belongs into a binary buffer."""


class GltfError(ModelFileError):
    """The file cannot be read; the message says why."""


@dataclass(frozen=True)
class _Rule:
    """What may stand at a key: a test of a value, and what it wants in words."""

    wants: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class _Index:
    """A place in one of the document's lists."""

    table: str


@dataclass(frozen=True)
class _Object:
    """An object of a kind, or, as a list, several."""

    kind: str
    several: bool = False


@dataclass(frozen=True)
class _Indices:
    """A list of places in one of the document's lists, or an object of names and places."""

    table: str
    named: bool = False


_Wanted = _Rule | _Index | _Object | _Indices


def _is_number(value: Any) -> bool:
    return is_number(value, 1e30)


def _is_count(value: Any, low: int = 0) -> bool:
    return _is_number(value) and value >= low and float(value).is_integer() and value < 1 << 40


def _numbers(count: int | None) -> _Rule:
    wants = "numbers" if count is None else f"{count} numbers"
    return _Rule(
        f"a list of {wants}",
        lambda v: (
            isinstance(v, list) and (count is None or len(v) == count) and all(map(_is_number, v))
        ),
    )


def _one_of(*values: Any) -> _Rule:
    listed = ", ".join(map(str, values))
    # a bool is a whole number to Python, but not here
    return _Rule(f"one of {listed}", lambda v: not isinstance(v, bool) and v in values)


_NUMBER = _Rule("a number", _is_number)
_COUNT = _Rule("a whole number from 0", _is_count)
_SOME = _Rule("a whole number from 1", lambda v: _is_count(v, 1))
_TEXT = _Rule("a text", lambda v: isinstance(v, str))
_FLAG = _Rule("true or false", lambda v: isinstance(v, bool))
_TEXTS = _Rule("a list of texts", lambda v: isinstance(v, list) and all(map(_TEXT.fits, v)))
_THING = _Rule("an object", lambda v: isinstance(v, dict))
_WRAP = _one_of(33071, 33648, 10497)
_TEXTURE = _Object("texture reference")

COMPRESSED_VIEWS = ("EXT_meshopt_compression", "KHR_meshopt_compression")
"""Extensions of buffer views that are read alike."""
DRACO = "KHR_draco_mesh_compression"
INSTANCES = "EXT_mesh_gpu_instancing"
GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"
UNLIT = "KHR_materials_unlit"
EMISSION = "KHR_materials_emissive_strength"
TRANSFORM = "KHR_texture_transform"
WEBP = "EXT_texture_webp"

KEYS: dict[str, dict[str, _Wanted]] = {
    "document": {
        "asset": _Object("asset"),
        "scene": _Index("scenes"),
        "scenes": _Object("scene", True),
        "nodes": _Object("node", True),
        "meshes": _Object("mesh", True),
        "accessors": _Object("accessor", True),
        "bufferViews": _Object("buffer view", True),
        "buffers": _Object("buffer", True),
        "materials": _Object("material", True),
        "textures": _Object("texture", True),
        "images": _Object("image", True),
        "samplers": _Object("sampler", True),
        "skins": _Object("skin", True),
        "extensionsUsed": _TEXTS,
        "extensionsRequired": _TEXTS,
    },
    "asset": {"version": _TEXT, "generator": _TEXT, "extras": _THING},
    "scene": {"nodes": _Indices("nodes")},
    "node": {
        "name": _TEXT,
        "children": _Indices("nodes"),
        "mesh": _Index("meshes"),
        "skin": _Index("skins"),
        "matrix": _numbers(16),
        "translation": _numbers(3),
        "rotation": _numbers(4),
        "scale": _numbers(3),
        "weights": _numbers(None),
    },
    INSTANCES: {"attributes": _Indices("accessors", True)},
    "KHR_node_visibility": {"visible": _FLAG},
    "mesh": {"name": _TEXT, "primitives": _Object("primitive", True), "weights": _numbers(None)},
    "primitive": {
        "attributes": _Indices("accessors", True),
        "indices": _Index("accessors"),
        "material": _Index("materials"),
        "mode": _one_of(*range(7)),
        "targets": _Rule(
            "a list of objects", lambda v: isinstance(v, list) and all(map(_THING.fits, v))
        ),
    },
    DRACO: {
        "bufferView": _Index("bufferViews"),
        "attributes": _Rule(
            "an object of whole numbers",
            lambda v: isinstance(v, dict) and all(map(_is_count, v.values())),
        ),
    },
    "accessor": {
        "bufferView": _Index("bufferViews"),
        "byteOffset": _COUNT,
        "componentType": _one_of(5120, 5121, 5122, 5123, 5125, 5126),
        "normalized": _FLAG,
        "count": _COUNT,
        "type": _one_of("SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"),
        "sparse": _Object("sparse accessor"),
    },
    "sparse accessor": {
        "count": _COUNT,
        "indices": _Object("sparse indices"),
        "values": _Object("sparse values"),
    },
    "sparse indices": {
        "bufferView": _Index("bufferViews"),
        "byteOffset": _COUNT,
        "componentType": _one_of(5121, 5123, 5125),
    },
    "sparse values": {"bufferView": _Index("bufferViews"), "byteOffset": _COUNT},
    "buffer view": {
        "buffer": _Index("buffers"),
        "byteOffset": _COUNT,
        "byteLength": _COUNT,
        "byteStride": _COUNT,
    },
    **{
        name: {
            "buffer": _Index("buffers"),
            "byteOffset": _COUNT,
            "byteLength": _COUNT,
            "byteStride": _SOME,
            "count": _COUNT,
            "mode": _one_of("ATTRIBUTES", "TRIANGLES", "INDICES"),
            "filter": _one_of("NONE", "OCTAHEDRAL", "QUATERNION", "EXPONENTIAL"),
        }
        for name in COMPRESSED_VIEWS
    },
    "buffer": {"uri": _TEXT, "byteLength": _COUNT},
    "material": {
        "name": _TEXT,
        "pbrMetallicRoughness": _Object("metallic roughness"),
        "normalTexture": _TEXTURE,
        "emissiveTexture": _TEXTURE,
        "emissiveFactor": _numbers(3),
        "alphaMode": _one_of("OPAQUE", "MASK", "BLEND"),
        "alphaCutoff": _NUMBER,
        "doubleSided": _FLAG,
    },
    "metallic roughness": {
        "baseColorFactor": _numbers(4),
        "baseColorTexture": _TEXTURE,
        "metallicFactor": _NUMBER,
        "roughnessFactor": _NUMBER,
        "metallicRoughnessTexture": _TEXTURE,
    },
    GLOSSINESS: {
        "diffuseFactor": _numbers(4),
        "diffuseTexture": _TEXTURE,
        "specularFactor": _numbers(3),
        "glossinessFactor": _NUMBER,
        "specularGlossinessTexture": _TEXTURE,
    },
    EMISSION: {"emissiveStrength": _NUMBER},
    UNLIT: {},
    "texture reference": {"index": _Index("textures"), "texCoord": _COUNT, "scale": _NUMBER},
    TRANSFORM: {
        "offset": _numbers(2),
        "rotation": _NUMBER,
        "scale": _numbers(2),
        "texCoord": _COUNT,
    },
    "texture": {"sampler": _Index("samplers"), "source": _Index("images")},
    WEBP: {"source": _Index("images")},
    "image": {"name": _TEXT, "uri": _TEXT, "bufferView": _Index("bufferViews")},
    "sampler": {"wrapS": _WRAP, "wrapT": _WRAP},
    "skin": {"joints": _Indices("nodes"), "inverseBindMatrices": _Index("accessors")},
}
"""Every key that is read, by the kind of object."""

_REQUIRED = {
    "document": ("asset",),
    "asset": ("version",),
    "mesh": ("primitives",),
    "primitive": ("attributes",),
    "accessor": ("componentType", "count", "type"),
    "sparse accessor": ("count", "indices", "values"),
    "sparse indices": ("bufferView", "componentType"),
    "sparse values": ("bufferView",),
    "buffer view": ("buffer", "byteLength"),
    "buffer": ("byteLength",),
    "texture reference": ("index",),
    "skin": ("joints",),
    INSTANCES: ("attributes",),
    DRACO: ("bufferView", "attributes"),
    WEBP: ("source",),
    **dict.fromkeys(COMPRESSED_VIEWS, ("buffer", "byteLength", "byteStride", "count", "mode")),
}

HARMLESS: dict[str, tuple[str, ...]] = {
    "*": ("name", "extras"),
    "document": ("cameras",),
    "asset": ("copyright", "minVersion"),
    "node": ("camera",),
    "accessor": ("min", "max"),
    "buffer view": ("target",),
    "texture reference": ("strength",),
    "image": ("mimeType",),
    "sampler": ("magFilter", "minFilter"),
    "skin": ("skeleton",),
}
"""Keys without a say in the picture, by the kind of object; "*": of all."""

HARMLESS_EXTENSIONS = (
    "KHR_mesh_quantization", "KHR_materials_variants", "KHR_xmp_json_ld", "KHR_xmp",
    "KHR_animation_pointer", "KHR_node_selectability", "KHR_node_hoverability",
    "KHR_interactivity", "KHR_audio_emitter", "KHR_physics_rigid_bodies", "KHR_implicit_shapes",
    "EXT_mesh_features", "EXT_instance_features", "EXT_structural_metadata", "EXT_mesh_manifold",
    "AGI_articulations", "AGI_stk_metadata", "CESIUM_primitive_outline", "FB_geometry_metadata",
    "MSFT_lod", "MSFT_screencoverage", "MSFT_packing_normalRoughnessMetallic",
    "MSFT_packing_occlusionRoughnessMetallic", "OMI_collider", "OMI_physics_body",
    "OMI_physics_shape",
)  # fmt: skip
"""Extensions without a say in the picture, or whose plain form is what is drawn."""

NEUTRAL: dict[str, dict[str, Any]] = {
    "KHR_materials_clearcoat": {"clearcoatFactor": 0},
    "KHR_materials_transmission": {"transmissionFactor": 0},
    "KHR_materials_diffuse_transmission": {"diffuseTransmissionFactor": 0},
    "KHR_materials_volume": {"thicknessFactor": 0},
    "KHR_materials_sheen": {"sheenColorFactor": [0, 0, 0]},
    "KHR_materials_iridescence": {"iridescenceFactor": 0},
    "KHR_materials_anisotropy": {"anisotropyStrength": 0},
    "KHR_materials_dispersion": {"dispersion": 0},
    "KHR_materials_ior": {"ior": 1.5},
    "KHR_materials_specular": {
        "specularFactor": 1,
        "specularColorFactor": [1, 1, 1],
        "specularTexture": None,
        "specularColorTexture": None,
    },
}
"""Values, each the default, with which an extension of a material changes nothing."""

_SHAPING = ("node", "mesh", "primitive", "accessor", "buffer view", "buffer", "skin", "scene")
"""Kinds of objects whose unknown extensions may change the geometry."""

_ATTRIBUTES = ("POSITION", "NORMAL", "TEXCOORD_", "COLOR_0", "JOINTS_", "WEIGHTS_")
_HARMLESS_ATTRIBUTES = ("TANGENT", "COLOR_", "_")
_NOUNS = {"document": "file", "metallic roughness": "material", "texture reference": "texture"}


class Document:
    """A glTF document all of whose keys that are read have values of the right type.

    Args:
        raw: its JSON.
        what: what it is called in messages.

    Attributes:
        data: the document; places in its lists are known to be there.

    Raises:
        GltfError: not JSON, or a wrong value; the message says where.
    """

    def __init__(self, raw: bytes, what: str) -> None:
        self.data = _parsed(raw, what)
        self._left: dict[tuple[str, str], set[tuple[str, int]]] = {}
        self._places: dict[str, set[str]] = {}
        self._holder = ("document", 0)
        self._check("document", self.data, "")
        for name in self.data.get("extensionsRequired", ()):
            self._check_required(name)

    def table(self, name: str) -> list[dict[str, Any]]:
        """One of the document's lists, empty where it has none."""
        found: list[dict[str, Any]] = self.data.get(name, [])
        return found

    def left_out(self, materials: Iterable[int]) -> list[str]:
        """What the picture lacks for keys and extensions that are not read, a line each.

        Args:
            materials: the materials that are drawn; what others have is not missed.
        """
        drawn = set(materials)
        lines = []
        for (what, noun), holders in self._left.items():
            kept = {h for h in holders if h[0] != "materials" or h[1] in drawn}
            if not kept:
                continue
            if noun == "file":
                lines.append(f"ignores {what}")
            else:
                lines.append(f"ignores {what} of {plural(len(kept), noun)}")
        return lines

    def check_places(self, value: Mapping[str, Any], table: str, where: str) -> None:
        """Refuse an object of names and places some of which are not there.

        Raises:
            GltfError: one is not a place in the list `table`.
        """
        self._check_entry(_Indices(table, named=True), value, where)

    # --- checks

    def _check(self, kind: str, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise GltfError(f"{where or 'the document'} is {_shown(value)}, must be an object")
        known = KEYS[kind]
        for key in _REQUIRED.get(kind, ()):
            if key not in value:
                raise GltfError(f"{where + '.' if where else ''}{key} is missing")
        for key, entry in value.items():
            at = f"{where}.{key}" if where else str(key)[:60]
            if key in known:
                self._check_entry(known[key], entry, at)
                if key == "attributes" and kind == "primitive":
                    self._tell_attributes(entry)
            elif key == "extensions":
                self._check_extensions(kind, entry, at)
            elif kind == "document" and key == "animations":
                count = len(entry) if isinstance(entry, list) else 1
                self._tell(f"{plural(count, 'animation')}: all is drawn at rest", "document")
            elif key not in HARMLESS["*"] and key not in HARMLESS.get(kind, ()):
                self._tell(_clean(str(key)), kind)

    def _check_entry(self, entry: _Wanted, value: Any, where: str) -> None:
        if isinstance(entry, _Rule):
            if not entry.fits(value):
                raise GltfError(f"{where} is {_shown(value)}, must be {entry.wants}")
        elif isinstance(entry, _Index):
            self._check_index(entry.table, value, where)
        elif isinstance(entry, _Indices):
            if not isinstance(value, dict if entry.named else list):
                wants = "an object" if entry.named else "a list"
                raise GltfError(f"{where} is {_shown(value)}, must be {wants}")
            for name, item in value.items() if isinstance(value, dict) else enumerate(value):
                self._check_index(entry.table, item, f"{where}[{str(name)[:40]}]")
        elif entry.several:
            if not isinstance(value, list):
                raise GltfError(f"{where} is {_shown(value)}, must be a list")
            for k, item in enumerate(value):
                outer = self._holder
                if "." not in where or where.endswith(".primitives"):
                    self._holder = (where, k)
                self._check(entry.kind, item, f"{where}[{k}]")
                self._holder = outer
        else:
            self._check(entry.kind, value, where)

    def _check_index(self, table: str, value: Any, where: str) -> None:
        items = self.data.get(table, [])
        if not isinstance(items, list):
            raise GltfError(f"{table} is {_shown(items)}, must be a list")
        count = len(items)
        if not _is_count(value):
            raise GltfError(f"{where} is {_shown(value)}, must be a place in {table}")
        if value >= count:
            raise GltfError(f"{where} is {_shown(value)}, but there are {count} {table}")

    def _check_extensions(self, kind: str, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise GltfError(f"{where} is {_shown(value)}, must be an object")
        for name, entry in value.items():
            self._places.setdefault(name, set()).add(kind)
            if name in KEYS and "_" in name:
                if kind == "buffer":
                    continue  # a place to unpack to; that is done elsewhere
                self._check(name, entry, f"{where}.{name}")
            elif kind == "document" or name in HARMLESS_EXTENSIONS or _is_neutral(name, entry):
                continue
            else:
                self._tell(_clean(name), kind)

    def _check_required(self, name: str) -> None:
        if name in HARMLESS_EXTENSIONS or (name in KEYS and "_" in name):
            return
        places = self._places.get(name, set())
        if places.intersection(_SHAPING):
            raise GltfError(
                f"needs the extension {_clean(name)}, which is not supported; export it without"
            )
        if not places - {"document"}:
            self._tell(f"{_clean(name)}, which it says it needs", "document")

    def _tell_attributes(self, attributes: Mapping[str, Any]) -> None:
        for name in attributes:
            if not name.startswith(_ATTRIBUTES) and not name.startswith(_HARMLESS_ATTRIBUTES):
                self._tell(f"the attribute {_clean(name)}", "primitive")

    def _tell(self, what: str, kind: str) -> None:
        noun = _NOUNS.get(kind, kind)
        if self._holder[0] == "materials":
            noun = "material"
        self._left.setdefault((what, noun), set()).add(self._holder)


def clean_name(value: str, most: int = 200) -> str:
    """A name that can be printed and stored: no control characters, `most` letters at most."""
    plain = value[:most].encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else "?" for c in plain)


def _clean(text: str) -> str:
    return clean_name(text, 60)


def _shown(value: Any) -> str:
    """A value, cut short."""
    text = json.dumps(value) if not isinstance(value, list | dict) else ""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "an object" if isinstance(value, dict) else clean_name(text, 40)


def _is_neutral(name: str, value: Any) -> bool:
    defaults = NEUTRAL.get(name)
    if defaults is None or not isinstance(value, dict):
        return False
    return all(value.get(key, default) == default for key, default in defaults.items())


def _parsed(raw: bytes, what: str) -> dict[str, Any]:
    if len(raw) > MAX_JSON_BYTES:
        raise GltfError(f"{what} has {len(raw)} bytes; {MAX_JSON_BYTES} is the most")

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no number there")

    try:
        document = json.loads(raw, parse_constant=refuse)
    except RecursionError:
        raise GltfError(f"{what} is nested too deeply") from None
    except ValueError as error:
        raise GltfError(f"{what} is not JSON ({clean_name(str(error), 100)})") from None
    if not isinstance(document, dict):
        raise GltfError(f"{what} is not a glTF document")
    return document
