"""The sensor against the sRGB standard, photon statistics and exact reproducibility."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from satgen.errors import InputError
from satgen.sensor import PRESETS, SensorConfig, expose, sensor_preset

SIZE = (64, 48)
WINDOW = (10, 8, 30, 20)


def flat(value: float) -> np.ndarray:
    return np.full((WINDOW[3], WINDOW[2], 3), value, np.float32)


@pytest.mark.parametrize(
    ("linear", "code"),  # worked from IEC 61966-2-1: 0.2140 is the linear light of code 127.5
    [(0.0, 0), (1.0, 255), (2.0, 255), (0.21404, 127.5), (0.0003035, 1), (0.0331, 51)],
)
def test_ideal_follows_the_srgb_standard(linear, code):
    image = expose(flat(linear), WINDOW, SIZE, SensorConfig(exposure=1.0))
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    inside = image[8:28, 10:40]
    assert np.all(np.abs(inside.astype(float) - code) <= 0.51)
    outside = image.copy()
    outside[8:28, 10:40] = 0
    assert not outside.any()


def test_16_bit_agrees_with_8_bit_and_is_finer():
    ramp = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30, 1) * np.ones(3, np.float32)
    eight = expose(ramp, WINDOW, SIZE, SensorConfig()).astype(float)
    sixteen = expose(ramp, WINDOW, SIZE, SensorConfig(bit_depth=16))
    assert sixteen.dtype == np.uint16
    assert np.abs(sixteen / 257.0 - eight).max() <= 0.53
    assert len(np.unique(sixteen)) > 590


def test_noise_has_the_variance_of_photons_and_read_out():
    sensor = SensorConfig(exposure=1.0, full_well=4000.0, read_noise=20.0, bit_depth=16, mono=True)
    signal = 0.25
    size = (300, 300)
    radiance = np.full((300, 300, 3), signal, np.float32)
    image = expose(radiance, (0, 0, 300, 300), size, sensor, seed=3, index=400)
    electrons = decoded(image) * 4000.0
    assert electrons.mean() == pytest.approx(1000.0, abs=1.0)
    assert electrons.var() == pytest.approx(1000.0 + 400.0, rel=0.03)


def decoded(image: np.ndarray) -> np.ndarray:
    """Share of full scale of a 16-bit sRGB image."""
    encoded = image / 65535.0
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def test_photon_transfer_curve_is_straight_and_falls_at_saturation():
    """EMVA 1288: variance over mean is the gain (here one electron an electron) up to the full
    well, where it falls to nothing: a full well has no shot noise left."""
    well, read = 4000.0, 8.0
    sensor = SensorConfig(
        exposure=0.8, full_well=well, read_noise=read, black_level=0.1, bit_depth=16, mono=True
    )
    means, variances = [], []
    levels = np.linspace(0.0, 1.0, 21)
    for index, level in enumerate(levels):
        radiance = np.full((200, 200, 3), level, np.float32)
        image = expose(radiance, (0, 0, 200, 200), (200, 200), sensor, seed=5, index=index)
        electrons = (decoded(image) - 0.1) * well
        means.append(electrons.mean())
        variances.append(electrons.var())
    slope, offset = np.polyfit(means, variances, 1)
    assert slope == pytest.approx(1.0, rel=0.02)
    assert offset == pytest.approx(read**2, abs=20.0)

    full = np.full((200, 200, 3), 1.5, np.float32)  # mean 4,800 electrons in a well of 4,000
    low = replace(sensor, black_level=0.0, read_noise=0.0)
    image = expose(full, (0, 0, 200, 200), (200, 200), low)
    assert (image == 65535).all()
    # At the brim one half of the draws overflow: the variance of a half normal, 0.34 of Poisson's.
    brim = expose(full / 1.2, (0, 0, 200, 200), (200, 200), low)
    assert (decoded(brim) * well).var() == pytest.approx(0.34 * well, rel=0.05)


def test_noise_follows_from_seed_and_index_alone():
    sensor = PRESETS["navcam"]
    one = expose(flat(0.3), WINDOW, SIZE, sensor, seed=1, index=500)
    assert one.shape == (48, 64)
    assert np.array_equal(one, expose(flat(0.3), WINDOW, SIZE, sensor, seed=1, index=500))
    assert not np.array_equal(one, expose(flat(0.3), WINDOW, SIZE, sensor, seed=1, index=501))
    assert not np.array_equal(one, expose(flat(0.3), WINDOW, SIZE, sensor, seed=2, index=500))


def test_point_spread_keeps_the_light():
    spot = np.zeros((20, 30, 3), np.float32)
    spot[10, 15] = 0.5
    sensor = SensorConfig(exposure=1.0, psf_sigma_px=1.2, bit_depth=16)
    linear = decoded(expose(spot, WINDOW, SIZE, sensor))
    assert linear[..., 0].sum() == pytest.approx(0.5, rel=1e-3)
    v, u = np.unravel_index(linear[..., 0].argmax(), linear.shape[:2])
    assert (u, v) == (25, 18)


@pytest.mark.parametrize(
    "changes",
    [{"exposure": 0.0}, {"exposure": float("nan")}, {"bit_depth": 12}, {"psf_sigma_px": -1.0},
     {"read_noise": 3.0}],
)  # fmt: skip
def test_impossible_sensors_are_refused(changes):
    with pytest.raises(InputError):
        sensor_preset("ideal", **changes)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(InputError, match="ideal, navcam"):
        sensor_preset("hubble")
