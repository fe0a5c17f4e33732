"""Print what trivial answers score on a grid's targets: the majority label, a lexicon of tags, random spans.

Writes results/<grid>/baselines.md. Retrieval and generation targets have none.
"""

from collections.abc import Sequence

from stiltgrid.artifacts import write_text
from stiltgrid.baselines import BASELINES, baselines
from stiltgrid.config import load
from stiltgrid.examples import read_examples
from stiltgrid.grid import DataFile, Grid
from stiltgrid.metrics import METRICS
from stiltgrid.paper.render import pipe_table
from stiltgrid.score import score_language
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
snakemake baselines --configfile config/sample-transfer.yaml
python workflow/scripts/baselines.py --config config/sample-transfer.yaml --out baselines.md
"""


def rows_of(grid: Grid, target: str) -> list[list[str]]:
    """Return a line a baseline and metric of a target: names, mean without the training language, each language."""
    task, config = grid.tasks[target], grid.config.targets[target]
    train = read_examples(grid.paths.data(DataFile(task.name, "train", config.source_language)))
    found = []
    for name, answer in baselines(task.kind, train).items():
        scores: dict[str, dict[str, float]] = {metric: {} for metric in task.metrics}
        for language in grid.languages(target):
            examples = read_examples(grid.paths.data(grid.evaluation(target, language)))
            record, _ = score_language(task, language, examples, answer(examples), f"baseline {name}")
            for metric in task.metrics:
                scores[metric][language] = record[metric]
        for metric, values in scores.items():
            others = [value for language, value in values.items() if language != config.source_language]
            mean = f"{sum(others) / len(others):.1f}" if others else "–"
            each = " ".join(f"{language} {value:.1f}" for language, value in values.items())
            found.append([config.title or task.title, name, METRICS[metric].title, mean, each])
    return found


def main(argv: Sequence[str] | None) -> None:
    """Answer, score, print, write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--out", required=True, help="the Markdown file")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    rows = [["target", "baseline", "metric", "mean of other languages", "by language"]]
    for target in grid.config.targets:
        if grid.tasks[target].kind in BASELINES:
            rows += rows_of(grid, target)
    text = "\n".join([f"# Trivial baselines: grid {grid.config.grid}", "", *pipe_table(rows, left=(0, 1, 2, 4))]) + "\n"
    write_text(args.out, text)
    print(text)


if __name__ == "__main__":
    run_main(main, announce=False)
