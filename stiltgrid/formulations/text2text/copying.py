"""From an answer as the vocabulary spells it back to the span of the context, byte for byte.

Vocabularies normalise: mT5's turns full-width digits into digits, ideographic and no-break spaces into spaces,
ligatures into letters. What a model writes is normalised too, so an answer that it copied faithfully would differ from
the gold answer in bytes (and in exact match, where the metric does not happen to normalise the same way).
"""

import re

from stiltgrid.tokenization import WORD_START, Tokens


def copied(tokens: Tokens, context: str, written: str) -> str:
    """Return the span of the context that the vocabulary spells as `written`; without one, `written` itself.

    Of several spans, one that is `written` itself, else the first; of spans that differ only in characters which the
    normaliser drops at their end, the shortest.

    Args:
        tokens: the vocabulary.
        context: the text that the answer should come from.
        written: the answer as it was decoded.
    """
    if not written.strip() or written in context:
        return written
    seen, places = _as_seen(tokens, context)
    wanted = re.compile(r"\s+".join(map(re.escape, written.split(" "))))
    found = wanted.search(seen)
    while found:
        first, after = found.span()
        start, stop = places[first][0], places[after - 1][1]
        # Of a run of spaces the last may stand for all; characters up to the next may have been composed into the
        # last, or dropped: spelling the span tells.
        least = min(places[after - 2][1] + 1, stop) if after - first > 1 else start + 1
        most = max(places[after][0] if after < len(places) else len(context), stop)
        for end in range(least, most + 1):
            if tokens.texts(tokens.ids([context[start:end]])) == [written]:
                return context[start:end]
        found = wanted.search(seen, first + 1)
    return written


def _as_seen(tokens: Tokens, text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a text after the vocabulary's normaliser and, for each character of that, where it stands in the text."""
    from tokenizers import PreTokenizedString, Regex

    pieces = PreTokenizedString(text)
    if tokens.backend.normalizer is not None:
        pieces.normalize(tokens.backend.normalizer.normalize)
    pieces.split(lambda _, part: part.split(Regex(r"[\s\S]"), "isolated"))
    splits = pieces.get_splits("original", "char")
    return "".join(piece for piece, _, _ in splits).replace(WORD_START, " "), [place for _, place, _ in splits]
