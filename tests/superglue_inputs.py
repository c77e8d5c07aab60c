"""Weights and features for SuperGlue's tests that follow from a seed alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from matchers.superglue import SuperGlueConfig
from matchers.types import Features

CONFIG = SuperGlueConfig(
    descriptor_dim=64,
    keypoint_encoder=(16, 32),
    num_layers=6,
    sinkhorn_iterations=50,
    match_threshold=0.0,
)
SIZE = (640.0, 480.0)


def random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Tensors of these shapes, by name; statistics of BatchNorm are random too."""
    rng = np.random.RandomState(seed)
    weights = {}
    for name in sorted(shapes):
        shape = shapes[name]
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(1)
            continue
        values = rng.standard_normal(shape if shape else (1,)).astype(np.float32).reshape(shape)
        if name.endswith("running_var"):
            values = 0.5 + values**2
        elif name.endswith(("running_mean", "bias")):
            values = 0.2 * values
        elif len(shape) >= 2:
            values = values * (0.8 / np.sqrt(shape[1]))
        elif name.endswith("weight"):  # of BatchNorm
            values = 1.0 + 0.2 * values
        weights[name] = torch.from_numpy(np.array(values))
    return weights


def random_features(count: int, seed: int, dim: int = CONFIG.descriptor_dim) -> Features:
    """Keypoints anywhere in an image of `SIZE`, with descriptors of length 2."""
    rng = np.random.RandomState(seed)
    keypoints = rng.uniform(0.0, 1.0, (count, 2)) * (np.array(SIZE) - 1.0)
    descriptors = rng.standard_normal((count, dim))
    descriptors *= 2.0 / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-9)
    return Features(
        keypoints=torch.from_numpy(keypoints.astype(np.float32)),
        scores=torch.from_numpy(rng.uniform(0.0, 1.0, count).astype(np.float32)),
        descriptors=torch.from_numpy(descriptors.astype(np.float32)),
        image_size=torch.tensor(SIZE),
    )
