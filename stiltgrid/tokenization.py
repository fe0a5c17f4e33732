"""A model's vocabulary: text in, ids out and back, with the library `tokenizers` alone.

The tokenizer is read from the pretrained folder (never from a checkpoint). Three traps of mT5's vocabulary are mended
here: transformers 5 builds it without byte fallback, so that characters outside the vocabulary become `<unk>`
although the vocabulary holds the 256 byte pieces; nothing joins the bytes that a model writes to characters; and 100
sentinels are appended to a raw `spiece.model`, past the rows of the model's embedding, unless the library is told that
there are none to add.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError

WORD_START = "▁"  # sentencepiece's mark of a space
SENTINELS = 100
MASKS = ("<mask>", "[MASK]")


@dataclass(frozen=True)
class Tokens:
    """A vocabulary and the ids that the formulations need.

    Attributes:
        backend: a `tokenizers.Tokenizer` without truncation or padding.
        folder: where it was read, for messages.
        pad: id of the padding piece.
        unknown: id of the unknown piece.
        end: id of the end-of-sequence piece.
    """

    backend: Any
    folder: str
    pad: int
    unknown: int
    end: int

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without the model's special pieces around it."""
        return [e.ids for e in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def texts(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each list of ids, byte for byte as the pieces spell it.

        Pieces that are no part of a text (`unspoken`, end-of-sequence) are left out, byte pieces are joined to
        characters, and no space is taken away before punctuation. Bytes that are not UTF-8 become U+FFFD.
        """
        silent = self.unspoken | {self.end}
        kept = [[i for i in row if i not in silent] for row in ids]
        return self.backend.decode_batch(kept, skip_special_tokens=False)

    @cached_property
    def size(self) -> int:
        """Rows that an embedding needs: the highest id plus one."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def numbers(self) -> list[int]:
        """Every id once, by itself: lists that refer to these share them."""
        return list(range(self.size))

    @cached_property
    def lone_marks(self) -> frozenset[int]:
        """Ids of pieces that carry no character of a word: the bare word-start mark."""
        found = self.backend.token_to_id(WORD_START)
        return frozenset() if found is None else frozenset([found])

    @cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """Ids that the model was pretrained to have before and after one text."""
        probe = self.backend.encode("a", add_special_tokens=False).ids
        whole = self.backend.encode("a").ids
        extra = len(whole) - len(probe)
        at = next(i for i in range(extra + 1) if whole[i : i + len(probe)] == probe)
        return whole[:at], whole[at + len(probe) :]

    @cached_property
    def mask(self) -> int:
        """Id of the mask.

        Raises:
            StiltgridError: if the vocabulary has none.
        """
        for name in MASKS:
            if (found := self.backend.token_to_id(name)) is not None:
                return found
        raise StiltgridError(
            f"{self.folder}: the vocabulary has no mask ({' or '.join(MASKS)}), which `denoising` of an encoder needs; "
            "choose an encoder that was pretrained with one, or the family text2text"
        )

    @cached_property
    def pieces(self) -> list[int]:
        """Ids of all pieces that a text may have, ascending: neither special nor unknown."""
        special = {i for i, piece in self.backend.get_added_tokens_decoder().items() if piece.special}
        return sorted(set(self.backend.get_vocab().values()) - special - self.unspoken - {self.end})

    @cached_property
    def sentinels(self) -> tuple[int, ...]:
        """Ids of `<extra_id_0>` to `<extra_id_99>`; mT5's own vocabulary spells them with a word-start mark.

        Raises:
            StiltgridError: if the vocabulary lacks one.
        """
        ids = []
        for number in range(SENTINELS):
            found = self._sentinel(number)
            if found is None:
                raise StiltgridError(
                    f"{self.folder}: the vocabulary has no <extra_id_{number}>; tagging as text needs {SENTINELS} "
                    "sentinels: choose a T5-like model, or the family `heads`"
                )
            ids.append(found)
        return tuple(ids)

    def _sentinel(self, number: int) -> int | None:
        name = f"<extra_id_{number}>"
        found = self.backend.token_to_id(name)
        return self.backend.token_to_id(WORD_START + name) if found is None else found

    @cached_property
    def unspoken(self) -> frozenset[int]:
        """Ids that are never part of a text: padding, the unknown piece, sentinels and other special pieces.

        End-of-sequence is not among them: a model must be able to write it.
        """
        special = {i for i, piece in self.backend.get_added_tokens_decoder().items() if piece.special}
        sentinels = {i for i in map(self._sentinel, range(SENTINELS)) if i is not None}
        return frozenset((special | sentinels | {self.pad, self.unknown}) - {self.end})


def limit_threads(number: int) -> None:
    """Let the tokenizer use as many threads as the job has cores; its threads are counted when it first runs."""
    os.environ.setdefault("RAYON_NUM_THREADS", str(number))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if number > 1 else "false")


def load_tokens(folder: Path | str) -> Tokens:
    """Read the vocabulary of a pretrained folder.

    Args:
        folder: holds `tokenizer.json`, or a sentencepiece model that transformers can convert.

    Raises:
        StiltgridError: if there is no tokenizer, or it lacks the padding, unknown or end piece.
    """
    folder = Path(folder)
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    elif (folder / "spiece.model").is_file() or (folder / "sentencepiece.bpe.model").is_file():
        from transformers import AutoTokenizer

        # without extra_ids=0, 100 sentinels are appended although mT5's sentencepiece model already holds them
        backend = AutoTokenizer.from_pretrained(folder, extra_ids=0).backend_tokenizer
    else:
        raise StiltgridError(
            f"{folder}: no tokenizer; expected tokenizer.json, spiece.model or sentencepiece.bpe.model"
        )
    backend = with_decoder(with_byte_fallback(backend))
    backend.no_truncation()
    backend.no_padding()
    return Tokens(backend=backend, folder=str(folder), **_special_ids(backend, folder))


def with_byte_fallback(backend: Any) -> Any:
    """Return the tokenizer with byte fallback on where its vocabulary has byte pieces, as sentencepiece itself does.

    Args:
        backend: a `tokenizers.Tokenizer`.

    Returns:
        The same object if there is nothing to mend, else a new one.
    """
    if backend.token_to_id("<0x00>") is None or backend.token_to_id("<0xFF>") is None:
        return backend
    state = json.loads(backend.to_str())
    if state["model"].get("byte_fallback", True):
        return backend
    state["model"]["byte_fallback"] = True
    return type(backend).from_str(json.dumps(state))


def with_decoder(backend: Any) -> Any:
    """Return the tokenizer with a decoder that joins pieces to the text that they came from.

    A vocabulary of sentencepiece that names no decoder is given its own (word-start marks to spaces); without one the
    library puts a space between all pieces. Where there are byte pieces, they are joined to characters first.

    Args:
        backend: a `tokenizers.Tokenizer`; is changed.
    """
    from tokenizers import decoders

    if backend.decoder is None and type(backend.pre_tokenizer).__name__ == "Metaspace":
        backend.decoder = decoders.Metaspace(prepend_scheme=backend.pre_tokenizer.prepend_scheme)
    bytes_known = backend.token_to_id("<0x00>") is not None and backend.token_to_id("<0xFF>") is not None
    if bytes_known and backend.decoder is not None and "ByteFallback" not in repr(backend.decoder):
        backend.decoder = decoders.Sequence([decoders.ByteFallback(), backend.decoder])
    return backend


def _special_ids(backend: Any, folder: Path) -> dict[str, int]:
    names: dict[str, Any] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / file).is_file():
            names.update(read_json(folder / file))
    ids = {}
    for key, setting, fallbacks in (
        ("pad", "pad_token", ("<pad>", "[PAD]")),
        ("unknown", "unk_token", ("<unk>", "[UNK]")),
        ("end", "eos_token", ("</s>", "[SEP]")),
    ):
        named = names.get(setting)
        named = named.get("content") if isinstance(named, dict) else named
        found = [backend.token_to_id(n) for n in (named, *fallbacks) if n]
        found = [i for i in found if i is not None]
        if not found:
            raise StiltgridError(f"{folder}: the vocabulary has no {setting}; set it in tokenizer_config.json")
        ids[key] = found[0]
    return ids
