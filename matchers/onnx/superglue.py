"""SuperGlue as an ONNX graph."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor, nn

from matchers.onnx.assignment import Held, attention, mutual_matches, real_rows
from matchers.onnx.graph import OnnxGraph, OnnxOptions
from matchers.onnx.lightglue import matcher_inputs, matcher_notes
from matchers.superglue import SuperGlue
from matchers.superglue_blocks import AttentionWeights

_WIDER = 1.4
"""SuperGlue divides by 0.7 times the longer side, LightGlue, whose inputs these are, by half."""


class SuperGlueGraph(nn.Module):
    """The matches of two images' features.

    Args:
        network: with its weights.
        padded: descriptors of nothing but zeros are padding.
    """

    def __init__(self, network: SuperGlue, padded: bool) -> None:
        super().__init__()
        self.network: Any = network
        self.weights: Any = nn.ModuleList(Held(layer) for layer in network.arranged())
        self.padded = padded

    def forward(
        self,
        kpts0: Tensor,
        kpts1: Tensor,
        desc0: Tensor,
        desc1: Tensor,
        scores0: Tensor,
        scores1: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Matches (S, 2) int64 and their scores (S,).

        Args:
            kpts0, kpts1: (1, M, 2) and (1, N, 2), normalised.
            desc0, desc1: (1, M, D) and (1, N, D).
            scores0, scores1: (1, M) and (1, N), of the detector.
        """
        net = self.network
        reals = [real_rows(desc[0]) if self.padded else None for desc in (desc0, desc1)]
        x0 = self._encode(kpts0[0], desc0[0], scores0[0])
        x1 = self._encode(kpts1[0], desc1[0], scores1[0])
        for number, held in enumerate(self.weights):
            weights: AttentionWeights = held()
            (q0, k0, v0), (q1, k1, v1) = _project(x0, weights), _project(x1, weights)
            if number % 2:
                message0 = attention(q0, k1, v1, reals[1])
                message1 = attention(q1, k0, v0, reals[0])
            else:
                message0 = attention(q0, k0, v0, reals[0])
                message1 = attention(q1, k1, v1, reals[1])
            x0, x1 = _feed(x0, message0, weights), _feed(x1, message1, weights)
        scores = net.final_proj(x0) @ net.final_proj(x1).T * net.config.descriptor_dim**-0.5
        log = log_optimal_transport(
            scores, net.bin_score, net.config.sinkhorn_iterations, reals[0], reals[1]
        )
        return mutual_matches(log, net.config.match_threshold, *reals)

    def _encode(self, kpts: Tensor, desc: Tensor, scores: Tensor) -> Tensor:
        places = torch.cat([kpts / _WIDER, scores[:, None]], 1)
        encoded: Tensor = self.network.input_proj(desc) + self.network.kenc.folded(places)
        return encoded


def _project(x: Tensor, weights: AttentionWeights) -> list[Tensor]:
    """Queries, keys and values of tokens (N, dim), each (N, H, C)."""
    channels = weights.project.shape[1] // (3 * weights.heads)
    qkv = (x @ weights.project + weights.project_bias).view(x.shape[0], 3, weights.heads, channels)
    return [qkv[:, i] for i in range(3)]


def _feed(x: Tensor, message: Tensor, weights: AttentionWeights) -> Tensor:
    hidden = x @ weights.up_token + message @ weights.up_message + weights.up_bias
    return x + hidden.relu() @ weights.down + weights.down_bias


def log_optimal_transport(
    scores: Tensor,
    bin_score: Tensor,
    iterations: int,
    real0: Tensor | None,
    real1: Tensor | None,
) -> Tensor:
    """`matchers.sinkhorn.log_optimal_transport` of one pair (M, N), in the log domain, without the
    dustbins' row and column."""
    m, n = scores.shape
    there0 = torch.cat([_there(scores[:, :0].sum(1), real0), bin_score.new_ones(1)])
    there1 = torch.cat([_there(scores[:0].sum(0), real1), bin_score.new_ones(1)])
    count0, count1 = there0.sum() - 1, there1.sum() - 1
    border = bin_score.expand(1)
    z = torch.cat([scores, border[None].expand(m, 1)], 1)
    z = torch.cat([z, border[None].expand(1, n + 1)], 0)
    z = torch.where((there0[:, None] * there1) > 0.0, z, -1e30)
    log0 = torch.cat([torch.zeros_like(there0[:-1]), count1.clamp(min=1e-30).log()[None]])
    log1 = torch.cat([torch.zeros_like(there1[:-1]), count0.clamp(min=1e-30).log()[None]])
    u, v = torch.zeros_like(log0), torch.zeros_like(log1)
    for _ in range(iterations):
        u = (log0 - torch.logsumexp(z + v, 1)) * there0
        v = (log1 - torch.logsumexp(z + u[:, None], 0)) * there1
    return (z + u[:, None] + v)[:-1, :-1]


def _there(like: Tensor, real: Tensor | None) -> Tensor:
    """1 at keypoints, 0 at padding: (N,) as numbers."""
    return torch.ones_like(like) if real is None else real.to(like.dtype)


def graphs(network: SuperGlue, options: OnnxOptions) -> list[OnnxGraph]:
    """SuperGlue's graph."""
    names = ("kpts", "desc", "scores")
    trials, dynamic = matcher_inputs(network, names, options, network.config.descriptor_size)
    notes = matcher_notes(options) | {
        "scores0, scores1": "(1, points) float32, the detector's",
        "match_threshold": json.dumps(network.config.match_threshold),
    }
    graph = SuperGlueGraph(network, options.points is not None)
    return [OnnxGraph("", graph, trials, ("matches0", "mscores0"), dynamic, notes)]
