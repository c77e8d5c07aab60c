"""Light between parts against a path tracer: `python -m bench.interreflection --target aura`.

Mitsuba 3 (`pip install mitsuba`, not part of any extra that the tests need) renders the same
triangles, textures, poses, sun, Earth and ambient light with up to six bounces; for every part that
a view shows with enough pixels, the mean radiance over these pixels is compared. Mitsuba's
`principled` material is its own reading of metallic and roughness: its diffuse lobe is Disney's,
not Lambert's, so that a few percent between the two are no light's fault.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from satgen.colour import srgb_decode
from satgen.geometry import Floats
from satgen.model import Material, TargetModel
from satgen.scene import Scene

VIEWS = (1117, 4237, 6037)
"""Observation indices of the three views of each target."""

EARTHSHINE = (0.085, 0.1, 0.12)
"""Radiance of the Earth's disc, for both."""

MIN_PIXELS = 40
"""Pixels that a part must show to be compared."""

FACTOR = 1.5
"""A part view is off where one renderer has this much more light than the other."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--target", "targets", multiple=True, help="Bundled target or model file; repeat.")
@click.option("--index", "indices", multiple=True, type=int, help="Observation index; repeat.")
@click.option("--size", default=384, show_default=True, help="Image side in pixels.")
@click.option("--samples", default=64, show_default=True, help="Paths a pixel.")
@click.option("--bounces", default=6, show_default=True, help="Bounces of a path at most.")
@click.option("--sun", default=None, help="As for satgen render.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the path tracer's images here.")
@click.option("--out", type=click.Path(path_type=Path), help="Write a row a part view (CSV).")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def main(
    targets: tuple[str, ...],
    indices: tuple[int, ...],
    size: int,
    samples: int,
    bounces: int,
    sun: str | None,
    keep: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare the light of every part with a path tracer's."""
    import pandas as pd

    from satgen.options import RenderOptions
    from satgen.scene import scene_of
    from satgen.targets.registry import TARGETS

    rows: list[dict[str, Any]] = []
    for target in targets or TARGETS:
        words = {"sun": sun} if sun else {}
        scene = scene_of(RenderOptions(target=target, size=size, **words))  # type: ignore[arg-type]
        for index in indices or VIEWS:
            rows += compare(scene, index, samples, bounces, keep)
    table = pd.DataFrame(rows)
    if out is not None:
        table.to_csv(out, index=False)
    found = summary(table.ours.to_numpy(), table.theirs.to_numpy())
    if as_json:
        click.echo(json.dumps(found))
    else:
        for target, group in table.groupby("target"):
            part = summary(group.ours.to_numpy(), group.theirs.to_numpy())
            click.echo(_line(str(target), part))
        click.echo(_line("all", found))


def _line(name: str, found: dict[str, float]) -> str:
    return (
        f"{name:<14}{found['part_views']:5.0f} part views   mean ratio {found['mean_ratio']:.3f}"
        f"   median {found['median_ratio']:.3f}   off by {FACTOR} times "
        f"{100 * found['off']:.1f} %   darkest {found['least']:.3f}"
    )


def summary(ours: Floats, theirs: Floats) -> dict[str, float]:
    """Mean radiance of part views, ours and the path tracer's, in a few numbers."""
    ratio = ours / theirs
    return {
        "part_views": float(len(ratio)),
        "mean_ratio": float(ratio.mean()),
        "median_ratio": float(np.median(ratio)),
        "geometric_mean": float(np.exp(np.log(np.maximum(ratio, 1e-6)).mean())),
        "off": float(np.mean((ratio > FACTOR) | (ratio < 1.0 / FACTOR))),
        "least": float(ratio.min()),
        "most": float(ratio.max()),
    }


def compare(
    scene: Scene, index: int, samples: int, bounces: int, keep: Path | None = None
) -> list[dict[str, Any]]:
    """A row for each part that a view shows: mean radiance here and in the path tracer."""
    from satgen.rendering.renderer import Renderer

    views = scene.views.at([index])
    pose = views.observations.T_cam_target[0]
    camera = scene.config.camera
    sun, earth = views.sun[0], views.place.nadir[0]
    with Renderer(scene.model, camera, scene.config.lighting, float32=True) as renderer:
        view = renderer.render(pose, sun, earth, np.array(EARTHSHINE))
    width = view.window[2]
    kept = (
        None
        if keep is None
        else keep / f"{scene.model.name}_{index}_{width}_{bounces}_{samples}.npy"
    )
    if kept is not None and kept.is_file():
        traced = np.load(kept)
    else:
        traced = path_trace(scene, pose, sun, earth, view.window, samples, bounces)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, traced)
    if keep is not None:
        np.savez(
            keep / f"{scene.model.name}_{index}_ours.npz", linear=view.linear, parts=view.parts
        )
    rows = []
    for part in scene.model.parts:
        seen = view.parts == part.label
        if np.count_nonzero(seen) >= MIN_PIXELS:
            ours, theirs = view.linear[seen].mean(), traced[seen].mean()
            rows.append(
                {
                    "target": scene.model.name,
                    "index": index,
                    "part": part.name,
                    "pixels": int(np.count_nonzero(seen)),
                    "ours": float(ours),
                    "theirs": float(theirs),
                    "ratio": float(ours / theirs),
                }
            )
    return rows


