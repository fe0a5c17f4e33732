"""The miniature's vocabulary: one Unigram piece for each word of the world, laid out as mT5 lays out its own.

Ids: <pad> 0, </s> 1, <unk> 2, then the pieces, then the hundred sentinels from <extra_id_99> down to <extra_id_0>.
"""

import string
from pathlib import Path

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.corpus import vocabulary_text

SENTINELS = 100
# words of tasks' prompts and verbalisers. A list of its own, not the registry's rows: a new task must not change the
# miniature's models, whose numbers the README prints; other words are spelt by characters
_TASK_WORDS = """
and anli answer article bad be body car ccg comma context cosmosqa csqa description different ending
entertainment excellent fair firm five food good group health hellaswag hello human hypothesis if john land
life maybe mlqa mnli money name nc ner news no noun ntg of other particle passage pawsx perfect place pos
premise qadsm qam qg qqp query question question1 question2 quickly same sentence1 sentence2 snippet snli
sport squad squad_v2 symbol text the thing title travel udpos unknown verb video word wpr xnli yes you
"""
_MARKS = (".", ",", "?", ":", "!", "'", "-", "_", "/", "(", ")", '"')


def pieces() -> list[tuple[str, float]]:
    """Return the Unigram pieces with their log-probabilities, in the order of their ids.

    Whole words come first and are likelier than any spelling by characters, so each word of the world is one piece
    and any other text falls back to characters.
    """
    # a closing mark follows its word without a space in text, and stands alone between tagged words
    whole = dict.fromkeys(
        [*(f"▁{word}" for word in (*lx.LANGUAGES, *vocabulary_text(), *_TASK_WORDS.split())), *(f"▁{m}" for m in ".,?")]
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
