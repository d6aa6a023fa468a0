"""What a run is given beside its plan."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from editctl.errors import UsageError
from editctl.models import Student
from editctl.train.checkpoints import RunState
from editctl.train.engine.shards import check_version, launched_sharded
from editctl.train.engine.watch import Show
from editctl.train.plan import Settings
from editctl.train.stopping import Stop


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run is given beside its plan."""

    settings: Settings
    device: str
    state: RunState
    fresh: Callable[[], Student]
    """Makes the student anew, as it is before the first stage of each slot."""
    show: Show = lambda record: None
    """Called after each update, and after each look at the questions held out."""
    say: Callable[[str], None] = lambda text: None
    skip: Callable[[int], None] = lambda updates: None
    """Called with the number of updates that lie behind a run that goes on."""
    stop: Stop = field(default_factory=Stop)

    def meet(self) -> None:
        """Go on together with the other processes: by now the first one has cleared or opened the run's folder, and
        the others look into it next.

        Raises:
            UsageError: weights are to be spread over several processes, but there is only this one.
        """
        if not self.settings.shard:
            check_version()
        if processes() > 1:
            _meet(self.device)
        elif self.sharded:
            raise UsageError(
                "--shard spreads weights over several processes; start them with "
                "torchrun --nproc-per-node N -m editctl train ..."
            )

    @property
    def sharded(self) -> bool:
        """Whether weights are spread over the processes, by --shard or by accelerate's launcher."""
        return self.settings.shard or launched_sharded()


def _meet(device: str) -> None:
    """Wait until all processes are here. Nothing is to be saved yet: a signal ends the process at once, since Python's
    own handling would have to wait too, for a process that may have failed."""
    from accelerate import PartialState

    former = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        PartialState(cpu=device == "cpu").wait_for_everyone()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def process() -> int:
    """Number of this process among those that accelerate or torchrun started together; 0 writes the files."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def part() -> None:
    """Take leave of the other processes: a group that is never closed warns, and may hang, at the end."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
