"""LightGlue: local feature matching with early exit and point pruning.

Lindenberger, Sarlin, Pollefeys: LightGlue: Local Feature Matching at Light Speed (ICCV 2023). The
names and layouts of the parameters are those of the official checkpoints. `lightglue_blocks` has
the attention, `lightglue_adaptive` the exit and the pruning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from matchers import operations
from matchers.assignment import stack_padded
from matchers.lightglue_adaptive import (
    AdaptiveSettings,
    LayerWeights,
    LightGluePrepared,
    match_adaptively,
)
from matchers.lightglue_blocks import (
    Assignment,
    Blocks,
    Confidence,
    Layer,
    PositionEncoding,
    TokenShape,
    infer_sizes,
    rename,
    rotary_table,
    split,
    widen,
)
from matchers.lightglue_config import (
    DEPTH_CONFIDENCE,
    WIDTH_CONFIDENCE,
    LightGlueConfig,
    confidence_of,
)
from matchers.lightglue_graphs import FirstBlock, LightGlueGraphs
from matchers.network import Network, check_fit, check_options, check_sides, check_single
from matchers.specs import MatcherSpec, Needs, Variant
from matchers.types import Adaptation, Features
from satgen.errors import InputError


@dataclass(frozen=True)
class LayerOutput:
    """What a layer says of B pairs, for training.

    Attributes:
        descriptors0, descriptors1: (B, M, dim) and (B, N, dim) tokens after the layer.
        log_assignment: (B, M+1, N+1), see `matchers.assignment.log_double_softmax`.
        confidence0, confidence1: (B, M) and (B, N), logits of the confidence classifier,
            whose gradients stop at the tokens; None for the last layer, which has none.
    """

    descriptors0: Tensor
    descriptors1: Tensor
    log_assignment: Tensor
    confidence0: Tensor | None
    confidence1: Tensor | None


@dataclass(frozen=True)
class LayerScores:
    """What the log assignments of L layers are made of, for B pairs: float32 at least.

    Attributes:
        similarity: (L, B, M, N), of padding too.
        matchability0, matchability1: (L, B, M) and (L, B, N) logits.
        mask0, mask1: (B, M) and (B, N) bool, False at padding; None: no padding.
        tokens: (L, T, dim), without gradients, for `LightGlue.layer_confidences`.
        shapes: of the tokens.
    """

    similarity: Tensor
    matchability0: Tensor
    matchability1: Tensor
    mask0: Tensor | None
    mask1: Tensor | None
    tokens: Tensor
    shapes: tuple[TokenShape, ...]


class LightGlue(Network):
    """The LightGlue network, as a `matchers.types.Matcher`.

    Weights are random until they are loaded. Runs in its parameters' type (`.half()`); positions,
    assignments and confidences are computed in float32 at least. `prepare` and `match` make no
    gradients, `layer_outputs` does.

    Args:
        config: see there.

    Attributes:
        graphs: whether layers are replayed as graphs (`lightglue_graphs`); None: on CUDA they are.
    """

    def __init__(self, config: LightGlueConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LightGlueConfig()
        dim, heads, count = config.dim, config.num_heads, config.num_layers
        self.input_proj: Any = nn.Identity()
        if config.projects:
            self.input_proj = nn.Linear(config.input_dim, dim)
        self.posenc = PositionEncoding(4 if config.scale_orientation else 2, dim // heads // 2)
        self.transformers: Any = nn.ModuleList(Layer(dim, heads) for _ in range(count))
        self.log_assignment: Any = nn.ModuleList(Assignment(dim) for _ in range(count))
        self.token_confidence: Any = nn.ModuleList(Confidence(dim) for _ in range(count - 1))
        self._blocks = Blocks()
        self.graphs: bool | None = None
        self._graphs = LightGlueGraphs()

    # -- matching ------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, features: Features) -> LightGluePrepared:
        """Compute what depends on one image alone: projection, position encoding, first self block.

        Raises:
            InputError: descriptors of another size; no scales and orientations where they are
                needed; an image size that is not positive.
        """
        if self._together([features]):
            return self.prepare_all([features])[0]
        weights = self.arranged_first()
        tokens, rotary, mask = self._encode(features)
        shape = TokenShape.of(tokens, mask)
        flat = self._blocks.own(tokens.flatten(0, 1), rotary.flatten(0, 1), weights, [shape])
        return LightGluePrepared(flat.view(tokens.shape), rotary, mask, features.batched)

    @torch.no_grad()
    def prepare_all(self, images: Sequence[Features]) -> list[LightGluePrepared]:
        """`prepare` of some images; those of one size together, where that is faster."""
        if self._together(images):
            how = self._first_of(images)
            with self._graphs.lock:
                prepared, sized = self._graphs.prepare(images, how)
                _refuse_sizes(images, sized)
            return [LightGluePrepared(tokens, rotary, None, False) for tokens, rotary in prepared]
        return [self.prepare(image) for image in images]

    def collate(self, prepared: Sequence[LightGluePrepared]) -> LightGluePrepared:
        """Images that were prepared one by one as a batch.

        Raises:
            InputError: none, or one that is a batch already.
        """
        check_single(prepared)
        tokens, mask = stack_padded([image.tokens[0] for image in prepared])
        rotary, _ = stack_padded([image.rotary[0] for image in prepared])
        counts = tuple(image.tokens.shape[1] for image in prepared)
        return LightGluePrepared(tokens, rotary, mask, True, counts)

    @torch.no_grad()
    def match(
        self,
        prepared0: LightGluePrepared,
        prepared1: LightGluePrepared,
        *,
        depth_confidence: float | EllipsisType | None = ...,
        width_confidence: float | EllipsisType | None = ...,
    ) -> Any:
        """Match two images, or each pair of two batches.

        Every pair leaves at its own layer and has its own keypoints pruned, as if it were alone.

        Args:
            prepared0, prepared1: of `prepare` or `collate`.
            depth_confidence, width_confidence: other values than the config's (`...`), for this
                call; None turns early exit or pruning off.

        Returns:
            `Matches` with `adaptation`, a list of them for batches. Of padded batches, indices
            are rows of the padded tensors.

        Raises:
            InputError: a batch and a single image, batches of different sizes, or a confidence
                out of range.
        """
        settings = self._settings(depth_confidence, width_confidence)
        check_sides(prepared0, prepared1)
        run: Any = match_adaptively
        if self._replays(prepared0.tokens.device) and all(
            all(side.tokens.shape[:2]) for side in (prepared0, prepared1)
        ):
            run = self._graphs.match
        found = run(self.arranged(), self._blocks, prepared0, prepared1, settings)
        return found if prepared0.batched else found[0]

    @torch.no_grad()
    def forward(
        self,
        features0: Features,
        features1: Features,
        **settings: Any,
    ) -> Any:
        """Prepare both images' features and match them, see `prepare` and `match`."""
        sides = (features0, features1)
        if not self._together(sides):
            return self.match(*map(self.prepare, sides), **settings)
        adapt, how = self._settings(**settings), self._first_of(sides)
        with self._graphs.lock:
            found, sized = self._graphs.match_images(
                sides, how, self.arranged(), self._blocks, adapt
            )
            _refuse_sizes(sides, sized)  # not before, for a GPU would be waited for
        return found[0]

    # -- training ------------------------------------------------------------------------------

    def layer_outputs(
        self, features0: Features, features1: Features, *, checkpoint: bool = False
    ) -> list[LayerOutput]:
        """The outputs of every layer, with gradients, for deep supervision (§3.4).

        Args:
            features0, features1: batched, of the same number of images. Their values are not
                looked at, for which a GPU would have to be waited for: image sizes must be over 0.
            checkpoint: recompute activations on the way back, to save memory.

        Returns:
            One for each layer. Nothing is pruned, and nothing leaves early.

        Raises:
            InputError: as `prepare`; features that are not batches of the same size.
        """
        shapes, masks, states = self._states(features0, features1, checkpoint)
        outputs = []
        for layer, x in enumerate(states):
            tokens0, tokens1 = split(x, shapes)
            assign = partial(self.log_assignment[layer], tokens0, tokens1, *masks)
            assignment = recompute(assign, use_reentrant=False) if checkpoint else assign()
            sure0 = sure1 = None
            if layer < self.config.num_layers - 1:
                sure0, sure1 = split(self.token_confidence[layer](x.detach()), shapes)
            outputs.append(LayerOutput(tokens0, tokens1, assignment, sure0, sure1))
        return outputs

    def layer_scores(self, features0: Features, features1: Features) -> LayerScores:
        """What the assignments of every layer are made of, with gradients: less than
        `layer_outputs`, and all that a loss needs.

        Args:
            features0, features1: see there.

        Raises:
            InputError: see there.
        """
        shapes, masks, states = self._states(features0, features1, False)
        with torch.autocast(states[0].device.type, enabled=False):
            x = widen(torch.stack(states))  # (L, T, dim)
            assign = self.log_assignment
            project = [layer.projection() for layer in assign]
            weight, bias = (widen(torch.stack(part)) for part in zip(*project, strict=True))
            projected0, projected1 = _parted(torch.baddbmm(bias[:, None], x, weight), shapes)
            match0, match1 = _parted(
                _logits(x, [layer.matchability for layer in assign])[..., None], shapes
            )
            similarity = projected0 @ projected1.mT
        return LayerScores(
            similarity,
            match0[..., 0],
            match1[..., 0],
            masks[0],
            masks[1],
            x.detach(),
            tuple(shapes),
        )

    def layer_confidences(self, scores: LayerScores) -> list[tuple[Tensor, Tensor]]:
        """Logits of the confidence classifiers, (B, M) and (B, N), of every layer but the last."""
        if self.config.num_layers == 1:
            return []
        with torch.autocast(scores.tokens.device.type, enabled=False):
            logits = _logits(scores.tokens[:-1], [c.token[0] for c in self.token_confidence])
        sides = (side[..., 0] for side in _parted(logits[..., None], scores.shapes))
        return list(zip(*(side.unbind(0) for side in sides), strict=True))

    def _states(
        self, features0: Features, features1: Features, checkpoint: bool
    ) -> tuple[list[TokenShape], list[Tensor | None], list[Tensor]]:
        """Shapes and masks of both sides, and the tokens (T, dim) after each layer."""
        if not (features0.batched and features1.batched and len(features0) == len(features1)):
            raise InputError("training takes two batches of the same number of images")
        sides = [self._encode(features, look=False) for features in (features0, features1)]
        x = torch.cat([tokens.flatten(0, 1) for tokens, _, _ in sides])
        x = x.to(self.posenc.Wr.weight.dtype)  # autocast projects the descriptors in bfloat16
        rotary = torch.cat([table.flatten(0, 1) for _, table, _ in sides])
        shapes = [TokenShape.of(tokens, mask) for tokens, _, mask in sides]

        def run(layer: int, x: Tensor) -> Tensor:
            module = self.transformers[layer]
            x = self._blocks.own(x, rotary, module.self_attn.weights(), shapes)
            return self._blocks.cross(x, module.cross_attn.weights(), *shapes)

        states = []
        for layer in range(self.config.num_layers):
            x = recompute(run, layer, x, use_reentrant=False) if checkpoint else run(layer, x)
            states.append(x)
        return shapes, [mask for _, _, mask in sides], states

    # -- weights -------------------------------------------------------------------------------

    @classmethod
    def from_checkpoint(cls, state: Mapping[str, Tensor], **options: Any) -> LightGlue:
        """The network that a checkpoint is of, with its weights, in evaluation mode.

        Sizes, layers and heads follow from the tensors. Read are the official checkpoints, older
        ones (`self_attn.N.…`), those of a model that contains LightGlue (`matcher.…` beside
        `extractor.…`), and our own.

        Args:
            state: tensors by name.
            options: `LightGlueConfig`'s fields that say how to adapt and filter.

        Raises:
            InputError: keys that are missing, unknown or of another shape; an option that the
                tensors decide, or that does not exist.
        """
        state = rename(state)
        try:
            inferred = infer_sizes(state)
        except KeyError as error:
            raise InputError(f"not LightGlue's weights: there is no {error.args[0]}") from None
        check_options(LightGlueConfig, inferred, options)
        model = cls(LightGlueConfig(**inferred, **options))
        model.load_weights(state)
        return model.eval()

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a checkpoint, in any of the forms that `from_checkpoint` reads, strictly.

        Raises:
            InputError: keys that are missing, unknown or of another shape.
        """
        state = rename(state)
        check_fit("LightGlue", self.state_dict(), state)
        self.load_state_dict(dict(state))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network, with `torch.compile`'s arguments.

        The attention blocks are compiled once for all sizes; on CUDA the graphs are of them.
        """
        self._blocks = self._blocks.compiled(*args, **{"dynamic": True, **kwargs})
        self._graphs = LightGlueGraphs()

    def _first_block(self) -> Any:
        return self.transformers[0].self_attn

    def _arrange(self) -> list[LayerWeights]:
        layers = []
        for i in range(self.config.num_layers):
            last = i == self.config.num_layers - 1
            sure = None if last else self.token_confidence[i]
            assign = self.log_assignment[i]
            layers.append(
                LayerWeights(
                    self.transformers[i].self_attn.weights(),
                    self.transformers[i].cross_attn.weights(),
                    *assign.projection(),
                    *assign.classifiers(sure),
                )
            )
        return layers

    def _replays(self, device: torch.device) -> bool:
        """Whether graphs are used."""
        return device.type == "cuda" if self.graphs is None else self.graphs

    def _together(self, images: Sequence[Features]) -> bool:
        """Whether images can be prepared by one graph, and are."""
        some = all(len(image) and not image.batched for image in images)
        return some and len(images) > 0 and self._replays(images[0].device)

    def _settings(
        self,
        depth_confidence: float | EllipsisType | None = ...,
        width_confidence: float | EllipsisType | None = ...,
    ) -> AdaptiveSettings:
        """How to match; `...` as the configuration has it.

        Raises:
            InputError: a confidence out of range.
        """
        config = self.config
        depth = config.depth_confidence if depth_confidence is ... else depth_confidence
        width = config.width_confidence if width_confidence is ... else width_confidence
        return AdaptiveSettings(
            confidence_of("depth_confidence", depth),
            confidence_of("width_confidence", width),
            config.filter_threshold,
            config.prune_min_keypoints,
        )

    def _first_of(self, images: Sequence[Features]) -> FirstBlock:
        """What graphs make of images that fit this network; their sizes are not looked at."""
        self._check(images, values=False)
        weights = self.arranged_first()

        def own(x: Tensor, rotary: Tensor, shape: TokenShape) -> Tensor:
            return self._blocks.own(x, rotary, weights, [shape])

        others = [self.posenc.Wr.weight, *self.input_proj.parameters()]
        return FirstBlock(self._encoded, own, weights, others)

    def _encode(
        self, features: Features, *, look: bool = True
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Projected descriptors (B, N, dim), rotary table (B, N, 2·dim/heads), mask or None.

        Values are checked if they are to be looked at, and a mask without padding is left out.
        """
        self._check([features], values=look)
        tokens, rotary = self._encoded(features)
        mask = features.mask
        return tokens, rotary, None if mask is None or (look and bool(mask.all())) else mask

    def _check(self, images: Sequence[Features], *, values: bool = True) -> None:
        """Refuse features that are not for this network; `values`: look at numbers as well."""
        for features in images:
            if features.descriptors.shape[-1] != self.config.input_dim:
                raise InputError(
                    f"descriptors of {features.descriptors.shape[-1]} numbers: this LightGlue "
                    f"takes {self.config.input_dim}"
                )
            if self.config.scale_orientation and (
                features.scales is None or features.orientations is None
            ):
                raise InputError(
                    "features without scales and orientations: this LightGlue needs them"
                )
        if not values:
            return
        sizes = torch.cat([features.image_size.reshape(-1, 2) for features in images])
        _refuse_sizes(images, (sizes > 0).all())

    def _encoded(self, features: Features) -> tuple[Tensor, Tensor]:
        """Projected descriptors and rotary table, of features that were checked."""
        frequencies = widen(self.posenc.Wr.weight)
        size = features.image_size.to(frequencies.dtype)[..., None, :]
        positions = (features.keypoints.to(size.dtype) - size / 2) / (
            size.amax(-1, keepdim=True) / 2
        )
        if self.config.scale_orientation:
            assert features.scales is not None and features.orientations is not None
            extra = torch.stack([features.scales, features.orientations], -1)
            positions = torch.cat([positions, extra.to(size.dtype)], -1)
        dtype = self.posenc.Wr.weight.dtype
        rotary = rotary_table(positions, frequencies).to(dtype)
        tokens = self.input_proj(features.descriptors.to(dtype))
        return (tokens, rotary) if features.batched else (tokens[None], rotary[None])


def _logits(x: Tensor, classifiers: Sequence[nn.Linear]) -> Tensor:
    """(L, T) of tokens (L, T, dim), each layer's by its own classifier of one output."""
    weight = widen(torch.stack([c.weight for c in classifiers])).mT
    bias = widen(torch.stack([c.bias for c in classifiers]))
    return torch.baddbmm(bias[:, None], x, weight)[..., 0]


def _refuse_sizes(images: Sequence[Features], sized: Tensor) -> None:
    """Refuse images unless they are all `sized`, ()."""
    if not bool(sized):
        sizes = torch.cat([features.image_size.reshape(-1, 2) for features in images])
        raise InputError(f"image_size {sizes.tolist()}: width and height must be over 0")


def _parted(values: Tensor, shapes: Sequence[TokenShape]) -> tuple[Tensor, Tensor]:
    """(L, T, C) as (L, B, N, C) of either side."""
    sides = torch.split(values, [shape.images * shape.length for shape in shapes], 1)
    first, second = (
        side.view(len(values), shape.images, shape.length, -1)
        for side, shape in zip(sides, shapes, strict=True)
    )
    return first, second


# -- what others have to know of it --------------------------------------------------------------

SWEEPS = {
    "depth-confidence": (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99),
    "width-confidence": (0.7, 0.9, 0.95, 0.99, 0.999),
}
"""Values of either confidence that the benchmark's sweeps run."""


def _variant(depth: float | None, width: float | None) -> Variant:
    """LightGlue with one or the other confidence; None: off."""
    options = (("depth_confidence", depth), ("width_confidence", width))
    if depth is None and width is None:
        return Variant("full depth", "full", options, setting="full depth")
    alpha, sure = ("off" if value is None else f"{value:g}" for value in (depth, width))
    swept = (depth, width) != (DEPTH_CONFIDENCE, WIDTH_CONFIDENCE)
    label = f"α {alpha}, width {sure}" if swept else "adaptive"
    setting = f"α {alpha}, w {sure}"
    return Variant(label, f"d{alpha}-w{sure}", options, True, swept, setting)


def _needs(model: LightGlue) -> Needs:
    return Needs(model.config.input_dim, model.config.scale_orientation)


def _operations(
    model: LightGlue, features0: Features, features1: Features, adaptation: Adaptation | None
) -> tuple[float, float]:
    """Operations spent on a pair as it was matched, and those at full depth."""
    assert adaptation is not None
    config, alive = model.config, adaptation.alive
    spent = operations.lightglue(
        alive,
        config,
        exit_tests=confidence_of("depth_confidence", config.depth_confidence) is not None,
        pruning=confidence_of("width_confidence", config.width_confidence) is not None,
    )
    whole = [(len(features0), len(features1))] * (adaptation.num_layers if alive else 0)
    full = operations.lightglue(whole, config, exit_tests=False, pruning=False)
    return spent.total, full.total


SPEC = MatcherSpec(
    "lightglue",
    from_checkpoint=LightGlue.from_checkpoint,
    config=LightGlueConfig,
    needs=_needs,
    operations=_operations,
    variants=(_variant(None, None), _variant(DEPTH_CONFIDENCE, WIDTH_CONFIDENCE)),
    sweeps={
        "depth-confidence": tuple(
            _variant(value, WIDTH_CONFIDENCE) for value in SWEEPS["depth-confidence"]
        ),
        "width-confidence": tuple(
            _variant(DEPTH_CONFIDENCE, value) for value in SWEEPS["width-confidence"]
        ),
    },
    training="matchers.training.lightglue:TRAINING",
    onnx="matchers.onnx.lightglue:graphs",
)
