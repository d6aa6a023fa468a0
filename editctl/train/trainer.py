"""transformers.Trainer with our loss: a step is a whole number of questions, run row by row.

Optimizer, clipping, mixed precision, devices and trackers are the Trainer's; what a step is and what its loss is are
ours.
"""

import contextlib
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
    """Learning rate over a stage: a linear warm-up, then a factor after each epoch."""

    warmup_steps: int
    steps_per_epoch: int
    decay: float

    def factor(self, step: int) -> float:
        """Factor on the peak rate for the step-th update (from 0)."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        return float(self.decay ** (step // self.steps_per_epoch))


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
        logits = model(input_ids=row.ids_BT, attention_mask=row.mask_BT, use_cache=False).logits  # (B, T, V)
        losses = token_losses(logits, row.ids_BT)
        loss = weighted_loss(losses, row.coefficients_BT)
        return (loss, _parts(losses.detach(), row, loss)) if return_outputs else loss


def _to(row: Row, device: Any) -> Row:
    return replace(row, **{name: getattr(row, name).to(device) for name in Row.__slots__})


def _parts(losses: Tensor, row: Row, loss: Tensor) -> Parts:
    counted = row.coefficients_BT != 0
    wrong = counted & row.wrong_B[:, None]
    right = counted & ~row.wrong_B[:, None]
    return Parts(
        loss=float(loss.detach()),
        right_nats=float(losses[right].sum()),
        right_tokens=int(right.sum()),
        wrong_nats=float(losses[wrong].sum()),
        wrong_tokens=int(wrong.sum()),
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
