"""Put a pose model of your own into the table beside satgen's.

A model is a function of the poses observed and the times asked for. This one turns on at the mean
rate of the observed frames about the axis of the last half of them.

python examples/my_pose_model.py tumble-3 0.1
"""

import sys

import numpy as np
from scipy.spatial.transform import Rotation


def forecast(observed, future):
    """Rotations (B, H, 3, 3) and translations (B, H, 3) of T_cam_target at `future` (B, H) s.

    `observed` has times (B, T), rotations (B, T, 3, 3) and translations (B, T, 3), and more: see
    bench/predict/types.py.
    """
    turns = np.empty((*future.shape, 3, 3))
    for row, (times, seen) in enumerate(zip(observed.times, observed.rotations, strict=True)):
        seen = Rotation.from_matrix(seen)
        steps = (seen[1:] * seen[:-1].inv()).as_rotvec() / np.diff(times)[:, None]
        axis = steps[len(steps) // 2 :].mean(axis=0)
        rate = np.linalg.norm(steps.mean(axis=0)) * axis / max(np.linalg.norm(axis), 1e-12)
        ahead = Rotation.from_rotvec((future[row] - times[-1])[:, None] * rate)
        turns[row] = (ahead * seen[-1]).as_matrix()
    last = observed.translations[:, -1:]
    return turns, np.broadcast_to(last, (*future.shape, 3))


if __name__ == "__main__":
    import satgen

    mine = f"{__file__}:forecast"
    found = satgen.predict(
        protocol="lab",
        motions=sys.argv[1],
        noise=float(sys.argv[2]),
        model=[mine, "last", "velocity", "acceleration", "filter"],
    )
    print(found)  # the table of `satgen predict`; found.rows and found.windows have every figure
    print(found.report)
