"""Scoring from saved predictions: all eleven XGLUE tasks in every language, at their published test sizes.

Random gold rows and random predictions are written to a temporary folder as the workflow lays them out; then
`workflow/scripts/rescore.py` scores them, as a user would run it: files are read and checked, statistics and scores
written. Making the rows is not counted. Lengths of texts are about those of the real tasks, and answers share half
of their words with the gold, about, because a match costs more than a miss.
"""

import random
import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from measure import CHECKOUT, environment, machine, parser, timed_command

from stiltgrid.artifacts import write_json
from stiltgrid.config import validate
from stiltgrid.examples import Example, write_examples
from stiltgrid.grid import Cell, Grid, Run
from stiltgrid.predict_languages import keys
from stiltgrid.predictions import Prediction, write_predictions
from stiltgrid.tasks.registry import TaskRow, tasks

EXAMPLES = """  python benchmarks/rescore.py
  python benchmarks/rescore.py --share 0.02 --processes 1
  python benchmarks/rescore.py --keep /tmp/rescore      the folder stays, to profile the script in it
"""
RAW: dict[str, Any] = {
    "grid": "rescore",
    "seeds": 1,
    "models": {"random": {"source": "demo:base"}},
    "intermediates": {"none": {}},
    "targets": {name.split("/")[1]: {"task": name} for name in tasks() if name.startswith("xglue/")},
}
LETTERS = {
    "ar": (0x0627, 0x064A),
    "bg": (0x0430, 0x044F),
    "el": (0x03B1, 0x03C9),
    "hi": (0x0905, 0x0939),
    "ru": (0x0430, 0x044F),
    "th": (0x0E01, 0x0E2E),
    "ur": (0x0627, 0x06CC),
    "zh": (0x4E00, 0x9FA5),
}
"""First and last letter of a made-up word; Latin ones in every other language."""
UNSPACED = {"th", "zh"}
WORDS = {
    "context": 150,
    "passage": 55,
    "article": 350,
    "body": 350,
    "premise": 20,
    "hypothesis": 11,
    "question": 10,
    "snippet": 30,
    "description": 14,
}
"""Words of a field, about; 10 in every other."""
OUTPUT_WORDS = {"span": 3, "generation": 10}
DOCUMENTS = 12  # of a query of WPR, at most


