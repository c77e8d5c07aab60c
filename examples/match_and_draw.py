"""Match two frames of a dataset, hold the matches against the truth, and draw them.

python examples/match_and_draw.py datasets/aura 3000 3010 --picture matches.png
"""

import argparse

import satgen

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("dataset")
parser.add_argument("i", type=int, help="observation index of the first frame")
parser.add_argument("j", type=int, help="and of the second")
parser.add_argument("--features", default="sift", help="sift, aliked, …")
parser.add_argument("--picture", default="matches.png")
options = parser.parse_args()

data = satgen.open(options.dataset)
a, b = data[options.i], data[options.j]
print(f"{satgen.TwoViews(a, b).angle_deg:.1f} degrees from camera to camera")

for matcher in ("nearest", "lightglue"):
    found = satgen.match(a, b, features=options.features, matcher=matcher)
    figures = found.figures
    print(
        f"{matcher}: {len(found)} matches, {figures['correct']} correct, "
        f"{figures['wrong']} wrong, of {figures['possible']} possible"
    )

# Each match by itself: its points, how sure it is, and how far off by depth and pose.
best = found.scores.argsort()[::-1][:5]
for k in best:
    (u0, v0), (u1, v1) = found.points0[k], found.points1[k]
    print(
        f"({u0:6.1f}, {v0:6.1f}) - ({u1:6.1f}, {v1:6.1f})  score {found.scores[k]:.2f}, "
        f"{found.judged.error[k]:.2f} px off"
    )
print(found.save(options.picture))
