"""Put a frame model of your own into the table beside satgen's.

A model is a function of the frames observed. This one hedges: the further ahead, the more of the
mean of what it saw, and the less of the last frame, as a blurred guess errs less than a sharp
wrong one.

satgen render --target aura --trajectory tumble --size 64 --start 361 --stop 500 --out tumble
python examples/my_frame_model.py tumble
"""

import sys

import numpy as np


def forecast(observed):
    """Frames (B, N, C, S, S) in 0…1 at `observed.horizons`.

    `observed` has frames (B, T, C, S, S), poses, times and more: see bench/predict/frame_types.py.
    """
    last, mean = observed.frames[:, -1], observed.frames.mean(axis=1)
    shares = [np.exp(-ahead / 10.0) for ahead in observed.horizons]
    return np.stack([share * last + (1.0 - share) * mean for share in shares], axis=1)


if __name__ == "__main__":
    import satgen

    mine = f"{__file__}:forecast"
    found = satgen.predict(
        *sys.argv[1:],
        task="frames",
        protocol="10-20-64",
        model=["black", "last", "flow", mine],
        windows="all",  # nothing here is trained on them
    )
    print(found)  # the table of `satgen predict`; found.rows and found.windows have every figure
    print(found.report)
