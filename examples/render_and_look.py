"""Render a few frames and look at what comes with each: image, depth, parts, pose and light.

python examples/render_and_look.py --out few-of-aura --picture look.png
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import satgen

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", default="aura", help="a target's name, or a model file")
parser.add_argument("--out", default="few-of-aura", help="the dataset's folder")
parser.add_argument("--start", type=int, default=3000, help="first observation index")
parser.add_argument("--size", type=int, default=256, help="pixels")
parser.add_argument("--picture", type=Path, default=Path("look.png"))
options = parser.parse_args()

data = satgen.render(
    options.target,
    options.out,
    start=options.start,
    stop=options.start + 40,
    step=10,
    size=options.size,
    sun="phase:60",
)
print(data)
for frame in data:
    print(frame, f"shows the target on {frame.mask.mean():.1%} of its pixels")

frame = data[options.start]
depth = frame.depth[frame.mask]
print("T_cam_target", frame.pose.round(3).tolist(), sep="\n")
print("depth", f"{depth.min():.2f} to {depth.max():.2f} m")
print("sun, in the camera's axes", frame.sun.round(3).tolist())
for label, count in zip(*np.unique(frame.parts[frame.mask], return_counts=True), strict=True):
    print(f"{count:8d} pixels of {frame.part_names[label]}")

near = np.where(frame.mask, 1.0 - (frame.depth - depth.min()) / np.ptp(depth), 0.0)
colours = np.random.default_rng(3).integers(60, 256, (256, 3))
colours[0] = 0
panels = [frame.rgb, np.repeat((255 * near)[..., None], 3, axis=2), colours[frame.parts]]
Image.fromarray(np.hstack(panels).astype(np.uint8)).save(options.picture)
print(options.picture)
