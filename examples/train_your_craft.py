"""Train LightGlue on frames of your own craft, and use the weights.

python examples/train_your_craft.py craft.glb --out craft-run

That takes hours on a few cores, minutes on a GPU; --quick shows the way within a minute or two,
but learns next to nothing.
"""

import argparse
from pathlib import Path

import satgen
from satgen.splits import SplitConfig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="a .glb, .gltf, .obj, .stl or .ply file, z up, in metres")
parser.add_argument("--out", type=Path, default=Path("craft-run"))
parser.add_argument("--quick", action="store_true")
options = parser.parse_args()

sweep = {"step": 3, "size": 512}
training: dict = {"steps": 20000}
if options.quick:
    sweep = {"start": 3000, "stop": 3059, "size": 128}
    training = {
        "steps": 8, "homography_steps": 4, "confidence_steps": 2, "batch": 2, "accumulate": 1,
        "dim": 16, "layers": 2, "max_keypoints": 32, "frames": 12, "versions": 1, "warmup": 2,
        "validate_every": 4, "gaps": (1, 2), "split": SplitConfig(guard_deg=3.0),
    }  # fmt: skip

# The frames. Their depth and poses are the truth that the training learns from.
data = satgen.render(options.model, options.out / "frames", sun="phase:50", **sweep)

# The training: homographies first, then pairs of frames, then when to stop early. Blocks of frames
# are held out. Interrupt it as you like: the same call goes on.
result = satgen.train(
    data,
    matcher="lightglue",
    features="sift",
    out=options.out / "training",
    cache=options.out / "features",
    **training,
)
print(result.weights)
for name, gaps in result.card["held_out"]["frames"].items():
    print(name, {gap: round(figures["f1"], 3) for gap, figures in gaps.items()})

# The weights, on two frames.
i, j = data.indices[:2]
for weights in (result.weights, "satgen"):
    print(weights, satgen.match(data[i], data[j], features="sift", weights=weights))
