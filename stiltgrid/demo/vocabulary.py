"""The miniature's vocabulary: one Unigram piece for each word of the world, laid out as mT5 lays out its own.

Ids: <pad> 0, </s> 1, <unk> 2, then the pieces, then the hundred sentinels from <extra_id_99> down to <extra_id_0>.
"""

import string
from pathlib import Path

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.corpus import vocabulary_text
from stiltgrid.tasks.registry import tasks

SENTINELS = 100
# the words that the text2text formulations put around the fields, besides task and field names
_PROMPT_WORDS = ("premise", "hypothesis", "sentence1", "sentence2", "question", "context", "title", "body", "text")
_MARKS = (".", ",", "?", ":", "!", "'", "-", "_", "/", "(", ")", '"')


def task_words() -> list[str]:
    """Return the words of every registry task's prompts and verbalisers, sorted."""
    words = set(_PROMPT_WORDS)
    for row in tasks().values():
        words |= {row.name.split("/")[1], *row.fields}
        for text in row.labels.values():
            words.update(text.split())
    return sorted(words)


def pieces() -> list[tuple[str, float]]:
    """Return the Unigram pieces with their log-probabilities, in the order of their ids.

    Whole words come first and are likelier than any spelling by characters, so each word of the world is one piece
    and any other text falls back to characters.
    """
    # a closing mark follows its word without a space in text, and stands alone between tagged words
    whole = dict.fromkeys(
        [*(f"▁{word}" for word in (*lx.LANGUAGES, *vocabulary_text(), *task_words())), *(f"▁{m}" for m in ".,?")]
    )
    letters = {c for piece in whole for c in piece} | set(string.ascii_letters + string.digits) | set(_MARKS)
    characters = [c for c in sorted(letters) if c not in whole]
    return (
        [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
        + [(piece, -6.0) for piece in whole]
        + [(c, -4.0 if c in _MARKS else -12.0) for c in characters]
        + [(f"<extra_id_{i}>", 0.0) for i in reversed(range(SENTINELS))]
    )


def tokenizer():
    """Return the tokenizer, of the class that loads mT5's own (`transformers.T5Tokenizer`)."""
    from transformers import T5Tokenizer

    return T5Tokenizer(vocab=pieces(), extra_ids=SENTINELS, model_max_length=512)


def save_tokenizer(folder: Path | str) -> dict[str, int]:
    """Write the tokenizer's files and return the ids by piece."""
    made = tokenizer()
    made.save_pretrained(str(folder))
    return made.get_vocab()
