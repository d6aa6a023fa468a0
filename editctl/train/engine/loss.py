"""The one loss of every method: a weighted negative log-likelihood. Pure functions of tensors.

Shapes: N tokens with a coefficient in a row, V vocabulary.

Every normaliser is a linear scale, so it is folded into one coefficient per token before any model runs: the loss of
a step is the sum over its tokens of coefficient x negative log-likelihood, however the step is cut into rows.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from editctl.tokens import Weighted
from editctl.train.engine.groups import Group


def coefficients(groups: Sequence[Group], normaliser: str) -> list[list[list[float]]]:
    """Coefficient of each target token, by group and example, for one optimizer step.

    tokens: one mean over all weighted tokens of the step (plain SFT);
    target: mean over the example's target tokens, then over questions (the EDIT authors' code);
    weighted: divided by the sum of absolute weights of the step;
    sum: summed over tokens, mean over questions (the formula in the paper).
    """
    scale = _step_scale(groups, normaliser)
    return [
        [
            [
                weight * example.share * scale / (example.whole if normaliser == "target" else 1)
                for weight in example.weights
            ]
            for example in group.examples
        ]
        for group in groups
    ]


def _step_scale(groups: Sequence[Group], normaliser: str) -> float:
    if normaliser in ("target", "sum"):
        return 1 / len(groups)
    examples = [example for group in groups for example in group.examples]
    return 1 / sum(_mass(example, normaliser) for example in examples)


def _mass(example: Weighted, normaliser: str) -> float:
    if normaliser == "tokens":
        return sum(weight != 0 for weight in example.weights)
    return sum(abs(weight * example.share) for weight in example.weights)


def token_losses(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Negative log-likelihood of each target token, in nats; (N,)."""
    return torch.nn.functional.cross_entropy(logits_NV.float(), targets_N, reduction="none")


def weighted_loss(losses_N: Tensor, coefficients_N: Tensor) -> Tensor:
    """Sum of coefficient x loss."""
    return (losses_N * coefficients_N).sum()
