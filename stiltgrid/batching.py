"""Which examples go into which step: length-bucketed batches that depend on (seed, epoch) alone.

Padding wastes more than half of the work of randomly drawn batches on NLI data; here an epoch is shuffled, cut into
mega-chunks, sorted by length within each, cut into batches, and the batches are shuffled. Ranks and micro-batches
only share out a batch, so that the devices in use never change which examples meet in a step.

Where a run also restores corrupted text, its denoising steps lie evenly between those of the tasks, whose batches and
their order are the same as without them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stiltgrid.mixing import Mixture

CHUNK_BATCHES = 50  # batches sorted together: enough to make lengths even, few enough to keep chance in the order


def epoch_batches(
    lengths: Sequence[int], batch_size: int, seed: int, epoch: int, drawn: np.ndarray | None = None
) -> list[list[int]]:
    """Return the global batches of one epoch.

    Args:
        lengths: tokens of each example.
        batch_size: examples in a global batch; the one short batch, if any, is the last cut, not always the last.
        seed: the run's seed.
        epoch: counted from 0.
        drawn: the indices of the epoch, where a mixture draws some more often than others; None: each once.

    Returns:
        Lists of indices, those of the epoch; within a batch sorted from long to short.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths) if drawn is None else drawn)
    size = np.asarray(lengths)
    chunk = batch_size * CHUNK_BATCHES
    batches = []
    for start in range(0, len(order), chunk):
        part = order[start : start + chunk]
        part = part[np.argsort(-size[part], kind="stable")]
        batches += [part[i : i + batch_size].tolist() for i in range(0, len(part), batch_size)]
    rng.shuffle(batches)
    return batches


def shares(batch: Sequence[int], rank: int, ranks: int, micro_batch: int, accumulation: int) -> list[list[int]]:
    """Cut a global batch into one rank's micro-batches.

    Neighbours in length meet in the same pass of all ranks, so that none waits for another.

    Args:
        batch: indices, longest first; at most `ranks * micro_batch * accumulation`.
        rank: this process, from 0.
        ranks: processes.
        micro_batch: examples a rank takes at once.
        accumulation: passes a step.

    Returns:
        `accumulation` lists. Where a short batch leaves none for this rank, the list is `[~i]` for an example i of
        the batch: a row to be passed through without a label, so that every rank makes the same number of passes.
    """
    cuts = []
    for turn in range(accumulation):
        start = (turn * ranks + rank) * micro_batch
        cuts.append(list(batch[start : start + micro_batch]) or [~batch[-1]])
    return cuts


@dataclass(frozen=True)
class Interleaved:
    """Denoising steps between the steps of the tasks.

    Attributes:
        steps: denoising steps of the run.
        total: all steps of the run.
        first: index of the run's first denoising input; the others follow it.
        size: about the length of the denoising input with this index.
    """

    steps: int
    total: int
    first: int
    size: Callable[[int], int]

    def __contains__(self, step: object) -> bool:
        """Is this step, counted from 0, a denoising step?"""
        assert isinstance(step, int)
        return self.before(step + 1) > self.before(step)

    def before(self, step: int) -> int:
        """Return how many denoising steps lie before this step."""
        return (step * self.steps + self.total // 2) // self.total

    def batch(self, step: int, batch_size: int) -> list[int]:
        """Return the indices of a denoising step, the longest first."""
        start = self.first + self.before(step) * batch_size
        return sorted(range(start, start + batch_size), key=lambda i: -self.size(i))


def denoising_steps(rate: float, steps: int) -> int:
    """Return how many denoising steps make them `rate` of all, beside the tasks' `steps`; at least one."""
    return max(1, round(steps * rate / (1 - rate)))


class MicroBatches:
    """A batch sampler for the whole run: every micro-batch of one rank, epoch after epoch.

    Args:
        lengths: tokens of each input.
        batch_size: inputs in a global batch.
        seed: the run's.
        steps: optimizer steps of the run, denoising steps included.
        rank: this process, from 0.
        ranks: processes.
        accumulation: passes a step.
        mixture: draws an epoch's inputs (`stiltgrid.mixing.Mixture`); None: each once.
        denoising: denoising steps, if there are any.

    Attributes:
        steps: optimizer steps of the run.
        steps_per_epoch: global batches in an epoch.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        seed: int,
        steps: int,
        rank: int = 0,
        ranks: int = 1,
        accumulation: int = 1,
        mixture: Mixture | None = None,
        denoising: Interleaved | None = None,
    ):
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.steps = steps
        self.rank = rank
        self.ranks = ranks
        self.accumulation = accumulation
        self.mixture = mixture
        self.denoising = denoising
        self.steps_per_epoch = -(-(len(lengths) if mixture is None else mixture.per_epoch) // batch_size)

    def __len__(self) -> int:
        return self.steps * self.accumulation

    def __iter__(self) -> Iterator[list[int]]:
        micro = -(-self.batch_size // (self.ranks * self.accumulation))
        for batch in self.global_batches():
            yield from shares(batch, self.rank, self.ranks, micro, self.accumulation)

    def global_batches(self) -> Iterator[list[int]]:
        """Yield each step's batch over all ranks."""
        tasks = self._of_tasks()
        for step in range(self.steps):
            if self.denoising is not None and step in self.denoising:
                yield self.denoising.batch(step, self.batch_size)
            else:
                yield next(tasks)

    def _of_tasks(self) -> Iterator[list[int]]:
        epoch = 0
        while True:
            drawn = None if self.mixture is None else self.mixture.drawn(epoch)
            yield from epoch_batches(self.lengths, self.batch_size, self.seed, epoch, drawn)
            epoch += 1


def by_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return batches for prediction: all indices, longest first, so that a batch that does not fit fails at once."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def padded(length: int, multiple: int = 8) -> int:
    """Return `length` rounded up to a multiple (tensor cores and AMX tiles like 8)."""
    return -(-max(length, 1) // multiple) * multiple
