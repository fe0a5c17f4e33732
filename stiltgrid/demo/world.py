"""The miniature's data, written in the original release layouts that `stiltgrid.readers` reads for the benchmarks."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stiltgrid.artifacts import write_text
from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.grammar import Scene, render, sentence
from stiltgrid.demo.scenes import inference_rows, paraphrase_rows, question, story, tagged_scene


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows by file family; dev and test are counted in each language. Inference counts are multiples of three."""

    xnli_train: int = 6000
    pawsx_train: int = 6000
    pos_train: int = 2000
    nc_train: int = 1000
    mnli_train: int = 6000
    qqp_train: int = 6000
    dev: int = 150
    test: int = 300


def _lines(rows: Sequence[Sequence[object]], header: Sequence[str] = ()) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in ([header] if header else []) + list(rows))


def _conll(scenes: Sequence[Scene], language: str) -> str:
    # no blank line after the last sentence: XGLUE's files end so
    return "\n\n".join("\n".join(f"{w.text} {w.tag}" for w in render(s, language)) for s in scenes) + "\n"


_MNLI_COLUMNS = [
    "index",
    "promptID",
    "pairID",
    "genre",
    "sentence1_binary_parse",
    "sentence2_binary_parse",
    "sentence1_parse",
    "sentence2_parse",
    "sentence1",
    "sentence2",
]


def _glue_mnli(rows: Sequence[tuple[Scene, Scene, str]], annotators: int) -> str:
    columns = [*_MNLI_COLUMNS, *(f"label{i + 1}" for i in range(annotators)), "gold_label"]
    lines = []
    for i, (premise, hypothesis, label) in enumerate(rows):
        first, second = sentence(premise, "en"), sentence(hypothesis, "en")
        parse = ("( toy )", "( toy )", "(ROOT toy)", "(ROOT toy)")  # read by nobody
        pair = f"{i // 3}{label[0]}"
        lines.append((i, i // 3, pair, "miniature", *parse, first, second, *[label] * (annotators + 1)))
    return _lines(lines, columns)


def write_sources(folder: Path | str, *, seed: int = 0, sizes: Sizes | None = None) -> None:
    """Write the miniature's source files.

    Args:
        folder: receives `xglue_full_dataset/` (XNLI, PAWSX, POS, NC), `MNLI/` and `QQP/`.
        seed: of everything; equal seeds and sizes give equal bytes.
        sizes: rows a file; `Sizes()` when None.
    """
    folder, sizes = Path(folder), sizes or Sizes()
    xglue = folder / "xglue_full_dataset"

    def rng(name: str) -> random.Random:
        # one stream a file, so that a size changed here leaves every other file as it was
        return random.Random(f"{seed}/{name}")

    def pairs(rows: Sequence[tuple[Scene, Scene, object]], language: str) -> list[tuple[str, str, object]]:
        return [(sentence(a, language), sentence(b, language), label) for a, b, label in rows]

    train = inference_rows(rng("xnli.train"), sizes.xnli_train)
    renamed = {"contradiction": "contradictory"}  # the spelling of XGLUE's own training file
    write_text(
        xglue / "XNLI" / "multinli.train.en.tsv",
        _lines([(p, h, renamed.get(y, y)) for p, h, y in pairs(train, "en")], ("premise", "hypo", "label")),
    )
    header = ("id", "sentence1", "sentence2", "label")

    def numbered(rows: Sequence[tuple[Scene, Scene, int]], language: str) -> str:
        return _lines([(i + 1, *row) for i, row in enumerate(pairs(rows, language))], header)

    def stories(rows: Sequence[tuple[Scene, Scene, str]], language: str) -> str:
        return _lines(pairs(rows, language))

    def many(name: str, draw: Callable[[random.Random], object], count: int) -> list:
        source = rng(name)
        return [draw(source) for _ in range(count)]

    write_text(
        xglue / "PAWSX" / "en" / "train.tsv", numbered(paraphrase_rows(rng("pawsx.train"), sizes.pawsx_train), "en")
    )
    write_text(xglue / "POS" / "en.train", _conll(many("pos.train", tagged_scene, sizes.pos_train), "en"))
    write_text(xglue / "NC" / "xglue.nc.en.train", stories(many("nc.train", story, sizes.nc_train), "en"))
    for split, count in (("dev", sizes.dev), ("test", sizes.test)):
        nli = inference_rows(rng(f"xnli.{split}"), count)
        paws = paraphrase_rows(rng(f"pawsx.{split}"), count)
        tagged = many(f"pos.{split}", tagged_scene, count)
        news = many(f"nc.{split}", story, count)
        for language in lx.LANGUAGES:
            write_text(xglue / "XNLI" / f"{language}.{split}", _lines(pairs(nli, language)))
            write_text(xglue / "PAWSX" / language / f"{split}_2k.tsv", numbered(paws, language))
            write_text(xglue / "POS" / f"{language}.{split}", _conll(tagged, language))
            write_text(xglue / "NC" / f"xglue.nc.{language}.{split}", stories(news, language))

    # MNLI's genre has more to say about where and when than XNLI's
    genre = {"placed": 0.6, "timed": 0.5, "modal": 0.4}
    write_text(folder / "MNLI" / "train.tsv", _glue_mnli(inference_rows(rng("mnli"), sizes.mnli_train, **genre), 1))
    write_text(folder / "MNLI" / "dev_matched.tsv", _glue_mnli(inference_rows(rng("mnli.dev"), sizes.dev, **genre), 5))
    for split, count in (("train", sizes.qqp_train), ("dev", sizes.dev)):
        rows = [
            (i, 2 * i + 1, 2 * i + 2, question(a), question(b), label)
            for i, (a, b, label) in enumerate(paraphrase_rows(rng(f"qqp.{split}"), count))
        ]
        write_text(
            folder / "QQP" / f"{split}.tsv",
            _lines(rows, ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"]),
        )
