"""Text to be restored, as inputs of a model: span corruption (text2text) and masked words (an encoder).

Span corruption is that of T5 (Raffel et al. 2020, section 3.1.4, `random_spans_noise_mask`): 15 % of the tokens, in
spans of 3 on average, the text beginning with a span that is kept and ending with one that is not. A span is replaced
by a sentinel, and the target is the sentinels, each with its span, and the end-of-sequence piece.

Masking is that of BERT (Devlin et al. 2019, section 3.1): 15 % of the tokens are to be named; of these 80 % are
replaced by the mask, 10 % by a random piece, 10 % stay.

Noise is drawn anew for each input, from the seed and the input's number in the run alone.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stiltgrid.errors import StiltgridError
from stiltgrid.formulations.features import Feature
from stiltgrid.texts import Lines, open_text
from stiltgrid.tokenization import SENTINELS, Tokens

DENOISING = "denoising"
"""The task's name in a feature."""

NOISE = 0.15
MEAN_SPAN = 3.0
MASKED, RANDOM = 0.8, 0.1
CHARACTERS_A_TOKEN = 16
"""A line longer than this many characters for each token of an input is cut before it is tokenised."""
DRAWS = 100

Corrupt = Callable[[Tokens, list[int], int, np.random.Generator], Feature]


def noisy_spans(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return which tokens are noise: (length,) bool, spans as T5's; at least one token is kept and one is not.

    Args:
        length: tokens, at least 2.
        rng: of the draws.
    """
    noise = min(max(round(length * NOISE), 1), length - 1)
    # a sentinel for each span, a kept token before each
    spans = min(max(round(noise / MEAN_SPAN), 1), SENTINELS, length - noise)
    lengths = np.stack([_segments(length - noise, spans, rng), _segments(noise, spans, rng)], axis=1).ravel()
    return np.repeat(np.arange(2 * spans) % 2 == 1, lengths)


def _segments(total: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a length into so many parts of at least 1, all ways being as likely."""
    cuts = np.sort(rng.choice(total - 1, number - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))


def corrupt_spans(tokens: Tokens, ids: list[int], start: int, rng: np.random.Generator) -> Feature:
    """Return the input and the target of span corruption; without noise the two would join to the text.

    Args:
        tokens: the vocabulary.
        ids: at least 2 tokens of text.
        start: id that starts the decoder.
        rng: of the noise.
    """
    noise = noisy_spans(len(ids), rng)
    inputs: list[int] = []
    target: list[int] = []
    span = -1
    for place, piece in enumerate(ids):
        if noise[place] and (place == 0 or not noise[place - 1]):
            span += 1
            inputs.append(tokens.sentinels[span])
            target.append(tokens.sentinels[span])
        (target if noise[place] else inputs).append(piece)
    inputs.append(tokens.end)
    target.append(tokens.end)
    return Feature(
        task=DENOISING,
        row=0,
        first=0,
        units=1,
        input_ids=inputs,
        type_ids=[],
        decoder_ids=[start, *target[:-1]],
        positions=[],
        labels=target,
        truncated=False,
    )


def mask_words(tokens: Tokens, ids: list[int], start: int, rng: np.random.Generator) -> Feature:
    """Return an input with masked tokens, and these tokens as labels at their positions.

    Args:
        tokens: the vocabulary.
        ids: at least one token of text.
        start: unused; an encoder has no decoder.
        rng: of the noise.
    """
    before, after = tokens.around
    whole = [*before, *ids, *after]
    chosen = np.sort(rng.choice(len(ids), max(1, round(len(ids) * NOISE)), replace=False)) + len(before)
    labels = [whole[place] for place in chosen]
    for place in chosen:
        kind = rng.random()
        if kind < MASKED:
            whole[place] = tokens.mask
        elif kind < MASKED + RANDOM:
            whole[place] = tokens.pieces[int(rng.integers(len(tokens.pieces)))]
    return Feature(
        task=DENOISING,
        row=0,
        first=0,
        units=len(labels),
        input_ids=whole,
        type_ids=[0] * len(whole),
        decoder_ids=[],
        positions=chosen.tolist(),
        labels=labels,
        truncated=False,
    )


CORRUPTIONS: dict[str, Corrupt] = {"text2text": corrupt_spans, "heads": mask_words}


class Denoising:
    """The denoising inputs of a run: the k-th is a function of the seed and k alone.

    Args:
        family: text2text or heads.
        tokens: the vocabulary.
        paths: indexes of the text, one a language.
        alpha: see `stiltgrid.texts.language_shares`.
        length: most tokens of an input.
        start: id that starts the decoder.
        seed: the run's.

    Raises:
        StiltgridError: if a text is missing or not the one that was indexed, or the vocabulary lacks mask or sentinels.
    """

    def __init__(
        self, family: str, tokens: Tokens, paths: Sequence[Path | str], alpha: float, length: int, start: int, seed: int
    ) -> None:
        self.lines = Lines([open_text(path) for path in paths], alpha, seed)
        self.tokens, self.length, self.start, self.seed = tokens, length, start, seed
        self.corrupt = CORRUPTIONS[family]
        self.least = 2 if family == "text2text" else 1
        # asked for now: a run should not find out at its first denoising step
        _ = tokens.sentinels if family == "text2text" else tokens.mask

    def size(self, k: int) -> int:
        """Return the bytes of the k-th input's line."""
        text, number = self.lines.at(k)
        return text.size(number)

    def language(self, k: int) -> str:
        """Return the language of the k-th input."""
        return self.lines.at(k)[0].language

    def feature(self, k: int) -> Feature:
        """Return the k-th input; of a long line a part, beginning anywhere.

        Raises:
            StiltgridError: if line after line is too short to corrupt.
        """
        text, number = self.lines.at(k)
        rng = np.random.default_rng([self.seed, k, 4])
        room = self.length - max(1, sum(map(len, self.tokens.around)))
        for _ in range(DRAWS):
            line, most = text.line(number), CHARACTERS_A_TOKEN * room
            if len(line) > most:
                at = int(rng.integers(len(line) - most + 1))
                line = line[at : at + most]
            ids = self.tokens.ids([line])[0]
            if len(ids) > room:
                at = int(rng.integers(len(ids) - room + 1))
                ids = ids[at : at + room]
            if len(ids) >= self.least:
                return self.corrupt(self.tokens, ids, self.start, rng)
            number = int(rng.integers(text.lines))  # another line of the same language
        raise StiltgridError(
            f"{text.source}: {DRAWS} lines in a row have fewer than {self.least} tokens; expected sentences"
        )
