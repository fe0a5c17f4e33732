"""Predictions of a fine-tuned model: longest inputs first, in batches, back in the order of the examples.

The same path scores dev during training and every language afterwards. Batching changes speed alone: in float32 a
score moves by less than 1e-5 between one example at a time and a batch.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from stiltgrid.artifacts import read_json
from stiltgrid.batching import by_length
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations import check_trained, formulation
from stiltgrid.formulations.features import Setup
from stiltgrid.label_sets import with_labels
from stiltgrid.predictions import Prediction
from stiltgrid.storage import check_there
from stiltgrid.tasks.registry import Decoding, TaskRow
from stiltgrid.tokenization import limit_threads, load_tokens
from stiltgrid.training.precision import autocast, computes_bf16

log = logging.getLogger(__name__)


class Interrupted(Exception):  # noqa: N818 (no error: somebody asked for it)
    """The answers were given up between two batches."""


def answer(
    formulation: ModuleType,
    setup: Setup,
    model: Any,
    task: str,
    examples: Sequence[Example],
    batch_size: int,
    precision: str,
    ranks: tuple[int, int] = (0, 1),
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[Prediction]:
    """Predict examples of one task with a model in evaluation mode.

    Args:
        formulation: the family's module.
        setup: its setup.
        model: the unwrapped model.
        task: a task of the setup.
        examples: what to answer.
        batch_size: inputs at once.
        precision: "bf16" or "fp32".
        ranks: (rank, number of ranks) where several processes share the work; each gets all predictions.
        progress: called with (inputs done, inputs) after each batch.
        stop: asked before each batch; must say the same on all ranks.

    Returns:
        Exactly one prediction an example, in their order, on any number of ranks.

    Raises:
        Interrupted: when `stop` said so.
    """
    import torch

    features = formulation.encode(setup, task, examples, False)
    batches = by_length([len(f.input_ids) for f in features], batch_size)
    rank, number = ranks
    # every rank makes as many passes as any other, or a sharded model would wait for ever
    passes = -(-len(batches) // number)
    said: dict[int, Any] = {}
    done = 0
    device = next(model.parameters()).device.type
    with torch.inference_mode(number == 1), torch.no_grad(), autocast(precision, device):
        for turn in range(passes):
            if stop is not None and stop():
                raise Interrupted
            mine = turn * number + rank
            batch = batches[mine if mine < len(batches) else 0]
            answers = formulation.outputs(setup, model, task, [features[i] for i in batch])
            said.update(zip(batch, answers, strict=True))
            done += len(batch)
            if progress is not None:
                progress(min(done * number, len(features)), len(features))
    if number > 1:
        shares: list[Any] = [None] * number
        torch.distributed.all_gather_object(shares, said)
        said = {i: output for share in shares for i, output in share.items()}  # by index: duplicates fall together
    predictions = formulation.decode(setup, task, examples, features, [said[i] for i in range(len(features))])
    cut = {f.row for f in features if f.truncated}
    return [replace(p, truncated=row in cut) for row, p in enumerate(predictions)]


def check_weights(checkpoint: Path | str, manifest: dict[str, Any] | None = None) -> dict[str, Any]:
    """Check that a checkpoint's weights are those of its manifest, by size.

    Args:
        checkpoint: the run's folder.
        manifest: its manifest, if already read.

    Returns:
        The manifest.

    Raises:
        StiltgridError: naming the first file that is missing or of another size.
    """
    checkpoint = Path(checkpoint)
    manifest = read_json(checkpoint / "manifest.json") if manifest is None else manifest
    check_there(checkpoint)
    for name, record in manifest["weights"].items():
        path = checkpoint / "weights" / name
        size = path.stat().st_size if path.is_file() else None
        if size != record["bytes"]:
            found = "is missing" if size is None else f"has {size} bytes"
            raise StiltgridError(
                f"{path}: {found}, the manifest says {record['bytes']}; remove {checkpoint / 'manifest.json'} and run "
                "again to train it anew"
            )
    return manifest


class Predictor:
    """A fine-tuned model that answers examples; loaded once for all languages.

    Attributes:
        manifest: the checkpoint's manifest.
        precision: what the checkpoint was trained and its dev scores computed in, whatever this machine prefers.
    """

    def __init__(self, manifest: dict[str, Any], model: Any, tokens: Any):
        self.manifest = manifest
        self.model = model
        self.tokens = tokens
        self.precision = manifest["execution"]["precision"]
        if self.precision == "bf16" and not computes_bf16():
            log.warning("predicting in bf16, as the run was trained; this machine has no instructions for it: slow")
        # weights that are bf16 throughout, as DeepSpeed trains them, are computed with as they are, as its dev was
        held = {str(parameter.dtype) for parameter in model.parameters()}
        self._autocast = "fp32" if held == {"torch.bfloat16"} else self.precision
        self._formulation = formulation(manifest["recipe"]["model"]["family"])

    @classmethod
    def load(cls, checkpoint: Path | str, pretrained: Path | str, threads: int | None = None) -> "Predictor":
        """Load a checkpoint's weights and its pretrained model's tokenizer, onto the GPUs if there are any.

        Args:
            checkpoint: folder of a finished run.
            pretrained: folder of the pretrained manifest.
            threads: CPU threads; None leaves torch's.

        Raises:
            StiltgridError: if a weights file is missing, truncated or not whole.
        """
        manifest = check_weights(checkpoint)
        import torch

        from stiltgrid.models import load_saved, pretrained_folder

        if threads is not None:
            torch.set_num_threads(threads)
            limit_threads(threads)
        weights = Path(checkpoint) / "weights"
        model = load_saved(weights, manifest["recipe"]["model"]["family"], pretrained)
        return cls(manifest, model, load_tokens(pretrained_folder(pretrained)))

    def predict(
        self,
        task: TaskRow,
        examples: Sequence[Example],
        batch_size: int = 32,
        progress: Callable[[int, int], None] | None = None,
        decoding: Decoding | None = None,
    ) -> list[Prediction]:
        """Answer examples.

        Args:
            task: the task's row.
            examples: labels, if any, are not looked at.
            batch_size: inputs at once.
            progress: called with (inputs done, inputs) after each batch.
            decoding: text2text: how answers are written; None: as the task's row says.

        Returns:
            One prediction an example, in their order.

        Raises:
            StiltgridError: if the model was not trained on the task, or on another form of it (labels, verbalisers,
                fields), or the task cannot be put to its vocabulary.
        """
        task = with_labels(task, self.manifest.get("labels", {}).get(task.name))
        length = self.manifest["recipe"]["training"]["max_input_length"]
        start = getattr(self.model.config, "decoder_start_token_id", None) or 0
        how = {task.name: task.decoding if decoding is None else decoding}
        setup = Setup(self.tokens, {task.name: task}, length, start, how)
        self._formulation.check(setup)
        if self.manifest["recipe"]["model"]["family"] == "heads":
            self.model.check_task(task)
        check_trained(self.manifest["recipe"]["formulation"], task)
        return answer(
            self._formulation,
            setup,
            self.model,
            task.name,
            examples,
            batch_size,
            self._autocast,
            progress=progress,
        )