class Text:
    """Running text of one language, words drawn by Zipf's law, from which stretches are cut."""

    def __init__(self, language: str) -> None:
        self.rng = rng = random.Random(language)
        first, last = LETTERS.get(language, (0x61, 0x7A))
        size = (1, 3) if language == "zh" else (2, 10)
        letters = [chr(i) for i in range(first, last + 1)]
        vocabulary = ["".join(rng.choices(letters, k=rng.randint(*size))) for _ in range(8000)]
        self.gap = "" if language in UNSPACED else " "
        self.words = rng.choices(vocabulary, [1 / rank for rank in range(1, 8001)], k=50_000)
        for i in range(0, len(self.words), 9):
            self.words[i] += rng.choice(",.?!-")

    def words_of(self, mean: int) -> list[str]:
        """Return some words, half to one and a half times `mean`."""
        size = self.rng.randint(max(1, mean // 2), max(2, mean * 3 // 2))
        start = self.rng.randrange(len(self.words) - size)
        return self.words[start : start + size]

    def stretch(self, mean: int) -> str:
        """Return a text of about `mean` words."""
        return self.gap.join(self.words_of(mean))

    def half_right(self, words: list[str]) -> str:
        """Return a text about half of whose words are these, in their order."""
        return self.gap.join(w if self.rng.random() < 0.5 else self.rng.choice(self.words) for w in words)


text_of = cache(Text)


def rows(task: TaskRow, language: str, number: int) -> tuple[list[Example], list[Prediction]]:
    """Return random gold examples of a task and random predictions for them."""
    text = text_of(language)
    rng, labels = text.rng, list(task.labels)
    examples, predictions, group = [], [], 0
    for i in range(number):
        name = str(i)
        group = group if i and rng.random() < 1 - 2 / DOCUMENTS else i
        if task.kind == "tagging":
            words = tuple(text.words_of(18))
            tags = tuple(rng.choices(labels, k=len(words)))
            said = tuple(tag if rng.random() < 0.7 else rng.choice(labels) for tag in tags)
            examples.append(Example(name, name, words=words, tags=tags))
            predictions.append(Prediction(name, tags=said, truncated=False))
            continue
        fields = {field: text.stretch(WORDS.get(field, 10)) for field in task.fields}
        if task.kind in OUTPUT_WORDS:
            gold = text.words_of(OUTPUT_WORDS[task.kind])
            reference = text.gap.join(gold)
            starts = None
            if task.kind == "span":
                starts = (len(fields["context"]),)
                fields["context"] += reference
            examples.append(Example(name, name, fields, references=(reference,), starts=starts))
            predictions.append(Prediction(name, text=text.half_right(gold), truncated=False))
            continue
        scores = tuple(-8 * rng.random() for _ in labels)
        value = rng.random() * 4 if task.kind == "ranking" else None
        examples.append(Example(name, str(group), fields, label=rng.choice(labels)))
        predictions.append(Prediction(name, rng.choice(labels), scores, value, truncated=False))
    return examples, predictions


def size(task: TaskRow, language: str, share: float) -> int:
    """Return the published number of test rows, or a share of them."""
    return max(50, round(share * task.sizes.get(f"test.{language}", task.sizes.get("test", 0))))


def fill(folder: Path, grid: Grid, share: float) -> int:
    """Write gold, manifests and predictions of every run of a grid; return the rows written."""
    total = 0
    for run in grid.runs:
        task, languages = grid.tasks[run.target], grid.languages(run.target)
        manifest = {"digest": run.target, "recipe_hash": run.target, "recipe": {}, "counts": {}}
        write_json(folder / grid.paths.checkpoint(Run(*run)), manifest)
        data, said = {}, {}
        for language in languages:
            data[language] = folder / grid.paths.data(grid.evaluation(run.target, language))
            examples, said[language] = rows(task, language, size(task, language, share))
            write_examples(data[language], examples, {})
            total += len(examples)
        key = keys(manifest, task, data, grid.decoding(run.target, run.model))
        for language in languages:
            path = folder / grid.paths.prediction(Cell(*run[:3], language, run.seed))
            write_predictions(path, said[language], {"key": key[language], "model_digest": manifest["digest"]})
        print(f"{task.name}: rows written", flush=True)
    return total


def measure(folder: Path, share: float, processes: int) -> None:
    """Fill a folder, rescore it, print what it took."""
    grid = Grid(validate(RAW))
    write_json(folder / "config.json", RAW)  # JSON is YAML
    number = fill(folder, grid, share)
    script = CHECKOUT / "workflow/scripts/rescore.py"
    command = [sys.executable, str(script), "--config", "config.json", "--processes", str(processes)]
    seconds, _ = timed_command(command, folder, environment(), folder / "log")
    text = (folder / grid.paths.root / "rescore.md").read_text(encoding="utf-8")
    print("\n" + "\n".join(re.findall(r"^\|.*", text, flags=re.MULTILINE)))
    print(
        f"\n{len(grid.runs)} tasks, {len(list(grid.cells()))} languages of tasks, {number:,} rows, {processes} "
        f"processes: {seconds.wall:.1f} s on the clock, {seconds.cpu:.1f} CPU s with start-up"
    )
    print(machine("sacrebleu", "pyarrow", "numpy", "stiltgrid"))


def main() -> None:
    """Measure in a folder that stays or one that goes."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--share", type=float, default=1.0, help="of the published rows")
    options.add_argument("--keep", type=Path, metavar="FOLDER", help="write here and leave it")
    args = options.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
        measure(args.keep, args.share, args.processes)
        return
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), args.share, args.processes)


if __name__ == "__main__":
    main()