def path_trace(
    scene: Scene,
    pose: Floats,
    sun_cam: Floats,
    earth_cam: Floats,
    window: tuple[int, int, int, int],
    samples: int,
    bounces: int,
) -> NDArray[np.float32]:
    """Mitsuba's image of a window of a view, (h, w, 3) linear RGB."""
    import mitsuba as mi

    if mi.variant() is None:
        mi.set_variant("scalar_rgb")
    camera, lighting = scene.config.camera, scene.config.lighting
    rotation = pose[:3, :3]
    x, y, w, h = window
    # Mitsuba's camera looks along +z with x to the left and y up.
    to_world = np.eye(4)
    to_world[:3, :3] = rotation.T @ np.diag([-1.0, -1.0, 1.0])
    to_world[:3, 3] = -rotation.T @ pose[:3, 3]
    sensor = {
        "type": "perspective",
        "to_world": mi.ScalarTransform4f(to_world),
        "fov": float(np.degrees(2.0 * np.arctan(camera.width / (2.0 * camera.fx)))),
        "fov_axis": "x",
        "near_clip": 0.05,
        "far_clip": 1e5,
        "film": {
            "type": "hdrfilm",
            "width": camera.width,
            "height": camera.height,
            "crop_offset_x": x,
            "crop_offset_y": y,
            "crop_width": w,
            "crop_height": h,
            "pixel_format": "rgb",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent", "sample_count": samples},
    }
    sky = sky_image(rotation.T @ earth_cam, EARTHSHINE, lighting.earth_limb_deg, lighting.ambient)
    document: dict[str, Any] = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": bounces + 1, "hide_emitters": True},
        "sensor": sensor,
        "sun": {
            "type": "directional",
            "direction": [float(-v) for v in rotation.T @ sun_cam],
            "irradiance": {"type": "rgb", "value": [float(np.pi)] * 3},
        },
        # Mitsuba's map has y up: z of the target's frame is turned there.
        "sky": {
            "type": "envmap",
            "bitmap": mi.Bitmap(sky),
            "to_world": mi.ScalarTransform4f(
                np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
            ),
        },
    }
    for k in range(len(scene.model.materials)):
        mesh = _mesh(scene.model, k)
        if mesh is not None:
            document[f"mesh{k}"] = mesh
    started = time.monotonic()
    image = np.asarray(mi.render(mi.load_dict(document), spp=samples), dtype=np.float32)
    click.echo(
        f"{scene.model.name} {w}×{h}, {samples} paths: {time.monotonic() - started:.0f} s", err=True
    )
    return image


def sky_image(
    earth: Floats, earthshine: tuple[float, float, float], limb_deg: float, ambient: float
) -> NDArray[np.float32]:
    """Radiance of the sky about the target, (256, 512, 3): latitude down from +z, longitude from
    +x toward +y, in the middle of the pixels."""
    rows, columns = 256, 512
    polar = (np.arange(rows) + 0.5) / rows * np.pi
    # Mitsuba's longitude: from -z of its own frame; see to_world.
    angle = (np.arange(columns) + 0.5) / columns * 2.0 * np.pi
    direction = np.stack(
        [
            -np.sin(polar)[:, None] * np.cos(angle),
            np.sin(polar)[:, None] * np.sin(angle),
            np.broadcast_to(np.cos(polar)[:, None], (rows, columns)),
        ],
        axis=-1,
    )
    disc = direction @ earth > np.cos(np.radians(limb_deg))
    return np.asarray(disc[..., None] * np.asarray(earthshine) + ambient, dtype=np.float32)


def _mesh(model: TargetModel, material: int) -> Any:
    """The triangles in one material, or None."""
    import mitsuba as mi

    chosen = model.faces[model.face_material == material]
    if not len(chosen):
        return None
    used, faces = np.unique(chosen, return_inverse=True)
    props = mi.Properties()
    props["bsdf"] = mi.load_dict(_bsdf(model.materials[material]))
    mesh = mi.Mesh(
        f"mesh{material}",
        len(used),
        len(chosen),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=props,
    )
    values = mi.traverse(mesh)
    values["vertex_positions"] = model.vertices[used].astype(np.float32).ravel()
    values["vertex_normals"] = model.normals[used].astype(np.float32).ravel()
    values["vertex_texcoords"] = model.uv[used].astype(np.float32).ravel()
    values["faces"] = faces.reshape(-1).astype(np.uint32)
    values.update()
    return mesh


def _bsdf(material: Material) -> dict[str, Any]:
    import mitsuba as mi

    def texture(image: NDArray[Any], raw: bool) -> dict[str, Any]:
        pixels = np.ascontiguousarray(image, dtype=np.float32)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        return {
            "type": "bitmap",
            "bitmap": mi.Bitmap(pixels),
            "raw": raw,
            "wrap_mode": "repeat",
        }

    base: Any = {"type": "rgb", "value": list(material.base_color)}
    if material.base_color_image is not None:
        linear = srgb_decode(material.base_color_image / 255.0) * np.asarray(material.base_color)
        base = texture(linear, True)
    packed = material.metallic_roughness_image
    roughness: Any = material.roughness
    metallic: Any = material.metallic
    if packed is not None:
        roughness = texture(np.maximum(packed[..., 1] / 255.0 * material.roughness, 0.05), True)
        metallic = texture(packed[..., 2] / 255.0 * material.metallic, True)
    bsdf: dict[str, Any] = {
        "type": "principled",
        "base_color": base,
        "roughness": roughness,
        "metallic": metallic,
        "specular": 0.5,
    }
    if material.normal_image is not None:
        local = material.normal_image.astype(np.float32) * (2.0 / 255.0) - 256.0 / 255.0
        local[..., :2] *= material.normal_scale
        local[..., 1] *= -1.0  # green is up in the image, v runs down
        local /= np.maximum(np.linalg.norm(local, axis=2, keepdims=True), 1e-6)
        bsdf = {
            "type": "normalmap",
            "normalmap": texture(0.5 + 0.5 * local, True),
            "bsdf": bsdf,
        }
    return {"type": "twosided", "bsdf": bsdf}


if __name__ == "__main__":
    main()
