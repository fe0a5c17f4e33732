"""The blocks of a config that make an arm of the literature: intermediates, targets, and what is special in them."""

from typing import Annotated, Literal

from pydantic import Field

from stiltgrid.schema.block import Block
from stiltgrid.schema.retrieval import RetrievalOverride
from stiltgrid.schema.training import TrainingOverride


class Temperature(Block):
    """Mixing by temperature: a task is drawn in proportion to its size to the power 1 / temperature."""

    temperature: float = Field(ge=1, description="1: in proportion to size; the higher, the more even (mT5 writes 1/α)")


class Cap(Block):
    """Mixing with a cap: a task is drawn in proportion to its size, but as if it had no more inputs than the cap."""

    cap: int = Field(ge=1, description="inputs of a task that count (jiant's `train_examples_cap`, T5's limit)")


Mixing = Literal["proportional", "uniform"] | Temperature | Cap


class DenoisingText(Block):
    """Plain text that arms with `denoising` learn to restore; one sentence or document a line, UTF-8."""

    path: str = Field(
        description="file a language, `{lang}` is filled in, e.g. `text/{lang}.txt`; relative to the working folder or "
        "absolute; `${VARIABLE}` is filled in"
    )
    languages: tuple[Annotated[str, Field(pattern=r"^[A-Za-z-]+$")], ...] = Field(
        min_length=1, description="languages of the text, each a file"
    )
    alpha: float = Field(
        0.3,
        ge=0,
        le=1,
        description="a language is drawn in proportion to its lines to this power (Conneau et al. 2020 and mT5: 0.3)",
    )


class Adversarial(Block):
    """Adversarial training: embeddings are moved to where the loss is highest nearby (Huang et al. 2021)."""

    kind: Literal["adversarial"] = Field(description="which of the three")
    epsilon: float = Field(gt=0, description="largest L2 distance by which a token's input embedding is moved")
    steps: int = Field(3, ge=1, description="steps of projected gradient ascent, each a forward and backward pass")
    step_size: float | None = Field(
        None, gt=0, description="L2 length of a step, a token; null: 2.5 x epsilon / steps (Madry et al. 2018)"
    )


class RandomPerturbation(Block):
    """Randomized smoothing by random perturbation (RS-RP, Huang et al. 2021)."""

    kind: Literal["random"] = Field(description="which of the three")
    epsilon: float = Field(gt=0, description="largest L2 distance; a token is moved uniformly at random in the ball")


class Synonyms(Block):
    """Randomized smoothing by data augmentation (RS-DA, Huang et al. 2021): training on copies with other words."""

    kind: Literal["synonyms"] = Field(description="which of the three")
    neighbours: str = Field(
        description="file of neighbours: a line a word, `word<TAB>neighbour neighbour ...`, or (.json) one object "
        "{word: [neighbour, ...]}; UTF-8; `${VARIABLE}` is filled in"
    )
    copies: int = Field(
        10, ge=1, description="copies of each training row, the row itself left out (PAWS-X 10, XNLI 3 in the paper)"
    )


Robust = Annotated[Adversarial | RandomPerturbation | Synonyms, Field(discriminator="kind")]


class Intermediate(Block):
    """An intermediate arm: `{}` is the baseline without one."""

    tasks: tuple[str, ...] = Field(
        (), description="tasks of suite `intermediate` (or suite/task), or other intermediates' names; each used once"
    )
    mixing: Mixing = Field(
        "proportional", description="several tasks: how often each is drawn; `uniform`: all alike (docs/arms.md)"
    )
    languages: tuple[str, ...] = Field(
        ("en",),
        min_length=1,
        description="languages of the training rows, others than `en` machine-translated; dev rows stay English",
    )
    denoising: float | None = Field(
        None, gt=0, lt=1, description="share of the optimizer steps that restore `denoising_text` instead of a task"
    )
    training: TrainingOverride = Field(default_factory=TrainingOverride, description="hyperparameters of this arm")
    title: str | None = Field(None, description="name in tables; null: the key")


class DecodingOverride(Block):
    """How a text2text model writes answers; null keeps the task's own. Part of predictions, not of training."""

    beams: int | None = Field(None, ge=1, le=32, description="beams of beam search; 1: greedy")
    length_penalty: float | None = Field(
        None, description="the log-likelihood is divided by the length to this power: a higher one prefers longer texts"
    )


class Target(Block):
    """A target task."""

    task: str = Field(description="suite/task, e.g. xglue/xnli")
    languages: Literal["all"] | tuple[str, ...] = Field("all", description="evaluation languages; `all`: the task's")
    source_language: str = Field(
        "en", description="language of the training and dev rows; all others, English too, are then zero-shot"
    )
    robust: Robust | None = Field(None, description="robust training, against embeddings that differ by language")
    eval_split: Literal["test", "dev"] = Field("test", description="the split that is scored")
    training: TrainingOverride = Field(default_factory=TrainingOverride, description="hyperparameters of this target")
    decoding: DecodingOverride = Field(
        default_factory=DecodingOverride, description="text2text question answering and generation: how text is written"
    )
    retrieval: RetrievalOverride = Field(
        default_factory=RetrievalOverride, description="retrieval targets: how sentences are embedded and searched"
    )
    title: str | None = Field(None, description="name in tables; null: the task's title")
