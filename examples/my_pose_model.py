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
    from bench.predict.experiment import pose_rows
    from bench.predict.protocols import Lab

    motion, noise_deg = sys.argv[1], float(sys.argv[2])
    protocol = Lab(motions=(motion,), noise_deg=(noise_deg,))
    mine = f"{__file__}:forecast"
    rows = pose_rows([mine, "last", "velocity", "acceleration", "filter"], protocol)

    print(f"{motion}, {noise_deg:g} degrees of noise: median error in degrees by frames ahead")
    print(" " * 12 + "".join(f"{horizon:9d}" for horizon in protocol.horizons))
    for model in dict.fromkeys(row["model"] for row in rows):
        errors = [row["error_deg_median"] for row in rows if row["model"] == model]
        name = "mine" if model == mine else model
        print(f"{name:12s}" + "".join(f"{error:9.2f}" for error in errors))
