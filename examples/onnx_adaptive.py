"""LightGlue's early exit and pruning with onnxruntime alone: a loop over the files of its layers.

satgen weights --export onnx lightglue-sift --adaptive
python examples/onnx_adaptive.py lightglue-sift-adaptive a.png b.png
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime


class Adaptive:
    """Matches of two images' features, each {"kpts": …, "desc": …} as the files' metadata says."""

    def __init__(self, folder, depth_confidence=0.95, width_confidence=0.99):
        self.files = {p.stem: onnxruntime.InferenceSession(p) for p in Path(folder).glob("*.onnx")}
        self.depth, self.width = depth_confidence, width_confidence

    def __call__(self, first, second):
        (x0, e0), (x1, e1) = (self.files["encode"].run(None, side) for side in (first, second))
        rows0, rows1 = np.arange(x0.shape[1]), np.arange(x1.shape[1])
        total, number = len(rows0) + len(rows1), 0
        while len(rows0) and len(rows1):
            number += 1
            layer = self.files[f"layer-{number}"]
            given = {"tokens0": x0, "tokens1": x1, "encoding0": e0, "encoding1": e1}
            x0, x1, *heads = layer.run(None, given)
            sure = float(layer.get_modelmeta().custom_metadata_map.get("exit_threshold", "nan"))
            # the last layer has no heads; what was pruned counts as sure
            if not heads or 1 - sum((c < sure).sum() for c in heads[:2]) / total > self.depth:
                name = f"assign-{number}"
                found, scores = self.files[name].run(None, {"tokens0": x0, "tokens1": x1})
                return np.stack([rows0[found[:, 0]], rows1[found[:, 1]]], 1), scores, number
            keep0, keep1 = ((heads[i] <= sure) | (heads[i + 2] > 1 - self.width) for i in (0, 1))
            rows0, x0, e0 = rows0[keep0[0]], x0[:, keep0[0]], e0[:, keep0[0]]
            rows1, x1, e1 = rows1[keep1[0]], x1[:, keep1[0]], e1[:, keep1[0]]
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32), number


def inputs(features):
    """Features of satgen as the files take them: normalised by the longer side."""
    size = features.image_size
    given = {"kpts": (features.keypoints - size / 2) / (size.max() / 2)}
    given["desc"] = features.descriptors
    if features.scales is not None:
        given |= {"scales": features.scales, "oris": features.orientations}
    return {name: value.numpy()[None] for name, value in given.items()}


if __name__ == "__main__":
    from matchers.registry import load_features

    find = load_features("sift", max_keypoints=512)
    matches, scores, layer = Adaptive(sys.argv[1])(*(inputs(find(p)) for p in sys.argv[2:4]))
    print(f"{len(matches)} matches after layer {layer}")
