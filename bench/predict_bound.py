"""What no forecast of a tumble can beat: `python -m bench.predict_bound --observed 40`.

The Cramér-Rao bound with a prior (Van Trees 1968; Tichavský, Muravchik and Nehorai 1998). Of the
attitude and rates at the first frame and, where the inertia is not known, two logarithms of ratios
of second moments of mass, the Fisher information of the noisy observed rotations is

    J = sum over frames of D^T D / noise^2 + prior,    D = d(rotation vector at a frame) / d(state),

and the covariance of a forecast is at least E J^-1 E^T, with E the derivative of the rotation to
come. The derivatives are differences of Euler's equations and quaternions integrated by SciPy: none
of the filter's dynamics is used. Beside the bound, as the median angle that a Gaussian of that
covariance has, are the filters' errors on the same windows.
"""

from __future__ import annotations

import json

import click
import numpy as np

from bench.predict.figures import errors_of
from bench.predict.motions import DISTANCE_M, FIRST, MOTIONS, second_to_moments
from bench.predict.protocols import Lab
from bench.predict.rigid_filter import filter_known, filter_ratios
from satgen.geometry import Floats
from satgen.trajectory import TrajectoryConfig, Tumble, observe

_STEP = 1e-4
"""Of the differences: radians, the share of the rate, and of the logarithms."""

_CONTRASTS = np.array([[2.0, -1.0, -1.0], [0.0, 3.0**0.5, -(3.0**0.5)]]) / 2.0
"""Logarithms of second moments, of sum 0, by two parameters on which the prior is isotropic."""


def bound(
    motion: str, noise_deg: float, observed: int, horizons: list[int], *, stride: int, prior: float
) -> tuple[Floats, Floats]:
    """Least covariances (W, H, 3, 3), rad^2, of forecasts with the inertia known and estimated.

    They are of the rotation vector in the target's frame, for the windows of the lab protocol.

    Args:
        motion: a tumble in `motions.MOTIONS`.
        noise_deg: of the observed rotations about each axis.
        observed: frames.
        horizons: frames ahead.
        stride: frames from the start of a window to that of the next.
        prior: standard deviation of the two parameters of the ratios.
    """
    tumble = MOTIONS[motion]
    assert isinstance(tumble, Tumble) and tumble.moments is not None
    lab = Lab(motions=(motion,), observed=observed, stride=stride)
    starts = np.arange(0, lab.frames - observed - lab.horizons[-1] + 1, stride)
    rates = observe(
        TrajectoryConfig(motion=tumble, distance_m=DISTANCE_M), FIRST + starts
    ).angular_velocity
    moments = np.asarray(tumble.moments, dtype=np.float64)
    logs = np.log(moments.sum() / 2.0 - moments)
    times = np.concatenate([np.arange(observed), observed - 1 + np.asarray(horizons)])
    scale = np.concatenate([np.full(3, _STEP), np.full(3, _STEP * 0.05), np.full(2, _STEP)])
    pairs = []
    for sign in (1.0, -1.0):
        step = sign * np.diag(scale)
        turned = [
            _integrate(
                np.tile(x[:3], (len(rates), 1)),
                rates + x[3:6],
                second_to_moments(np.exp(logs + x[6:] @ _CONTRASTS)),
                times,
            )
            for x in step
        ]
        pairs.append(turned)
    by = np.stack(
        [_vector(b, a) / (2.0 * h) for a, b, h in zip(*pairs, scale, strict=True)], axis=-1
    )
    seen, ahead = by[:, :observed], by[:, observed:]
    information = np.einsum("wtin,wtim->wnm", seen, seen) / np.radians(noise_deg) ** 2
    found = []
    for size in (6, 8):
        whole = information[:, :size, :size].copy()
        whole[:, range(6, size), range(6, size)] += prior**-2.0
        part = ahead[..., :size]
        least = np.linalg.inv(whole)[:, None]
        found.append(part @ least @ np.swapaxes(part, -1, -2))
    return found[0], found[1]


