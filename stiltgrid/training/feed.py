"""What the steps of a run are fed: the tasks' inputs, mixed as the recipe says, and between them text to restore."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

from torch.utils.data import DataLoader, Dataset

from stiltgrid.batching import Interleaved, MicroBatches, denoising_steps
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup
from stiltgrid.mixing import Mixture
from stiltgrid.synonyms import copies, read_neighbours
from stiltgrid.training.denoising import DENOISING, Denoising


class Feed(Dataset):
    """The inputs of a run by index; `~i` is input i with nothing to learn from.

    Indices below the number of features are the tasks', those from there on the denoising inputs in their order.

    Args:
        features: of each task, in the order of the tasks.
        recipe: `mixing`, `training`, `seed`, and where they are not the default `weighting` and `denoising`.
        noise: the denoising inputs, where the recipe has any.

    Attributes:
        steps: optimizer steps of the run. `epochs` and `max_steps` count the tasks'; denoising steps are beside them.
    """

    def __init__(
        self, features: Mapping[str, Sequence[Feature]], recipe: Mapping[str, Any], noise: Denoising | None = None
    ) -> None:
        training = recipe["training"]
        self.sizes = {name: len(own) for name, own in features.items()}
        self.features = [feature for own in features.values() for feature in own]
        self.by_input = recipe.get("weighting") == "inputs"
        self.batch_size, self.seed, self.noise = training["batch_size"], recipe["seed"], noise
        rule = recipe["mixing"]
        # in proportion to size is what passes over all inputs are
        self.mixture = None if rule == "proportional" else Mixture(list(self.sizes.values()), rule, self.seed)
        size = len(self.features) if self.mixture is None else self.mixture.per_epoch
        self.per_epoch = -(-size // self.batch_size)
        self.steps = training["max_steps"] or max(1, round(training["epochs"] * self.per_epoch))
        self.interleaved: Interleaved | None = None
        if noise is not None:
            extra = denoising_steps(recipe["denoising"]["rate"], self.steps)
            first = len(self.features)
            self.interleaved = Interleaved(extra, self.steps + extra, first, lambda i: noise.size(i - first))
            self.steps += extra

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> Feature:
        return self._at(index) if index >= 0 else self._at(~index).unlabelled()

    def _at(self, index: int) -> Feature:
        if index < len(self.features):
            return self.features[index]
        assert self.noise is not None
        return self.noise.feature(index - len(self.features))

    def batches(self, rank: int = 0, ranks: int = 1, accumulation: int = 1) -> MicroBatches:
        """Return a rank's micro-batches of the whole run."""
        return MicroBatches(
            [len(f.input_ids) for f in self.features],
            self.batch_size,
            self.seed,
            self.steps,
            rank,
            ranks,
            accumulation,
            self.mixture,
            self.interleaved,
        )

    def loader(
        self, formulation: ModuleType, setup: Setup, rank: int, ranks: int, accumulation: int, pin: bool
    ) -> DataLoader:
        """Return a rank's batches of tensors of the whole run, as one epoch: resuming is skipping.

        Args:
            formulation: the family's module.
            setup: its setup.
            rank: this process, from 0.
            ranks: processes.
            accumulation: passes a step.
            pin: keep batches where a GPU reads them fast.
        """
        return DataLoader(
            self,
            batch_sampler=self.batches(rank, ranks, accumulation),
            collate_fn=partial(collated, formulation, setup, self.by_input),
            pin_memory=pin,
        )

    def epoch(self, step: int) -> float:
        """Return how many epochs of the tasks so many steps are."""
        done = step if self.interleaved is None else step - self.interleaved.before(step)
        return round(done / self.per_epoch, 4)

    def planned(self) -> str:
        """Return each task's share of the inputs in words, "" for one task without denoising."""
        if len(self.sizes) == 1 and self.noise is None:
            return ""
        shares = self.mixture.shares if self.mixture else [size / len(self.features) for size in self.sizes.values()]
        parts = [
            f"{name} {100 * share:.1f} % of {size} inputs"
            for (name, size), share in zip(self.sizes.items(), shares, strict=True)
        ]
        if self.noise is not None and self.interleaved is not None:
            languages = ", ".join(f"{x} {100 * share:.1f} %" for x, share in self.noise.lines.shares.items())
            parts.append(f"denoising {self.interleaved.steps} of {self.steps} steps ({languages})")
        return "; ".join(parts)

    def realised(self, steps: int) -> dict[str, Any] | None:
        """Return what the first steps drew, None for one task without denoising.

        Args:
            steps: optimizer steps that were taken.

        Returns:
            `tasks`: name -> inputs there were, inputs drawn (one may be drawn more than once), their share of the
            tasks' inputs. `denoising`, if there is any: steps, their share of all, inputs drawn a language.
        """
        if len(self.sizes) == 1 and self.noise is None:
            return None
        drawn: Counter[str] = Counter()
        languages: Counter[str] = Counter()
        sampler = self.batches()
        sampler.steps = steps
        for batch in sampler.global_batches():
            for index in batch:
                if index < len(self.features):
                    drawn[self.features[index].task] += 1
                elif self.noise is not None:
                    languages[self.noise.language(index - len(self.features))] += 1
        tasks = {
            name: {"inputs": size, "drawn": drawn[name], "share": round(drawn[name] / max(drawn.total(), 1), 6)}
            for name, size in self.sizes.items()
        }
        if self.interleaved is None:
            return {"tasks": tasks}
        number = self.interleaved.before(steps)
        about = {"steps": number, "share": round(number / max(steps, 1), 6), "languages": dict(languages)}
        return {"tasks": tasks, "denoising": about}


