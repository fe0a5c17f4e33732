"""Score every language of a run from its saved predictions; no model is loaded.

Refuses predictions that are truncated, misaligned, or older than the run's checkpoint.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.config import load
from stiltgrid.evaluated import evaluated_manifest
from stiltgrid.failures import noting_failure
from stiltgrid.grid import Cell, Grid, Run
from stiltgrid.score_languages import score_languages
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
python workflow/scripts/score.py --config config/demo.yaml --model tiny-base --intermediate none \\
    --target xnli --seed 1
"""


def main(argv: Sequence[str] | None) -> None:
    """Score one run."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--model", required=True, help="a name of `models`")
    options.add_argument("--intermediate", required=True, help="a name of `intermediates`")
    options.add_argument("--target", required=True, help="a name of `targets`")
    options.add_argument("--seed", required=True, type=int)
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    run = Run(args.model, args.intermediate, args.target, args.seed)
    languages = grid.languages(run.target)
    scores = {x: Path(grid.paths.score(Cell(*run[:3], x, run.seed))) for x in languages}
    data = {x: Path(grid.paths.data(grid.evaluation(run.target, x))) for x in languages}
    with noting_failure(scores[languages[0]].parent):
        records = score_languages(grid, run, evaluated_manifest(grid, run), data, scores)
    for language, record in records.items():
        logging.info("%s: %s", language, "  ".join(f"{k} {v:.2f}" for k, v in record["metrics"].items()))


if __name__ == "__main__":
    run_main(main)
