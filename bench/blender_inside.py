"""What `bench.blender` runs in Blender's own Python: views of glTF files as Blender has them.

It knows nothing of satgen: `python -I blender_inside.py JOBS.json`, with `import bpy` at hand. Each
job names a file, cameras and a sun; of each is written `OUT/NUMBER.npz`: area and bounding box of
what Blender imported, and per view linear RGB with alpha, row 0 at the top.
"""

from __future__ import annotations

import json
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

bpy: Any = import_module("bpy")
mathutils: Any = import_module("mathutils")


def main() -> None:
    """Carry out the jobs of the file that is named first."""
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = Path(jobs["out"])
    for number, job in enumerate(jobs["files"]):
        target = out / f"{number}.npz"
        if target.exists() or (out / f"{number}.begun").exists():
            continue
        (out / f"{number}.begun").touch()  # a file that kills Blender is not tried again
        try:
            values = _carried_out(job, jobs["size"], jobs["samples"], out)
        except Exception as error:  # whatever Blender's importer raises is the result
            values = {"error": np.array(f"{type(error).__name__}: {error}")}
        np.savez(target, **values)


def _carried_out(job: dict[str, Any], size: int, samples: int, out: Path) -> dict[str, Any]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=job["file"])
    for thing in list(bpy.data.objects):
        thing.animation_data_clear()  # all at rest
        if thing.type == "LIGHT":
            bpy.data.objects.remove(thing)
    bpy.context.view_layer.update()
    corners = _triangles()
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    points = corners.reshape(-1, 3)
    values: dict[str, Any] = {
        "area": np.linalg.norm(cross, axis=1).sum() / 2.0,
        "low": points.min(axis=0),
        "high": points.max(axis=0),
    }
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.use_denoising, cycles.seed = "CPU", samples, False, 1
    cycles.use_adaptive_sampling = False
    cycles.max_bounces = cycles.diffuse_bounces = cycles.glossy_bounces = 0
    cycles.transparent_max_bounces = 64
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 1.0
    cycles.sample_clamp_direct = cycles.sample_clamp_indirect = 0.0
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = True
    scene.render.threads_mode, scene.render.threads = "FIXED", 2
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_depth = "32"
    scene.render.image_settings.color_mode = "RGBA"
    camera = bpy.data.objects.new("view", bpy.data.cameras.new("view"))
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.data.angle = math.pi, math.radians(0.53)
    for thing in (camera, sun):
        scene.collection.objects.link(thing)
    scene.camera = camera
    camera.data.sensor_fit, camera.data.angle = "HORIZONTAL", math.radians(job["fov_deg"])
    for k, view in enumerate(job["views"]):
        camera.matrix_world = mathutils.Matrix(view["world_from_camera"])
        camera.data.clip_start, camera.data.clip_end = view["near"], view["far"]
        sun.rotation_mode = "QUATERNION"
        sun.rotation_quaternion = mathutils.Vector(view["sun"]).to_track_quat("Z", "Y")
        picture = out / "picture.exr"
        scene.render.filepath = str(picture)
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(str(picture))
        pixels = np.empty(4 * size * size, dtype=np.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
        values[f"view{k}"] = pixels.reshape(size, size, 4)[::-1]
    return values


def _triangles() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Corners (F, 3, 3) of every triangle that is there, in the world."""
    graph = bpy.context.evaluated_depsgraph_get()
    found = []
    for instance in graph.object_instances:
        thing = instance.object
        if thing.type != "MESH" or not instance.show_self:
            continue
        mesh = thing.to_mesh()
        mesh.calc_loop_triangles()
        points = np.empty(3 * len(mesh.vertices), dtype=np.float32)
        mesh.vertices.foreach_get("co", points)
        faces = np.empty(3 * len(mesh.loop_triangles), dtype=np.int32)
        mesh.loop_triangles.foreach_get("vertices", faces)
        place = np.array(instance.matrix_world)
        world = points.reshape(-1, 3) @ place[:3, :3].T + place[:3, 3]
        found.append(world[faces.reshape(-1, 3)])
        thing.to_mesh_clear()
    corners = np.concatenate(found) if found else np.zeros((0, 3, 3))
    if not len(corners):
        raise ValueError("no triangles")
    return np.asarray(corners, dtype=np.float64)


if __name__ == "__main__":
    main()
