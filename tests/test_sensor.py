"""The sensor against the sRGB standard, photon statistics and exact reproducibility."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from satgen.camera import Camera
from satgen.errors import InputError
from satgen.sensor import PRESETS, SensorConfig, expose, read_sensor, sensor_preset

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
    [{"exposure": 0.0}, {"exposure": float("nan")}, {"bit_depth": 11}, {"psf_sigma_px": -1.0},
     {"read_noise": 3.0}, {"dark_current": 3.0}, {"curve": "log"}, {"glare": 1.0}, {"gain": 0.0},
     {"quantum_efficiency": 1.2}, {"serial": -1}],
)  # fmt: skip
def test_impossible_sensors_are_refused(changes):
    with pytest.raises(InputError):
        sensor_preset("ideal", **changes)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(InputError, match="ideal, navcam"):
        sensor_preset("hubble")


# --- EMVA 1288 ------------------------------------------------------------------------------------

REAL = ("imx174", "cmv4000")
CAMERA = Camera.from_fov(200, 160, 30.0)


def evenly(value: float, sensor: SensorConfig, index: int = 0) -> np.ndarray:
    """Counts of an even scene, without the optics."""
    plain = replace(sensor, psf_sigma_px=0.0, vignetting=0.0, glare=0.0, bloom=0.0)
    radiance = np.full((160, 200, 3), value, np.float32)
    image = expose(radiance, (0, 0, 200, 160), (200, 160), plain, 3, index)
    return np.rint(image / 65535.0 * (2**sensor.bit_depth - 1))


@pytest.mark.parametrize("name", REAL)
def test_photon_transfer_of_real_sensors_gives_their_gain_and_noise(name: str) -> None:
    """The slope of temporal variance over mean is EMVA's overall gain K, counts an electron."""
    sensor = PRESETS[name]
    means, variances = [], []
    for step, level in enumerate(np.linspace(0.0, 0.8, 9)):
        one, two = (evenly(level, sensor, 2 * step + i) for i in (0, 1))
        means.append((one.mean() + two.mean()) / 2.0)
        variances.append(((one - two) ** 2).mean() / 2.0)  # fixed patterns cancel
    gain = (2**sensor.bit_depth - 1) / sensor.full_well
    slope, _ = np.polyfit(means, variances, 1)
    assert slope == pytest.approx(gain, rel=0.03)
    assert variances[0] == pytest.approx((gain * sensor.read_noise) ** 2 + 1.0 / 12.0, rel=0.03)
    saturated = evenly(3.0, sensor)
    assert saturated.std() < 0.01 * saturated.mean() and saturated.max() == 2**sensor.bit_depth - 1


def test_gain_lifts_the_counts_and_their_noise() -> None:
    sensor = replace(PRESETS["imx174"], exposure=0.2, prnu=0.0, dsnu=0.0)
    low, high = evenly(0.5, sensor), evenly(0.5, replace(sensor, gain=4.0, exposure=0.8))
    black = sensor.black_level * 4095
    assert high.mean() - black == pytest.approx(4.0 * (low.mean() - black), rel=0.01)
    assert high.std() == pytest.approx(4.0 * low.std(), rel=0.05)


