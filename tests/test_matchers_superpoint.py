"""matchers.features.superpoint: against transformers' SuperPoint, with shared random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import SuperPointConfig as TheirConfig
from transformers import SuperPointForKeypointDetection

from matchers.features.superpoint import SuperPoint, SuperPointConfig
from matchers.types import Features
from satgen.errors import InputError
from tests.pictures import collage

torch.set_num_threads(1)
NAMES = {f"encoder.conv_blocks.{i}.conv_{k}": f"conv{i + 1}{k}" for i in range(4) for k in "ab"} | {
    "keypoint_decoder.conv_score_a": "convPa",
    "keypoint_decoder.conv_score_b": "convPb",
    "descriptor_decoder.conv_descriptor_a": "convDa",
    "descriptor_decoder.conv_descriptor_b": "convDb",
}


@pytest.fixture(scope="module")
def pair() -> tuple[SuperPointForKeypointDetection, dict[str, Tensor]]:
    """Their network with random weights, peaked enough to detect, and the official key names."""
    torch.manual_seed(0)
    other = SuperPointForKeypointDetection(TheirConfig()).eval()
    state = {}
    for name, value in other.state_dict().items():
        module, kind = name.rsplit(".", 1)
        value.normal_(0, 1.6 / np.sqrt(value[0].numel()) if kind == "weight" else 0.05)
        if module.endswith("score_b"):
            value *= 6
        state[f"{NAMES[module]}.{kind}"] = value
    return other, state


def ours(state: dict[str, Tensor], **options: object) -> SuperPoint:
    network = SuperPoint(SuperPointConfig(**options))  # type: ignore[arg-type]
    network.load_state_dict(state, strict=True)
    return network


def test_the_official_names_and_shapes() -> None:
    shapes = {name: tuple(v.shape) for name, v in SuperPoint().state_dict().items()}
    assert shapes["conv1a.weight"] == (64, 1, 3, 3) and shapes["convPb.bias"] == (65,)
    assert sum(v.numel() for v in SuperPoint().state_dict().values()) == 1_300_865
    assert len(shapes) == 24


@pytest.mark.parametrize("size", [(96, 128), (101, 90)])
def test_agrees_with_transformers(
    pair: tuple[SuperPointForKeypointDetection, dict[str, Tensor]], size: tuple[int, int]
) -> None:
    other, state = pair
    image = collage(0, *size)[..., 0]
    with torch.no_grad():
        batch = torch.from_numpy(image)[None, None].float() / 255
        out = other(batch.expand(1, 3, -1, -1))
    place = out.keypoints[0] * torch.tensor([size[1], size[0]])
    # transformers forgets the lower and the right border
    last = torch.tensor([size[1] // 8 * 8 - 4.5, size[0] // 8 * 8 - 4.5])
    valid = out.mask[0].bool() & (place < last).all(1)
    found = ours(state, max_keypoints=None)(image)
    assert len(found) == int(valid.sum()) > 20
    distance, match = torch.cdist(found.keypoints.double(), place[valid].double()).min(1)
    assert distance.max() < 1e-3 and len(match.unique()) == len(match)
    torch.testing.assert_close(found.scores, out.scores[0][valid][match], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        found.descriptors, out.descriptors[0][valid][match], atol=1e-4, rtol=0
    )
    assert found.image_size.tolist() == [size[1], size[0]]
    best = ours(state, max_keypoints=17)(image)
    assert torch.equal(best.keypoints, found.keypoints[:17]) and (best.scores.diff() <= 0).all()


def test_masked_features_are_those_of_the_whole_image(
    pair: tuple[SuperPointForKeypointDetection, dict[str, Tensor]],
) -> None:
    """But for rounding: the margin is larger than what the network sees."""
    image = collage(1, 200, 269)[..., 0]
    mask = np.zeros(image.shape, bool)
    mask[90:125, 120:170] = True
    network = ours(pair[1], max_keypoints=None)
    whole, masked = network(image), network(image, mask=mask)
    pixel = whole.keypoints.long()
    inside = whole.select(torch.from_numpy(mask)[pixel[:, 1], pixel[:, 0]])
    assert len(inside) == len(masked) > 5
    order = [np.lexsort(f.keypoints.numpy().T) for f in (inside, masked)]
    for name in ("keypoints", "scores", "descriptors"):
        a, b = (getattr(f, name)[o] for f, o in zip((inside, masked), order, strict=True))
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def assert_same(one: Features, other: Features) -> None:
    """Equal but for rounding, in whatever order."""
    assert len(one) == len(other) > 5
    order = [np.lexsort(f.keypoints.numpy().T) for f in (one, other)]
    for name in ("keypoints", "scores", "descriptors"):
        a, b = (getattr(f, name)[o] for f, o in zip((one, other), order, strict=True))
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_tiles_and_batches_are_the_whole_image_alone(
    pair: tuple[SuperPointForKeypointDetection, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [collage(seed, 200, 269)[..., 0] for seed in range(3)]
    masks = [np.zeros((200, 269), bool) for _ in images]
    masks[0][10:60, 20:90] = masks[1][100:150, 110:180] = True
    network = ours(pair[1], max_keypoints=200)
    alone = [network(image, mask=mask) for image, mask in zip(images, masks, strict=True)]
    whole = network(images[0])
    monkeypatch.setattr("matchers.features.superpoint.TOGETHER", 1 << 24)
    together = network.extract(images, masks)
    for i in (0, 1):
        assert_same(together[i], alone[i])
    assert len(together[2]) == len(alone[2]) == 0
    monkeypatch.setattr("matchers.boxes.WHOLE", 1 << 12)
    monkeypatch.setattr("matchers.boxes.TILE", 96)
    assert_same(network(images[0]), whole)


def test_a_box_is_the_image_cut_out(
    pair: tuple[SuperPointForKeypointDetection, dict[str, Tensor]],
) -> None:
    image = collage(2, 120, 140)
    network = ours(pair[1])
    part, boxed = network(image[20:100, 11:130]), network(image, box=(11, 20, 119, 80))
    assert torch.equal(boxed.keypoints, part.keypoints + torch.tensor([11.0, 20.0]))
    assert torch.equal(boxed.descriptors, part.descriptors)


def test_resizing_brings_keypoints_back(
    pair: tuple[SuperPointForKeypointDetection, dict[str, Tensor]],
) -> None:
    image = collage(3, 96, 128)[..., 0]
    found: Features = ours(pair[1], resize=256)(image)
    place = (found.keypoints + 0.5) * 2 - 0.5
    torch.testing.assert_close(place, place.round(), atol=1e-4, rtol=0)
    assert len(found) and found.keypoints[:, 0].max() < 128


@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (8, 8), (9, 70)])
def test_small_images(
    pair: tuple[SuperPointForKeypointDetection, dict[str, Tensor]], shape: tuple[int, int]
) -> None:
    features = ours(pair[1])(collage(0, *shape))
    assert features.descriptors.shape == (len(features), 256)
    assert features.descriptors.isfinite().all()
    nothing = ours(pair[1])(collage(0, *shape), mask=np.zeros(shape, bool))
    assert nothing.descriptors.shape == (0, 256)


@pytest.mark.parametrize(
    "options",
    [
        {"max_keypoints": 0},
        {"detection_threshold": 1.0},
        {"nms_radius": -1},
        {"border": -1},
        {"resize": 4},
    ],
)
def test_settings_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        SuperPointConfig(**options)  # type: ignore[arg-type]
