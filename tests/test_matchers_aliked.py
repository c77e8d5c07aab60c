"""matchers.features.aliked: against kornia, and against the official code with official weights.

tests/data/aliked_official.npz holds what the authors' code (Shiaoming/ALIKED, 683d7c6) returned for
`collage(5, 150, 190)` and its own weights on a CPU, `n_limit` 60 (and without: `.all`); torchvision
was not at hand, so kornia's deformable convolution stood in for torchvision's.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import kornia
import numpy as np
import pytest
import torch
from kornia import feature as kornia_feature
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from matchers import weights
from matchers.features.aliked import ALIKED, ALIKEDConfig
from matchers.registry import load_features
from matchers.types import Features
from satgen.dataset import Dataset
from satgen.errors import InputError
from tests.datasets import make as make_dataset
from tests.pictures import collage

VARIANTS = ("aliked-n16", "aliked-n16rot", "aliked-t16")
RECORDED = Path(__file__).parent / "data" / "aliked_official.npz"
IMAGE = collage(5, 150, 190)
torch.set_num_threads(1)


@cache
def official(variant: str) -> dict[str, Tensor]:
    return weights.load(weights.official(variant))


def make(variant: str = "aliked-n16", **options: object) -> ALIKED:
    network = ALIKED(ALIKEDConfig(variant, **options))  # type: ignore[arg-type]
    network.load_state_dict(official(variant), strict=True)
    return network.eval()


def theirs(variant: str, image: np.ndarray, **options: object) -> tuple[Tensor, Features]:
    """Kornia's score map and features, sorted like ours."""
    network = kornia_feature.ALIKED(variant, **options)
    missing, unexpected = network.load_state_dict(official(variant), strict=False)
    assert set(missing) <= {"dkd.hw_grid"} and not unexpected
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        found = network.eval()(batch)[0]
        scores = network.extract_dense_map(batch)[1][0, 0]
    order = found.keypoint_scores.argsort(descending=True)
    size = torch.tensor([image.shape[1], image.shape[0]])
    features = Features(found.keypoints, found.keypoint_scores, found.descriptors, size)
    return scores, features.select(order)


