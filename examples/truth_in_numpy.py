"""Carry one frame's pixels into another by depth and pose alone, and check where they land.

Everything is written out in NumPy: the pinhole model, T_cam_target, and the test that tells a
surface that is seen again from one that is hidden.

python examples/truth_in_numpy.py datasets/aura 3000 3010
"""

import sys

import numpy as np

import satgen

folder, i, j = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = satgen.open(folder)
a, b = data[i], data[j]

# Pixels of frame a that show the target, as points in its camera: (u, v) is column and row, and
# the centre of the top-left pixel is (0, 0). Depth is z, not the distance along the ray.
v, u = np.nonzero(a.depth > 0)
z = a.depth[v, u]
in_a = np.linalg.inv(a.K) @ np.stack([u, v, np.ones(len(u))]) * z

# From camera a to the target, and on to camera b: the target is rigid.
b_from_a = b.pose @ np.linalg.inv(a.pose)
in_b = b_from_a[:3, :3] @ in_a + b_from_a[:3, 3:]

# Back to pixels, in frame b.
u_b, v_b = (b.K @ in_b)[:2] / in_b[2]
column, row = np.rint(u_b).astype(int), np.rint(v_b).astype(int)
inside = (column >= 0) & (column < b.camera.width) & (row >= 0) & (row < b.camera.height)

# Seen again where frame b's depth there is the point's own; hidden where it is less.
there = np.zeros(len(u))
there[inside] = b.depth[row[inside], column[inside]]
pixel = in_b[2] / b.K[0, 0]  # width of a pixel on the surface, metres
seen = inside & (np.abs(there - in_b[2]) < 2.0 * pixel)
hidden = inside & (there > 0) & (there < in_b[2] - 2.0 * pixel)
print(f"{len(u)} points of frame {i}: {seen.sum()} seen in frame {j}, {hidden.sum()} hidden there")

same = a.parts[v, u][seen] == b.parts[row, column][seen]
print(f"of those seen, {same.mean():.1%} lie on the part that frame {j} shows there")

# The library's answer, in double precision and with a stricter rule near outlines.
flow = data.flow(i, j)
by_hand = np.stack([u_b - u, v_b - v], axis=-1)
print(f"flow by hand and by satgen: {np.abs(by_hand - flow.flow[v, u]).max():.1e} px apart at most")
agree = seen[flow.visible[v, u]].mean()
print(f"of the points that satgen finds visible, {agree:.1%} are seen by hand")
assert np.allclose(by_hand, flow.flow[v, u], atol=1e-6)
