"""One retrieval target: a checkpoint in, the predictions of each language out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.retrieve import search, texts
from stiltgrid.retrieve.embedding import Embedder, Progress, layer_of
from stiltgrid.schema import Retrieval
from stiltgrid.tasks.registry import TaskRow


def retriever(
    checkpoint: Path,
    pretrained: Path,
    task: TaskRow,
    how: Retrieval,
    *,
    batch_size: int,
    threads: int | None,
    progress: Callable[[str], Progress] | None = None,
) -> Callable[[list[Example], str], list[Prediction]]:
    """Load a model and return a function of (examples, language) that gives one prediction an example.

    Args:
        checkpoint: folder of phase (ii)'s manifest, or the pretrained model's.
        pretrained: folder of the pretrained manifest.
        task: the task's row.
        how: the settings.
        batch_size: sentences at once.
        threads: CPU threads.
        progress: makes a reporter of a language's name.

    Raises:
        StiltgridError: if the model cannot be loaded, or lacks the layer.
    """
    embedder = Embedder.load(checkpoint, pretrained, threads)
    layer = layer_of(how, embedder.depth)

    def predict(examples: Sequence[Example], language: str) -> list[Prediction]:
        vectors, cut = [], [False] * len(examples)
        for side in texts(task, examples):
            report = None if progress is None else progress(language)
            [matrix], truncated = embedder.embed(side, [layer], how, batch_size, report)
            vectors.append(matrix)
            cut = [before or here for before, here in zip(cut, truncated, strict=True)]
        found = search(task, examples, vectors, how)
        return [replace(said, truncated=was) for said, was in zip(found, cut, strict=True)]

    return predict
