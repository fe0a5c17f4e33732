"""Word embeddings that are aligned across languages, from code-switched parallel text alone.

In: sentences of the toy world in four languages. Out: a vector a piece, such that translations point the same
way. PPMI and SVD as Levy & Goldberg (2014), over counts in which translations of one sentence meet as in
cross-language latent semantic indexing (Dumais et al. 1997).
"""

import random
from collections.abc import Sequence

import numpy as np

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.grammar import Word

COMPONENTS = 160  # singular vectors kept: somewhat more than there are concepts


class ParallelText:
    """Sentences in every language as piece ids, with the alignment of their words."""

    def __init__(self, text: Sequence[dict[str, list[Word]]], ids: dict[str, int]):
        self.ids = ids
        self.sentences: list[dict[str, list[int]]] = []
        self.keys: list[dict[str, list[str | None]]] = []
        self.aligned: list[dict[str, dict[str, int]]] = []
        for rendered in text:
            pieces = {language: [self._piece(w) for w in words] for language, words in rendered.items()}
            keys = {language: [w.key for w in words] for language, words in rendered.items()}
            self.sentences.append(pieces)
            self.keys.append(keys)
            self.aligned.append({lang: dict(zip(keys[lang], pieces[lang], strict=True)) for lang in lx.LANGUAGES})

    def _piece(self, word: Word) -> int:
        return self.ids[word.text] if word.tag == "PUNCT" else self.ids[f"▁{word.text}"]

    def switched(self, index: int, language: str, rng: random.Random, share: float) -> list[int]:
        """Return a sentence with about `share` of its words taken from the other languages."""
        words = []
        for piece, key in zip(self.sentences[index][language], self.keys[index][language], strict=True):
            if key is not None and rng.random() < share:
                piece = self.aligned[index][rng.choice(lx.LANGUAGES)].get(key, piece)
            words.append(piece)
        return words


def cooccurrence(text: ParallelText, rng: random.Random, size: int, *, rounds: int = 3, window: int = 2) -> np.ndarray:
    """Count which pieces meet: within `window` words of code-switched text, and as translations of each other.

    Returns:
        Symmetric counts, `size` x `size`, float64.
    """
    left: list[int] = []
    right: list[int] = []
    weight: list[float] = []
    for index in range(len(text.sentences)):
        for _ in range(rounds):
            words = text.switched(index, rng.choice(lx.LANGUAGES), rng, 0.75)
            for i in range(len(words)):
                for j in range(i + 1, min(i + 1 + window, len(words))):
                    left.append(words[i])
                    right.append(words[j])
                    weight.append(1.0)
        sides = text.aligned[index]
        for key in sides["en"]:
            if key is None:
                continue
            forms = [sides[language][key] for language in lx.LANGUAGES if key in sides[language]]
            for a in forms:
                for b in forms:
                    left.append(a)
                    right.append(b)
                    weight.append(1.5)
    counts = np.zeros((size, size))
    np.add.at(counts, (left, right), weight)
    return counts + counts.T


def embeddings(counts: np.ndarray, width: int, rank: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return one vector a piece: PPMI, SVD, and a random projection into `rank` of `width` dimensions.

    Every concept gets a direction of its own, shared by its words in all languages, nearly orthogonal to others.

    Args:
        counts: symmetric co-occurrence counts, n x n.
        width: columns of the result.
        rank: dimensions that the vectors span (but for a little noise).
        rng: the source of chance.

    Returns:
        The vectors, n x width, float32, each row of root mean square 1 (pieces that were never met get a random
        direction); and the axes, width x width, orthonormal rows, of which the first `rank` span the vectors.
    """
    met = counts.sum(1) > 0
    table = counts[np.ix_(met, met)]
    rows = table.sum(1)
    context = rows**0.75 / (rows**0.75).sum()  # smoothed contexts, Levy et al. 2015
    with np.errstate(divide="ignore"):
        ppmi = np.maximum(np.log(table * (1 / rows[:, None]) / context[None, :]), 0)
    ppmi[~np.isfinite(ppmi)] = 0
    # as in spectral clustering: else a concept with one form (a name) has a small singular value and is cut off
    scale = 1 / np.sqrt(ppmi.sum(1))
    u, s, _ = np.linalg.svd(ppmi * scale[:, None] * scale[None, :])
    kept = (u[:, :COMPONENTS] * s[:COMPONENTS]) @ rng.standard_normal((COMPONENTS, rank))
    kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    axes = np.linalg.qr(rng.standard_normal((width, width)))[0]
    vectors = rng.standard_normal((len(counts), width))
    own = rng.standard_normal((len(kept), width)) * 0.15 / np.sqrt(width)  # tells near-equal words apart
    vectors[met] = kept @ axes[:rank] + own
    return (vectors / np.sqrt((vectors**2).mean(1, keepdims=True))).astype(np.float32), axes
