"""Score every layer of a run's encoder on a retrieval target, or put the scores of all runs into one table.

With --model and its companions one run is scored into --out, a CSV file. Without them the CSV files of all runs become
results/<grid>/layers.csv and layers.md.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.artifacts import write_text
from stiltgrid.config import load
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import read_examples
from stiltgrid.grid import Grid, Run
from stiltgrid.metrics import METRICS
from stiltgrid.progress import reporter
from stiltgrid.retrieve.layers import LayerScore, by_layer, markdown, read_rows, write_rows
from stiltgrid.scripting import parser, run_main
from stiltgrid.wiring.results import Results

EXAMPLES = """
snakemake layers --configfile config/sample-retrieval.yaml
python workflow/scripts/layers.py --config config/sample-retrieval.yaml --model e5-small --intermediate none \\
    --target tatoeba --seed 1 --out layers.csv
"""


def score_run(grid: Grid, run: Run, out: str) -> None:
    """Score every layer in every language of one run."""
    from stiltgrid.retrieve.embedding import Embedder

    task, how = grid.tasks[run.target], grid.retrieval(run.target, run.model)
    execution = grid.config.models[run.model].execution
    checkpoint, pretrained = (Path(path).parent for path in (grid.evaluated(run), grid.paths.pretrained(run.model)))
    embedder = Embedder.load(checkpoint, pretrained, execution.threads)
    rows = []
    for language in grid.languages(run.target):
        examples = read_examples(grid.paths.data(grid.evaluation(run.target, language)))
        scores = by_layer(embedder, task, language, examples, how, execution.predict_batch_size, reporter(language))
        rows += [LayerScore(*run, language, k, task.metrics[0], value) for k, value in enumerate(scores)]
        logging.info("%s: %s", language, " ".join(f"{value:.1f}" for value in scores))
    write_rows(out, rows)


def table(grid: Grid, paths: Sequence[str]) -> None:
    """Write the table of all runs and print it.

    Raises:
        StiltgridError: if the grid has no retrieval target that runs.
    """
    if not paths:
        raise StiltgridError(
            f"grid {grid.config.grid} has no retrieval target; add one, e.g. `tatoeba: {{task: xtreme/tatoeba}}`"
        )
    rows = [row for path in paths for row in read_rows(path)]

    def title(row: LayerScore) -> str:
        target = grid.config.targets[row.target].title or grid.tasks[row.target].title
        model, arm = grid.config.models[row.model].title or row.model, grid.config.intermediates[row.intermediate].title
        return f"{target}, {METRICS[row.metric].title}: {model} after {arm or row.intermediate}, seed {row.seed}"

    write_rows(f"{grid.paths.root}/layers.csv", rows)
    text = f"# Retrieval by layer: grid {grid.config.grid}\n\n{markdown(rows, title)}"
    write_text(f"{grid.paths.root}/layers.md", text)
    print(text)


def main(argv: Sequence[str] | None) -> None:
    """Score one run, or tabulate all."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--model", help="a name of `models`")
    options.add_argument("--intermediate", help="a name of `intermediates`")
    options.add_argument("--target", help="a name of `targets`")
    options.add_argument("--seed", type=int)
    options.add_argument("--out", help="the CSV file of one run")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    one = (args.model, args.intermediate, args.target, args.seed, args.out)
    if None not in one:
        score_run(grid, Run(*one[:4]), args.out)
    elif any(one):
        options.error("--model, --intermediate, --target, --seed and --out belong together")
    else:
        table(grid, Results(grid).layer_files())


if __name__ == "__main__":
    run_main(main)