def test_fixed_patterns_are_the_cameras_and_the_same_in_every_frame() -> None:
    sensor = replace(PRESETS["cmv4000"], prnu=0.05, dsnu=40.0)

    def pattern(level: float, first: int, serial: int = 0) -> np.ndarray:
        one = replace(sensor, serial=serial)
        return np.mean([evenly(level, one, i) for i in range(first, first + 12)], axis=0)

    def alike(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert alike(pattern(0.6, 0), pattern(0.6, 100)) > 0.9
    assert alike(pattern(0.0, 0), pattern(0.0, 100)) > 0.9
    assert abs(alike(pattern(0.6, 0), pattern(0.6, 0, serial=1))) < 0.05
    light = pattern(0.6, 0) - pattern(0.0, 0)
    assert light.std() / light.mean() == pytest.approx(0.05, rel=0.1)
    assert pattern(0.0, 0).std() == pytest.approx(40.0 * 1023 / 13_500, rel=0.15)


def test_dark_current_grows_with_time_and_hot_pixels_stand_out() -> None:
    sensor = replace(PRESETS["cmv4000"], dsnu=0.0, hot_pixels=0.01, exposure_time_s=1.0)
    long, short = evenly(0.0, sensor), evenly(0.0, replace(sensor, exposure_time_s=0.01))
    electrons = (np.median(long) - np.median(short)) * 13_500 / 1023
    assert electrons == pytest.approx(125.0, abs=14.0)
    hot = long > np.median(long) + 60
    assert 0.004 < hot.mean() < 0.012
    assert ((evenly(0.0, sensor, 9) > np.median(long) + 60) == hot).mean() > 0.999


def test_exposure_follows_from_time_and_aperture() -> None:
    """Worked by hand: 1.37e21 photons a second and m² of sunlight between 400 and 700 nm."""
    sensor = PRESETS["imx174"]
    electrons = 1.37e21 / (4 * 8.0**2 + 1) * 5.86e-6**2 * 2e-4 * 0.76
    assert sensor.exposure == pytest.approx(electrons / 32_500, rel=0.01)
    half = sensor_preset("imx174", exposure_time_s=1e-4)
    assert half.exposure == pytest.approx(sensor.exposure / 2.0)
    assert sensor_preset("imx174", f_number=16.0).exposure < 0.26 * sensor.exposure
    assert sensor_preset("imx174", f_number=16.0, exposure=0.5).exposure == 0.5
    assert sensor_preset("ideal", exposure_time_s=1.0).exposure == 0.9


def test_light_falls_off_with_the_cosines_fourth_power() -> None:
    sensor = SensorConfig(vignetting=4.0, bit_depth=16, curve="linear")
    flat_field = np.ones((160, 200, 3), np.float32)
    image = expose(flat_field, (0, 0, 200, 160), (200, 160), sensor, camera=CAMERA) / 65535.0
    rays = CAMERA.rays()
    cosine = 1.0 / np.linalg.norm(rays, axis=-1)
    assert np.abs(image[..., 0] - 0.9 * cosine**4).max() < 1e-4
    rims = replace(sensor, vignetting=0.0, mechanical_vignetting=0.3)
    image = expose(flat_field, (0, 0, 200, 160), (200, 160), rims, camera=CAMERA) / 65535.0
    assert image[0, 0, 0] == pytest.approx(0.9 * 0.7, abs=1e-4)
    assert image[80, 100, 0] == pytest.approx(0.9, abs=1e-4)
    with pytest.raises(InputError, match="camera"):
        expose(flat_field, (0, 0, 200, 160), (200, 160), sensor)


def test_glare_and_bloom_move_light_and_lose_none() -> None:
    spot = np.zeros((161, 201, 3), np.float32)
    spot[75:86, 95:106] = 0.9
    window, size = (0, 0, 201, 161), (201, 161)
    for changes in ({"glare": 0.2}, {"bloom": 0.3, "bloom_sigma_px": 5.0}):
        sensor = SensorConfig(exposure=1.0, bit_depth=16, curve="linear", **changes)
        image = expose(spot, window, size, sensor) / 65535.0
        assert image[..., 0].sum() == pytest.approx(121 * 0.9, rel=0.01)
        assert image[80, 100, 0] < 0.85
    veil = expose(spot, window, size, SensorConfig(glare=0.2, bit_depth=16, curve="linear"))
    assert len(np.unique(veil[:, :50])) == 1 and veil[0, 0, 0] > 0


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_linear_counts_are_proportional_and_read_back(bits: int) -> None:
    sensor = SensorConfig(exposure=1.0, bit_depth=bits, curve="linear")
    ramp = np.linspace(0.0, 1.0, 600, dtype=np.float32).reshape(20, 30, 1) * np.ones(3, np.float32)
    image = expose(ramp, (0, 0, 30, 20), (30, 20), sensor)
    assert image.dtype == (np.uint8 if bits == 8 else np.uint16)
    full = np.iinfo(image.dtype).max
    counts = np.rint(image / full * (2**bits - 1))
    assert np.abs(counts - ramp.astype(float) * (2**bits - 1)).max() <= 0.51 + 2**bits / 65536
    assert np.array_equal(np.rint(counts * full / (2**bits - 1)), image)


def test_a_sensor_from_a_file(tmp_path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"preset": "imx174", "read_noise": 3.5, "exposure_time_s": 1e-4}')
    sensor = read_sensor(path)
    assert sensor == sensor_preset("imx174", read_noise=3.5, exposure_time_s=1e-4)
    for text, words in (("{", "not a JSON"), ('{"iso": 100}', "has no iso"), ("[]", "object")):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_sensor(path)
