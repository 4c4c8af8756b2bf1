"""One training over several processes: each takes its share of every batch, and gradients are summed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map

from ungrok.core.objective import Batch


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one model; a process on its own is rank 0 of 1.

    All ranks draw the same numbers in random layers. On a GPU, batch normalization takes its statistics from the whole batch;
    on a CPU from each rank's share, so that only models without it come out as in one process there.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """Return the ranks of the process group, if one was started."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return a module whose backward pass averages gradients over the ranks."""
        return DistributedDataParallel(model) if self.world > 1 else model

    def share(self, batch: Batch) -> Batch:
        """Return every ``world``-th example of a batch."""
        return batch if self.world == 1 else tree_map(lambda part: part[self.rank :: self.world], batch)

    def agree(self, value: bool) -> bool:
        """Return rank 0's value on every rank."""
        if self.world == 1:
            return value
        message: list[Any] = [value]
        dist.broadcast_object_list(message, 0)
        return bool(message[0])

    def wait(self) -> None:
        """Return once every rank has come here."""
        if self.world > 1:
            dist.barrier()


def synchronized(model: nn.Module) -> nn.Module:
    """Return the model with batch normalization over the whole batch, where there are several GPUs."""
    if Ranks.current().world > 1 and next(model.parameters()).is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-any-return]
    return model


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, for the duration of a block; alone where there are none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Ranks.current()
    finally:
        dist.destroy_process_group()
