"""Answers that a model writes: targets to learn from, and decoding.

Decoding is transformers' own `generate`, greedy or by beam search (`Setup.decoding`), with at most `output_length`
tokens; each input is encoded once, whatever the number of beams. Padding, the unknown piece, sentinels and rows of the
output matrix without a piece are never written: zero-shot mT5 is known to put its pretraining's sentinels into
answers in other languages. Whatever generation settings a checkpoint brings along are put aside.
"""

import math
from collections.abc import Sequence
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup, diverged
from stiltgrid.formulations.text2text.batch import collate
from stiltgrid.tasks.registry import Decoding, TaskRow

__all__ = ["Written", "best", "check_length", "feature", "targets", "write"]

Written = tuple[str, float]  # the text, and its log-likelihood (natural log) divided by its tokens, the end included


def check_length(row: TaskRow) -> int:
    """Return how many tokens an answer may have.

    Raises:
        StiltgridError: if the row does not say.
    """
    if row.output_length is None:
        raise StiltgridError(
            f"{row.name}: output_length is missing; a task of kind {row.kind} needs the tokens of an answer at most"
        )
    return row.output_length


def targets(setup: Setup, row: TaskRow, examples: Sequence[Example]) -> list[tuple[list[int], bool]]:
    """Return what is to be written for each example: its first reference, or the task's `no_answer`, and the end.

    Returns:
        For each example its token ids, at most `output_length`, and whether that cut some off. A cut target has no
        end-of-sequence, since the reference does not end there.

    Raises:
        StiltgridError: if an example has no reference.
    """
    most = check_length(row)
    for example in examples:
        if not example.references and (example.references is None or row.no_answer is None):
            raise StiltgridError(f"{row.name}: example {example.id!r} has no references; expected at least one text")
    texts = [e.references[0] if e.references else row.no_answer for e in examples]
    whole = [[*ids, setup.tokens.end] for ids in setup.tokens.ids(texts)]
    return [(ids[:most], len(ids) > most) for ids in whole]


def feature(
    setup: Setup,
    row: TaskRow,
    index: int,
    ids: list[int],
    wanted: list[int],
    truncated: bool,
    first: int = 0,
    choices: int = 0,
) -> Feature:
    """Return the feature of an input.

    Args:
        setup: the formulation's setup.
        row: the task.
        index: of the example.
        ids: the input.
        wanted: what is to be written; empty: nothing to learn from.
        truncated: was some of the input or of the target cut off?
        first: where the window begins in its text.
        choices: how many there are.
    """
    return Feature(
        task=row.name,
        row=index,
        first=first,
        units=1,
        input_ids=ids,
        type_ids=[],
        decoder_ids=[setup.start, *wanted[:-1]],
        positions=[0],
        labels=wanted or [IGNORED],
        truncated=truncated,
        choices=choices,
    )


def write(
    setup: Setup,
    model: Any,
    row: TaskRow,
    features: Sequence[Feature],
    barred_first: int | None = None,
    odds: list[float] | None = None,
) -> list[Written]:
    """Let the model write an answer to each input.

    In float32 an answer does not depend on the other inputs of the batch: padding is masked, and beam search keeps
    the books of each input apart (only the rounding of sums may differ, by some 1e-7).

    Args:
        setup: the formulation's setup.
        model: an untied mT5 in evaluation mode.
        row: the task.
        features: one batch. Under ZeRO-3 every rank must call this with one.
        barred_first: a piece that no text begins with.
        odds: where the log odds of this piece at the first step are put, one a feature.

    Returns:
        For each feature the text without special pieces, and its mean log-likelihood; the text may be empty.
    """
    import torch
    from transformers import GenerationConfig

    how = setup.decoding.get(row.name, Decoding())
    end = setup.tokens.end
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in collate(setup, features).items()}
    size = model.config.vocab_size
    barred = torch.zeros(size, dtype=torch.bool)
    barred[[i for i in setup.tokens.unspoken if i < size]] = True
    barred[setup.tokens.size :] = True
    barred = barred.to(device)
    greedy: list[Any] = []  # log-probability of each step's choice; beam search keeps its own sums

    def spoken(_: Any, scores: Any) -> Any:
        """Bar the pieces that are no part of a text, at one step of decoding: (inputs x beams, vocabulary)."""
        allowed = scores.masked_fill(barred, -torch.inf)
        if barred_first is not None and odds is not None and not odds:
            others = scores.index_fill(-1, torch.tensor([barred_first], device=scores.device), -torch.inf)
            found = scores[:, barred_first].double() - others.double().logsumexp(-1)
            odds.extend(found[:: how.beams].tolist())
            allowed[:, barred_first] = -torch.inf
        if how.beams == 1:
            greedy.append(allowed.amax(-1) - scores.logsumexp(-1))
        return allowed

    def forgotten(ids: Any, scores: tuple[Any, ...]) -> Any:
        """Let go of a step's scores, which beam search keeps: at mT5's vocabulary 128 MB a step for 32 inputs."""
        scores[-1].data = scores[-1].new_empty(0)
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)  # nothing is a reason to stop

    penalty = {} if how.beams == 1 else {"length_penalty": how.length_penalty}
    settings = GenerationConfig(
        max_new_tokens=check_length(row),
        num_beams=how.beams,
        do_sample=False,
        early_stopping=False,
        use_cache=True,
        decoder_start_token_id=setup.start,
        pad_token_id=setup.tokens.pad,
        eos_token_id=end,
        return_dict_in_generate=True,
        output_scores=how.beams > 1,
        **penalty,
    )
    # the library fills what is not set above from the model's own settings, which came with a checkpoint
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        said = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            generation_config=settings,
            logits_processor=[spoken],
            stopping_criteria=[forgotten] if how.beams > 1 else None,
            # partitioned by ZeRO-3: ranks that are done go on with the others
            synced_gpus=hasattr(model.lm_head.weight, "ds_id") and torch.distributed.get_world_size() > 1,
        )
    finally:
        model.generation_config = own
    rows = [ids[: ids.index(end) + 1] if end in ids else ids for ids in said.sequences[:, 1:].tolist()]
    if how.beams == 1:
        steps = torch.stack(greedy, -1).double().tolist()
        means = [sum(steps[i][: len(ids)]) / len(ids) for i, ids in enumerate(rows)]
    else:
        means = [
            score * len(ids) ** (how.length_penalty - 1)
            for ids, score in zip(rows, said.sequences_scores.tolist(), strict=True)
        ]
    return list(zip(setup.tokens.texts(rows), means, strict=True))


def best(row: TaskRow, examples: Sequence[Example], features: Sequence[Feature], said: Sequence[Written]) -> list[str]:
    """Return one text an example: of several windows' the one with the highest mean log-likelihood.

    Windows that are equally sure are taken in the order of the text, so that the order of features never matters.

    Raises:
        StiltgridError: if a likelihood is not finite, or an example has no feature (a fault of the formulation).
    """
    found: dict[int, tuple[float, int, str]] = {}
    for made, (text, score) in zip(features, said, strict=True):
        if not math.isfinite(score):
            raise diverged(row, examples[made.row])
        candidate = (score, -made.first, text)
        found[made.row] = max(found.get(made.row, candidate), candidate)
    for index, example in enumerate(examples):
        if index not in found:
            raise StiltgridError(f"{row.name}: {example.id!r} has no answer")
    return [found[index][2] for index in range(len(examples))]