def feed_of(
    recipe: Mapping[str, Any],
    data: Mapping[str, Any],
    setup: Setup,
    formulation: ModuleType,
    train: Mapping[str, list[Example]],
) -> Feed:
    """Encode what is trained on: rows or, where synonyms make a run robust, copies of them; and text for denoising.

    Args:
        recipe: the run's.
        data: task -> split -> files; `synonyms` and `denoising` beside the tasks, where the recipe has them.
        setup: the formulation's setup.
        formulation: the family's module.
        train: rows of each task.
    """
    robust, seed = recipe.get("robust", {}), recipe["seed"]
    if robust.get("kind") == "synonyms":
        (path,) = data["synonyms"]["train"]
        neighbours = read_neighbours(path)
        train = {name: copies(rows, neighbours, robust["copies"], seed) for name, rows in train.items()}
    noise = None
    if "denoising" in recipe:
        about, paths = recipe["denoising"], data["denoising"]["train"]
        length = recipe["training"]["max_input_length"]
        noise = Denoising(recipe["model"]["family"], setup.tokens, paths, about["alpha"], length, setup.start, seed)
    return Feed({name: formulation.encode(setup, name, rows, True) for name, rows in train.items()}, recipe, noise)


def collated(formulation: ModuleType, setup: Setup, by_input: bool, features: Sequence[Feature]) -> dict[str, Any]:
    """Return a batch of tensors, with `weights` (batch) where every input is to weigh the same.

    A denoising batch weighs tokens alike, whatever their number in a line.
    """
    if features[0].task == DENOISING:
        # its head comes after those of the tasks
        return formulation.collate(replace(setup, rows={**setup.rows, DENOISING: None}), features)  # type: ignore[dict-item]
    batch = formulation.collate(setup, features)
    if by_input:
        number = (batch["labels"] != IGNORED).sum(1)
        batch["weights"] = (number > 0) / number.clamp_min(1)
    return batch


def learnt(batch: Mapping[str, Any]) -> Any:
    """Return by what a batch's summed loss is divided: its labelled inputs where these weigh alike, else its labels."""
    return (batch["weights"] > 0).sum() if "weights" in batch else (batch["labels"] != IGNORED).sum()