def nearest(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Distance from each point to the nearest of others, and which that is."""
    distance, index = torch.cdist(points.double(), others.double()).min(1)
    return distance, index


def assert_same(ours: Features, others: Features, place: float = 0.01) -> None:
    """The same keypoints, in whatever order, with the same scores and descriptors."""
    assert len(ours) == len(others) > 0
    distance, match = nearest(ours.keypoints, others.keypoints)
    assert distance.max() < place
    assert len(match.unique()) == len(match)
    torch.testing.assert_close(ours.scores, others.scores[match], atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.descriptors, others.descriptors[match], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(160, 224), (150, 190)])
def test_agrees_with_kornia(variant: str, size: tuple[int, int]) -> None:
    image = collage(1, *size)
    scores, others = theirs(variant, image, max_num_keypoints=-1, detection_threshold=0.1)
    network = make(variant, max_keypoints=None, detection_threshold=0.1, nms_rounds=0)
    torch.testing.assert_close(network.score_map(image), scores, atol=1e-4, rtol=0)
    assert_same(network(image), others)


def test_best_keypoints_are_kornias() -> None:
    image = collage(2, 128, 160)
    _, others = theirs("aliked-t16", image, max_num_keypoints=40, detection_threshold=0.0)
    ours = make("aliked-t16", max_keypoints=40, detection_threshold=0.0, nms_rounds=0)(image)
    assert_same(ours, others)


@pytest.mark.parametrize("variant", VARIANTS)
def test_agrees_with_the_official_code(variant: str) -> None:
    with np.load(RECORDED) as data:
        recorded = {
            name: torch.from_numpy(data[f"{variant}.{name}"])
            for name in ("keypoints", "scores", "descriptors", "all")
        }
    others = Features(
        recorded["keypoints"], recorded["scores"], recorded["descriptors"], torch.zeros(2)
    )
    assert_same(make(variant, max_keypoints=60)(IMAGE), others)
    everything = make(variant, max_keypoints=None)(IMAGE).keypoints
    assert len(everything) == len(recorded["all"])
    assert nearest(everything, recorded["all"])[0].max() < 0.01


def test_n32_agrees_with_kornia_on_random_weights() -> None:
    torch.manual_seed(0)
    other = kornia_feature.ALIKED("aliked-n32", 50, 0.0).eval()
    ours = ALIKED(ALIKEDConfig("aliked-n32", 50, 0.0, nms_rounds=0))
    state = {k: v for k, v in other.state_dict().items() if k != "dkd.hw_grid"}
    for name, value in state.items():  # statistics that matter
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    ours.load_state_dict(state, strict=True)
    batch = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        found = other(batch)[0]
    others = Features(found.keypoints, found.keypoint_scores, found.descriptors, torch.zeros(2))
    assert_same(ours(IMAGE), others)


def test_weights_load_strictly() -> None:
    state = dict(official("aliked-n16"))
    del state["desc_head.sf_conv.weight"]
    with pytest.raises(RuntimeError, match="sf_conv"):
        ALIKED().load_state_dict(state)


def test_training_mode_changes_nothing() -> None:
    network = make()
    before = network(IMAGE)
    after = network.train()(IMAGE)
    assert torch.equal(before.descriptors, after.descriptors)
    assert torch.equal(
        network.block1.bn1.running_mean, official("aliked-n16")["block1.bn1.running_mean"]
    )


def test_features_are_well_formed_and_best_first() -> None:
    features = make(max_keypoints=20)(IMAGE)
    assert len(features) == 20 and features.descriptors.shape == (20, 128)
    assert (features.scores.diff() <= 0).all() and (features.scores > 0).all()
    torch.testing.assert_close(features.descriptors.norm(dim=1), torch.ones(20))
    assert features.image_size.tolist() == [190, 150]
    assert features.scales is None and features.orientations is None and not features.batched
    for value in (features.keypoints, features.scores, features.descriptors, features.image_size):
        assert value.dtype == torch.float32 and not value.requires_grad


def test_the_best_are_a_prefix_of_all() -> None:
    everything, best = make(max_keypoints=None)(IMAGE), make(max_keypoints=10)(IMAGE)
    distance, rank = nearest(best.keypoints, everything.keypoints)
    assert distance.max() == 0 and rank.max() < 14  # ranked by the peak, ordered by the score


def test_min_keypoints_is_a_floor_below_the_threshold() -> None:
    few = make(detection_threshold=0.9)(IMAGE)
    filled = make(detection_threshold=0.9, min_keypoints=25)(IMAGE)
    assert len(few) < 25 and len(filled) == 25
    assert nearest(few.keypoints, filled.keypoints)[0].max() == 0
    assert len(make(detection_threshold=0.2, min_keypoints=5)(IMAGE)) == len(make()(IMAGE))


def test_a_batch_is_a_loop() -> None:
    images = [collage(seed, 96, 130) for seed in range(3)]
    masks = [np.ones((96, 130), bool), np.zeros((96, 130), bool), np.ones((96, 130), bool)]
    masks[2][:, :65] = False
    network = make(detection_threshold=0.05)
    for together, image in zip(network.extract(images), images, strict=True):
        assert_same(together, network(image), 1e-3)
    together = network.extract(images, masks)
    assert [len(one) > 0 for one in together] == [True, False, True]
    for one, image, mask in zip(together, images, masks, strict=True):
        if len(one):
            assert_same(one, network(image, mask=mask), 1e-3)
    assert network.extract([]) == []
    with pytest.raises(InputError, match=r"sizes \[\(130, 96\), \(190, 150\)\]"):
        network.extract([images[0], IMAGE])
    with pytest.raises(InputError, match="1 masks for 3 images"):
        network.extract(images, masks[:1])


def test_windows_at_different_places_are_computed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: masks of one size here and there, another one, and none."""
    images = [collage(seed, 450, 512) for seed in range(4)]
    masks = [np.zeros((450, 512), bool) for _ in images]
    for i, (x, y, size) in enumerate([(160, 160, 40), (224, 192, 40), (200, 200, 150)]):
        masks[i][y : y + size, x : x + size] = True
    network = make("aliked-t16", detection_threshold=0.05)
    alone = [network(image, mask=mask) for image, mask in zip(images, masks, strict=True)]
    seen: list[int] = []
    maps = network.maps

    def watched(pixels: Tensor, windows: object) -> object:
        seen.append(len(pixels))
        return maps(pixels, windows)  # type: ignore[arg-type]

    monkeypatch.setattr(network, "maps", watched)
    monkeypatch.setattr("matchers.features.aliked.TOGETHER", 1 << 24)
    monkeypatch.setattr(
        "matchers.features.aliked_network.distinct",
        lambda rows, count: (rows.flatten(), torch.arange(rows.numel()).view_as(rows)),
    )
    together = network.extract(images, masks)
    assert seen == [2, 1]
    for one, other in zip(together[:3], alone[:3], strict=True):
        assert_same(one, other, 1e-3)
    assert len(together[3]) == len(alone[3]) == 0


class Asked(TorchDispatchMode):
    """Counts what is computed, and what a GPU would be waited for."""

    operations = 0
    waits = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.operations += 1
        name = str(func)
        chosen = name.startswith("aten.index.Tensor") and any(
            place is not None and place.dtype == torch.bool for place in args[1]
        )
        self.waits += chosen or name.startswith(("aten.nonzero", "aten._local_scalar_dense"))
        return func(*args, **(kwargs or {}))


def test_a_gpu_is_waited_for_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many images are few more operations than two, none of which has to be waited for."""
    monkeypatch.setattr("matchers.features.aliked.TOGETHER", 1 << 24)
    monkeypatch.setattr(
        "matchers.features.aliked_network.distinct",
        lambda rows, count: (rows.flatten(), torch.arange(rows.numel()).view_as(rows)),
    )
    images = [collage(seed, 96, 160) for seed in range(8)]
    masks = [np.arange(160) > 10 + np.zeros((96, 1)) for _ in images]
    network = make("aliked-t16", max_keypoints=20, detection_threshold=0.0)
    counts = []
    for some in (2, 8):
        with Asked() as asked:
            found = network.extract(images[:some], masks[:some])
        assert all(len(features) == 20 for features in found)
        counts.append((asked.waits, asked.operations))
    assert counts[0][0] == counts[1][0] < 12
    assert counts[1][1] - counts[0][1] < 40 * 6


def test_keypoints_stay_in_float16(tmp_path: Path) -> None:
    """Of rendered frames, 99 of 100 within 0.01 px; and descriptors that are the same for matching.

    On a CPU, whose half-precision convolutions round as a GPU's do.
    """
    data = Dataset(make_dataset(Path(), tmp_path / "aura", target="aura", stop=3005, width=320,
                                height=256))  # fmt: skip
    whole = load_features("aliked", device="cpu")
    half = load_features("aliked", device="cpu", dtype="float16")
    moved, alike = [], []
    for index in data.indices.tolist():
        mask = data.parts(index) > 0
        a, b = whole(data.rgb(index), mask=mask), half(data.rgb(index), mask=mask)
        assert b.keypoints.dtype == b.descriptors.dtype == torch.float32
        distance, match = nearest(a.keypoints, b.keypoints)
        moved.append(distance)
        alike.append((a.descriptors * b.descriptors[match]).sum(1)[distance < 0.5])
    distances = torch.cat(moved)
    assert len(distances) > 300
    assert (distances <= 0.01).float().mean() >= 0.99
    assert torch.cat(alike).median() > 0.999


@pytest.mark.parametrize("options", [{"max_keypoints": 300}, {"resize": 400}])
def test_a_large_image_in_tiles(monkeypatch: pytest.MonkeyPatch, options: dict[str, int]) -> None:
    image = collage(3, 480, 512)
    network = make("aliked-t16", **options)
    whole = network(image)
    monkeypatch.setattr("matchers.boxes.WHOLE", 1 << 16)
    monkeypatch.setattr("matchers.boxes.TILE", 128)
    tiled = network(image)
    assert abs(len(tiled) - len(whole)) < 0.05 * len(whole)
    assert (tiled.scores.diff() <= 0).all()
    distance, match = nearest(tiled.keypoints, whole.keypoints)
    same = distance < 1
    assert len(whole) > 100 and same.float().mean() > 0.9
    assert (tiled.descriptors * whole.descriptors[match]).sum(1)[same].median() > 0.93
    apart = torch.cdist(tiled.keypoints, tiled.keypoints) + 9 * torch.eye(len(tiled))
    assert apart.min() > 0.5  # none twice, on the borders of tiles


def test_a_mask_keeps_what_the_whole_image_has_there() -> None:
    """With the margin inside the image, so that a part of it is cut away."""
    image = collage(3, 480, 512)
    mask = np.zeros((480, 512), bool)
    mask[30:180, 40:210] = True
    network = make("aliked-t16", max_keypoints=None)
    whole, masked = network(image), network(image, mask=mask)
    pixel = (whole.keypoints + 0.5).floor().long()
    inside = whole.select(torch.from_numpy(mask)[pixel[:, 1], pixel[:, 0]])
    distance, match = nearest(masked.keypoints, inside.keypoints)
    same = distance < 1
    assert len(inside) > 50 and same.sum() > 0.85 * len(inside)
    assert (masked.descriptors * inside.descriptors[match]).sum(1)[same].median() > 0.97
    pixel = (masked.keypoints + 0.5).floor().long()
    assert mask[pixel[:, 1], pixel[:, 0]].all()


def test_a_mask_of_everything_changes_nothing() -> None:
    network = make()
    assert_same(network(IMAGE, mask=np.ones((150, 190), bool)), network(IMAGE), 1e-6)


def test_a_box_is_the_image_cut_out() -> None:
    network = make(detection_threshold=0.1)
    part = network(IMAGE[20:110, 33:170])
    boxed = network(IMAGE, box=(33, 20, 137, 90))
    assert torch.equal(boxed.keypoints, part.keypoints + torch.tensor([33.0, 20.0]))
    assert torch.equal(boxed.descriptors, part.descriptors)
    assert boxed.image_size.tolist() == [190, 150]


def test_resizing_brings_keypoints_back() -> None:
    """Kornia's resizing, as LightGlue's wrapper does it, and its formula for the way back."""
    batch = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float() / 255
    large = kornia.geometry.transform.resize(batch, 256, side="long", antialias=True)[0]
    scale = torch.tensor([large.shape[2] / 190, large.shape[1] / 150])
    direct = make()(large.clamp(0, 1))
    back = make(resize=256)(IMAGE)
    assert len(back) == len(direct)
    expected = (direct.keypoints + 0.5) / scale - 0.5
    torch.testing.assert_close(back.keypoints, expected, atol=1e-3, rtol=0)
    assert back.image_size.tolist() == [190, 150]


def test_grey_is_colour_with_equal_channels() -> None:
    grey = IMAGE[..., 1]
    network = make()
    assert torch.equal(network(grey).keypoints, network(np.repeat(grey[..., None], 3, 2)).keypoints)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (5, 5), (31, 33)])
def test_small_images(shape: tuple[int, int]) -> None:
    features = make("aliked-t16", detection_threshold=0.0)(collage(0, *shape))
    assert features.descriptors.shape == (len(features), 64)
    assert features.descriptors.isfinite().all()


def test_a_black_image_has_no_keypoints() -> None:
    features = make()(np.zeros((64, 64, 3), np.uint8))
    assert features.keypoints.shape == (0, 2) and features.descriptors.shape == (0, 128)


class Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that is made."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for value in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(value, Tensor):
                self.values = max(self.values, value.numel())
        return made


def test_no_tensor_is_larger_than_the_first_layer() -> None:
    """The map of all 128 channels is never made, however many keypoints there are."""
    image = collage(7, 512, 512)
    network = make(max_keypoints=None, detection_threshold=0.0)
    with Largest() as largest:
        features = network(image)
    assert len(features) > 3000
    assert largest.values == 16 * 512 * 512


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "aliked-x"}, "no ALIKED variant 'aliked-x'"),
        ({"max_keypoints": 0}, "max_keypoints is 0"),
        ({"detection_threshold": 1.0}, "detection_threshold is 1"),
        ({"min_keypoints": 2000}, "min_keypoints is 2000"),
        ({"nms_radius": 0}, "nms_radius is 0"),
        ({"nms_rounds": -1}, "nms_rounds is -1"),
        ({"resize": 8}, "resize is 8"),
    ],
)
def test_settings_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ALIKEDConfig(**options)  # type: ignore[arg-type]
