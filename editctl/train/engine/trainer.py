"""transformers.Trainer with our loss: a step is a whole number of questions, run row by row.

Optimizer, clipping, mixed precision, devices, sharding and trackers are the Trainer's; what a step is, what its loss is
and what a checkpoint holds are ours.
"""

import contextlib
import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME

from editctl.errors import UsageError
from editctl.train.engine.batch import Collator, Row, Step
from editctl.train.engine.groups import Group
from editctl.train.engine.loss import token_losses, weighted_loss
from editctl.train.engine.masks import Attention, masks
from editctl.train.engine.schedule import Schedule
from editctl.train.engine.shards import check_shards, launched_sharded, spread_on_cpu
from editctl.train.engine.watch import Parts, Watch
from editctl.train.engine.weights import load_trainable, save_trainable


class Updates(Dataset[list[Group]]):
    """The questions of each update, as a data set for torch."""

    def __init__(self, order: Sequence[list[Group]]) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: int) -> list[Group]:
        return self.order[step]


class WeightedTrainer(Trainer):
    """Trains on Steps. The data set holds updates: all of a stage, in order, each seen by every process."""

    def __init__(
        self,
        *args: Any,
        collator: Collator,
        schedule: Schedule,
        watch: Watch,
        attention: Attention | None,
        **kwargs: Any,
    ) -> None:
        """`attention`: how the model takes masks of packed rows; None for padded rows."""
        super().__init__(*args, **kwargs)
        self.collator = collator
        self.schedule = schedule
        self.watch = watch
        self.attention = attention

    def create_accelerator_and_postprocess(self) -> None:
        """The Trainer's, and weights spread on CPUs too where that is asked for."""
        super().create_accelerator_and_postprocess()
        if self.args.fsdp or launched_sharded():
            spread_on_cpu(self.accelerator, self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    def get_train_dataloader(self) -> Any:
        """One update a batch. Not handed to accelerate, which would share updates out over the processes, and repeat
        questions to make the shares even."""
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=lambda items: self.collator(items[0]))

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The stage's own schedule."""
        if getattr(self, "lr_scheduler", None) is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, self.schedule.factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """What trackers get: the Trainer's figures, with both sides' losses apart."""
        if "grad_norm" in logs:
            sides = {"right": self.watch.parts.right, "wrong": self.watch.parts.wrong}
            logs = {**logs, **{name: value for name, value in sides.items() if value is not None}}
        super().log(logs, *args, **kwargs)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of every row of one step; the step's loss, without its graph."""
        step: Step = inputs["step"]
        if self.is_fsdp_enabled:
            check_shards(model)
        model.train()
        parts = Parts()
        for number, row in enumerate(step.rows):
            last = number == len(step.rows) - 1
            # Gradients are exchanged between processes once a step, at its last row.
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss, row_parts = self.compute_loss(model, {"row": row}, return_outputs=True)
                # Processes' gradients are averaged, but the coefficients are those of the whole step.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            parts.add(row_parts)
        total = self.over_processes(parts)
        self.watch.see(step, total)
        return torch.tensor(total.loss, device=self.args.device)

    def over_processes(self, parts: Parts) -> Parts:
        """Sums of all processes together."""
        if self.accelerator.num_processes == 1:
            return parts
        sums = torch.tensor(parts.values(), dtype=torch.float64, device=self.args.device)
        return Parts(*self.accelerator.reduce(sums, "sum").tolist())

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """The loss of one row, and its parts where asked for."""
        row = to_device(inputs["row"], self.args.device)
        losses = token_losses(logits(model, row, self.attention), row.targets_N)
        loss = weighted_loss(losses, row.coefficients_N)
        return (loss, _parts(losses.detach(), row, loss)) if return_outputs else loss

    def mean_loss(self, steps: Sequence[Step]) -> Parts:
        """Sums of all processes over steps that are only looked at: the model does not learn from them."""
        parts, model = Parts(), self.model_wrapped
        model.eval()
        with torch.no_grad():
            for step in steps:
                for row in step.rows:
                    with self.compute_loss_context_manager():
                        _, row_parts = self.compute_loss(model, {"row": row}, return_outputs=True)
                    parts.add(row_parts)
        model.train()
        return self.over_processes(parts)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """What is being trained, and no more: the rest of the student is as it was."""
        save_trainable(self.model, Path(output_dir or str(self.args.output_dir)), write=self.args.should_save)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        if (folder / OPTIMIZER_NAME).is_file() == self.is_fsdp_enabled:  # a sharded run has other files for its state
            then, now = ("without", "with") if self.is_fsdp_enabled else ("with", "without")
            raise UsageError(f"{folder}: was written {then} --shard, but this run is {now} it; go on as it was begun")
        load_trainable(self.model, folder)


def logits(model: Any, row: Row, attention: Attention | None) -> Tensor:
    """Logits from which the tokens that count are predicted, (N, V); only their places see the model's head."""
    inputs: dict[str, Any] = {"input_ids": row.ids_BT, "use_cache": False}
    if row.exits_T is not None and row.depths_T is not None:
        assert attention is not None
        inputs["attention_mask"] = masks(attention, row.exits_T, row.depths_T, _mask_dtype(model))
        inputs["position_ids"] = row.depths_T[None]
    elif row.read_BR is not None:
        own = {"decoder_input_ids": row.ids_BT, "decoder_attention_mask": row.mask_BT}
        inputs |= {"input_ids": row.read_BR, "attention_mask": row.read_mask_BR, **own}
    else:
        inputs["attention_mask"] = row.mask_BT
    if takes_places(model):
        logits_BKV = model(**inputs, logits_to_keep=row.places_K).logits
    else:
        logits_BKV = model(**inputs).logits[:, row.places_K]
    logits_MV: Tensor = logits_BKV.flatten(0, 1)
    return logits_MV if row.plain else logits_MV[row.picked_N]


def _mask_dtype(model: Any) -> torch.dtype:
    if torch.is_autocast_enabled("cuda" if torch.cuda.is_available() else "cpu"):
        return torch.float32
    dtype = getattr(_unwrapped(model), "dtype", None)
    return dtype if isinstance(dtype, torch.dtype) and dtype.is_floating_point else torch.float32


def _unwrapped(model: Any) -> Any:
    while hasattr(model, "module"):  # several processes
        model = model.module
    return model


def takes_places(model: Any) -> bool:
    """Whether a model's forward can leave out the logits that nobody needs."""
    model = _unwrapped(model)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(type(inner).forward).parameters


def to_device(row: Row, device: Any) -> Row:
    """A copy of a row on a device."""
    fields = {name: getattr(row, name) for name in Row.__slots__}
    return replace(row, **{name: value.to(device) for name, value in fields.items() if isinstance(value, Tensor)})


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
        computed=row.size,
    )
