"""Where each piece of a text lies in it, in code points, so that a span of pieces is a span of the text.

The library says from which characters a piece was made. That is mended in three ways: the space or zero-width
character before a word belongs to no piece; a character that the normaliser composed with the one before it (a
combining mark, a Hangul jamo) belongs to that one's piece; a bare word-start mark has no characters.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache

from stiltgrid.tokenization import Tokens

Offsets = tuple[tuple[int, int], ...]


def located(tokens: Tokens, texts: Iterable[str]) -> dict[str, tuple[list[int], Offsets]]:
    """Return the pieces of each text and where they lie in it.

    Args:
        tokens: the vocabulary.
        texts: each is looked at once, however often it occurs.

    Returns:
        Text -> ids, and for each id (first code point, one past the last); the two are equal where a piece holds no
        character of the text. A text in which the vocabulary sees nothing is one unknown piece.
    """
    unique = list(dict.fromkeys(texts))
    found = {}
    for text, encoding in zip(unique, tokens.backend.encode_batch(unique, add_special_tokens=False), strict=True):
        begins = [begin for begin, _ in encoding.offsets] + [len(text)]
        offsets = tuple(
            (begin, begin) if piece in tokens.lone_marks else _content(text, begin, end, begins[i + 1])
            for i, (piece, (begin, end)) in enumerate(zip(encoding.ids, encoding.offsets, strict=True))
        )
        if any(begin < end for begin, end in offsets):
            found[text] = encoding.ids, offsets
        else:
            found[text] = [tokens.unknown], ((0, len(text)),)
    return found


def _content(text: str, begin: int, end: int, following: int) -> tuple[int, int]:
    while end < following and not _blank(text[end]):
        end += 1
    while begin < end and _blank(text[begin]):
        begin += 1
    while begin < end and _blank(text[end - 1]):
        end -= 1
    return begin, end


@cache
def _blank(character: str) -> bool:
    # what sentencepiece's normaliser turns into a space or deletes: separators, controls, zero-width characters
    return unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cc", "Cf")
