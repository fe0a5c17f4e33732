"""The miniature's data, written in the original release layouts that `stiltgrid.readers` reads for the benchmarks."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stiltgrid.artifacts import write_text
from stiltgrid.demo import entities, news, questions, search
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
    ner_train: int = 3000
    mlqa_train: int = 4000
    qadsm_train: int = 5000
    wpr_train: int = 5000
    qam_train: int = 5000
    qg_train: int = 4000
    ntg_train: int = 4000
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
        folder: receives `xglue_full_dataset/` (all eleven tasks), `MNLI/` and `QQP/`.
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
    for split, count in (("train", None), ("dev", sizes.dev), ("test", sizes.test)):
        _write_names_and_questions(xglue, split, sizes, count, rng)
        _write_search(xglue, split, sizes, count, rng)
        _write_texts(xglue, split, sizes, count, rng)


def _languages(split: str, languages: Sequence[str]) -> Sequence[str]:
    return ("en",) if split == "train" else languages


Rng = Callable[[str], random.Random]


def _write_names_and_questions(xglue: Path, split: str, sizes: Sizes, count: int | None, rng: Rng) -> None:
    """NER, and MLQA with SQuAD 1.1's training file."""
    source = rng(f"ner.{split}")
    named = [entities.named_scene(source) for _ in range(count or sizes.ner_train)]
    for language in _languages(split, entities.LANGUAGES):
        write_text(xglue / "NER" / f"{language}.{split}", entities.tagged_text(named, language))
    asked = questions.paragraphs(rng(f"mlqa.{split}"), count or sizes.mlqa_train)
    for language in _languages(split, ("en", "de", "es")):
        path = xglue / "MLQA" / "squad1.1" / "train-v1.1.json"
        if split != "train":
            path = xglue / "MLQA" / "MLQA_V1" / split / f"{split}-context-{language}-question-{language}.json"
        write_text(path, json.dumps(questions.squad(asked, language, split)))


def _write_search(xglue: Path, split: str, sizes: Sizes, count: int | None, rng: Rng) -> None:
    """QADSM, WPR and QAM."""
    offers = search.advertisements(rng(f"qadsm.{split}"), count or sizes.qadsm_train)
    found = search.results(rng(f"wpr.{split}"), count or sizes.wpr_train)
    answers = questions.passages(rng(f"qam.{split}"), count or sizes.qam_train)
    for language in _languages(split, lx.LANGUAGES):
        offered = [
            (w.query(language), search.advertisement_title(o, language), sentence(d, language), label)
            for w, o, d, label in offers
        ]
        ranked = [
            (w.query(language), search.headline(t, language), sentence(s, language), grade) for w, t, s, grade in found
        ]
        matched = [
            (questions.question_text(*q, language), questions.passage_text(told, language), label)
            for q, told, label in answers
        ]
        write_text(xglue / "WPR" / f"xglue.wpr.{language}.{split}", _lines(ranked))
        if language != "es":  # QADSM and QAM have no Spanish
            write_text(xglue / "QADSM" / f"xglue.qadsm.{language}.{split}", _lines(offered))
            write_text(xglue / "QAM" / f"xglue.qam.{language}.{split}", _lines(matched))


def _write_texts(xglue: Path, split: str, sizes: Sizes, count: int | None, rng: Rng) -> None:
    """QG and NTG, each two parallel files."""
    asked = questions.to_be_asked(rng(f"qg.{split}"), count or sizes.qg_train)
    source = rng(f"ntg.{split}")
    told = [news.article(source) for _ in range(count or sizes.ntg_train)]
    for language in _languages(split, lx.LANGUAGES):
        pairs = {
            "qg": [
                (questions.passage_text(scenes, language), questions.question_text(scenes[0], what, language))
                for scenes, what in asked
            ],
            "ntg": [(questions.passage_text(body, language), search.headline(title, language)) for title, body in told],
        }
        for name, rows in pairs.items():
            for side, texts in zip(("src", "tgt"), zip(*rows, strict=True), strict=True):
                path = xglue / name.upper() / f"xglue.{name}.{language}.{side}.{split}"
                write_text(path, "".join(f"{text}\n" for text in texts))
