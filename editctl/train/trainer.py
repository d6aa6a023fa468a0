"""transformers.Trainer with our loss: a step is a whole number of questions, run row by row.

Optimizer, clipping, mixed precision, devices and trackers are the Trainer's; what a step is and what its loss is are
ours.
"""

import contextlib
import inspect
import math
import time
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback

from editctl.errors import EditctlError
from editctl.train.batch import Row, Step
from editctl.train.loss import token_losses, weighted_loss


@dataclass(slots=True)
class Parts:
    """Sums over one step, for the log: nats and weighted tokens of the right and of the wrong side."""

    loss: float = 0.0
    right_nats: float = 0.0
    right_tokens: int = 0
    wrong_nats: float = 0.0
    wrong_tokens: int = 0
    tokens: int = 0

    def add(self, other: "Parts") -> None:
        """Add another row's sums."""
        for part in fields(Parts):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))

    @property
    def right(self) -> float | None:
        """Mean loss of the right side's weighted tokens, nats a token."""
        return self.right_nats / self.right_tokens if self.right_tokens else None

    @property
    def wrong(self) -> float | None:
        """Mean loss of the wrong side's weighted tokens, nats a token."""
        return self.wrong_nats / self.wrong_tokens if self.wrong_tokens else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Learning rate over a stage: a linear warm-up, then one of four shapes."""

    shape: str
    """epochs: a factor after each epoch, as published; linear or cosine: down to 0 at the end; constant."""
    warmup_steps: int
    steps: int
    steps_per_epoch: int
    decay: float
    """The factor of shape epochs."""

    def factor(self, step: int) -> float:
        """Factor on the peak rate for the step-th update (from 0)."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        left = max(0.0, (self.steps - step) / max(1, self.steps - self.warmup_steps))
        if self.shape == "linear":
            return left
        if self.shape == "cosine":
            return (1 - math.cos(math.pi * left)) / 2
        return 1.0 if self.shape == "constant" else float(self.decay ** (step // self.steps_per_epoch))


@dataclass(slots=True)
class Watch:
    """What one step came to, and what it must not come to."""

    stage: str
    wrong_limit: float | None = None
    parts: Parts = field(default_factory=Parts)
    total_tokens: int = 0

    def check(self, step: Step) -> None:
        """Raises EditctlError, with the step's questions, when the loss is no number or the wrong side runs away."""
        ids = ", ".join(step.question_ids[:8]) + (", ..." if len(step.question_ids) > 8 else "")
        if not math.isfinite(self.parts.loss):
            raise EditctlError(f"stage {self.stage}: the loss is {self.parts.loss}; questions of the step: {ids}")
        if self.wrong_limit is not None and self.parts.wrong is not None and self.parts.wrong > self.wrong_limit:
            raise EditctlError(
                f"stage {self.stage}: the wrong side runs away ({self.parts.wrong:.1f} nats a token, limit "
                f"{self.wrong_limit:g}); lower beta or the learning rate. Questions of the step: {ids}"
            )


class WeightedTrainer(Trainer):
    """Trains on Steps."""

    def __init__(self, *args: Any, schedule: Schedule, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.schedule = schedule
        self.watch = watch
        self.takes_places = _takes_places(self.model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The stage's own schedule."""
        if getattr(self, "lr_scheduler", None) is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, self.schedule.factor)
        return self.lr_scheduler

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of every row of one step; the step's loss, without its graph."""
        step: Step = inputs["step"]
        model.train()
        parts = Parts(tokens=step.tokens)
        for number, row in enumerate(step.rows):
            last = number == len(step.rows) - 1
            # Gradients are exchanged between processes once a step, at its last row.
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss, row_parts = self.compute_loss(model, {"row": row}, return_outputs=True)
                self.accelerator.backward(loss)
            parts.add(row_parts)
        self.watch.parts = parts
        self.watch.total_tokens += step.tokens
        self.watch.check(step)
        return torch.tensor(parts.loss, device=self.args.device)

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """The loss of one row, and its parts where asked for."""
        row = _to(inputs["row"], self.args.device)
        losses = token_losses(self._logits(model, row), row.targets_N)
        loss = weighted_loss(losses, row.coefficients_N)
        return (loss, _parts(losses.detach(), row, loss)) if return_outputs else loss

    def _logits(self, model: Any, row: Row) -> Tensor:
        """Logits from which the tokens that count are predicted, (N, V); only their places see the model's head."""
        inputs = {"input_ids": row.ids_BT, "attention_mask": row.mask_BT, "use_cache": False}
        if self.takes_places:
            logits_BKV = model(**inputs, logits_to_keep=row.places_K).logits
        else:
            logits_BKV = model(**inputs).logits[:, row.places_K]
        return logits_BKV.flatten(0, 1)[row.picked_N]


def _takes_places(model: Any) -> bool:
    """Whether a model's forward can leave out the logits that nobody needs."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(inner.forward).parameters


def _to(row: Row, device: Any) -> Row:
    return replace(row, **{name: getattr(row, name).to(device) for name in Row.__slots__})


def _parts(losses: Tensor, row: Row, loss: Tensor) -> Parts:
    wrong_nats = torch.where(row.wrong_N, losses, 0.0).sum()
    figures = torch.stack([loss.detach(), losses.sum(), wrong_nats, row.wrong_N.sum()])
    total, nats, wrong, tokens = figures.tolist()  # one transfer from the device
    return Parts(
        loss=total,
        right_nats=nats - wrong,
        right_tokens=len(losses) - int(tokens),
        wrong_nats=wrong,
        wrong_tokens=int(tokens),
    )


class Report(TrainerCallback):
    """Hands each step's figures to the run: history for the run folder, a line for the progress bar."""

    def __init__(self, watch: Watch, history: list[dict[str, Any]], show: Any) -> None:
        self.watch = watch
        self.history = history
        self.show = show
        self.clock = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Called after each optimizer step with the Trainer's own figures."""
        if not logs or "grad_norm" not in logs:
            return
        if not math.isfinite(logs["grad_norm"]):
            raise EditctlError(
                f"stage {self.watch.stage}: the gradient is {logs['grad_norm']} at update {state.global_step}; "
                "lower the learning rate, or train in float32"
            )
        parts = self.watch.parts
        now = time.monotonic()
        spent, self.clock = max(now - self.clock, 1e-9), now
        record = {
            "stage": self.watch.stage,
            "step": state.global_step,
            "epoch": round(state.epoch or 0.0, 4),
            "loss": parts.loss,
            "right": parts.right,
            "wrong": parts.wrong,
            "grad_norm": float(logs["grad_norm"]),
            "learning_rate": logs["learning_rate"],
            "tokens": parts.tokens,
            "tokens_per_second": round(parts.tokens / spent, 1),
        }
        self.history.append(record)
        self.show(record)