def median_angle_deg(covariance: Floats) -> Floats:
    """Median length (H,) of Gaussian rotation vectors of covariances (W, H, 3, 3), all windows."""
    draws = np.random.default_rng(0).normal(size=(500, 3))
    vectors = np.linalg.cholesky(covariance) @ draws.T
    lengths = np.linalg.norm(vectors, axis=-2)
    return np.asarray(np.degrees(np.median(lengths, axis=(0, 2))))


def _integrate(turn: Floats, omega: Floats, moments: Floats, times: Floats) -> Floats:
    """Quaternions (W, N, 4), scalar first, at times (N,) from 0, of bodies that begin turned by
    rotation vectors (W, 3) with angular velocities (W, 3)."""
    from scipy.integrate import solve_ivp

    count = len(omega)
    angle = np.linalg.norm(turn, axis=1, keepdims=True)
    half = np.sinc(angle / (2.0 * np.pi)) / 2.0
    start = np.concatenate([omega, np.cos(angle / 2.0), half * turn], axis=1)

    def slope(_: float, flat: Floats) -> Floats:
        y = flat.reshape(count, 7)
        w, s, v = y[:, :3], y[:, 3:4], y[:, 4:]
        vector = (s * w + np.cross(v, w)) / 2.0
        scalar = -np.sum(v * w, axis=1, keepdims=True) / 2.0
        return np.concatenate([np.cross(moments * w, w) / moments, scalar, vector], axis=1).ravel()

    span = (0.0, float(times[-1]))
    solved = solve_ivp(slope, span, start.ravel(), "DOP853", times, rtol=1e-11, atol=1e-13)
    return np.asarray(np.moveaxis(solved.y.reshape(count, 7, -1)[:, 3:], 1, 2))


def _vector(a: Floats, b: Floats) -> Floats:
    """Rotation vectors (..., 3), small, on the right of quaternions a (..., 4) that lead to b."""
    cross = np.cross(b[..., 1:], a[..., 1:])
    return np.asarray(2.0 * (a[..., :1] * b[..., 1:] - b[..., :1] * a[..., 1:] + cross))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--motion", default="tumble-3", show_default=True, help="A tumble of the protocol.")
@click.option("--noise", default=0.1, show_default=True, help="Degrees about each axis.")
@click.option("--observed", default=40, show_default=True, help="Frames that are seen.")
@click.option("--stride", default=37, show_default=True, help="From one window to the next.")
@click.option("--bound-only", is_flag=True, help="Spare the filters.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def main(
    motion: str, noise: float, observed: int, stride: int, bound_only: bool, as_json: bool
) -> None:
    """Compare the filters' median errors with the Cramér-Rao bound, degrees by horizon.

    \b
    Example: python -m bench.predict_bound --motion tumble-3-box --observed 100
    """
    names = [name for name, found in MOTIONS.items() if isinstance(found, Tumble)]
    if motion not in names:
        raise click.BadParameter(f"{motion}: one of {', '.join(names)}", param_hint="--motion")
    lab = Lab(motions=(motion,), noise_deg=(noise,), observed=observed, stride=stride)
    horizons = list(lab.horizons)
    prior = filter_ratios().log_inertia
    known, ratios = bound(motion, noise, observed, horizons, stride=stride, prior=prior)
    rows = {"bound, known": median_angle_deg(known), "bound, estimated": median_angle_deg(ratios)}
    if not bound_only:
        (part,) = lab.episodes()
        for name, model in (("filter", filter_known()), ("filter-ratios", filter_ratios())):
            errors = errors_of(model.forecast(part.observed, part.future), part)
            rows[name] = np.median(errors.rotation_deg, axis=0)
    if as_json:
        print(json.dumps({"horizons": horizons} | {n: r.tolist() for n, r in rows.items()}))
        return
    print(f"{'frames ahead':<18}" + "".join(f"{horizon:>8}" for horizon in horizons))
    for name, row in rows.items():
        print(f"{name:<18}" + "".join(f"{value:8.3f}" for value in row))
    ratio = rows["bound, estimated"] / rows["bound, known"]
    print(f"{'ratio of bounds':<18}" + "".join(f"{value:8.2f}" for value in ratio))


if __name__ == "__main__":
    main()
