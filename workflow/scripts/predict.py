"""Predict every language that a run lacks, with one load of its model.

Languages whose predictions are in the store already are only linked into place.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stiltgrid.artifacts import read_json
from stiltgrid.config import load
from stiltgrid.energy import Meter
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.failures import noting_failure
from stiltgrid.grid import Cell, Grid, Run
from stiltgrid.predict_languages import Predict, predict_languages
from stiltgrid.progress import reporter
from stiltgrid.scripting import parser, run_main
from stiltgrid.storage import Storage, check_there
from stiltgrid.store import Store

EXAMPLES = """
python workflow/scripts/predict.py --config config/demo.yaml --model tiny-base --intermediate none \\
    --target xnli --seed 1
python workflow/scripts/predict.py ... --recompute de        # throw the stored predictions for German away first
"""


def loader(grid: Grid, run: Run) -> Callable[[], Predict]:
    """Return a function that loads the run's model and returns its predict function."""

    def load_model() -> Predict:
        from stiltgrid.predict import Predictor

        execution = grid.config.models[run.model].execution
        predictor = Predictor.load(
            Path(grid.paths.checkpoint(run)).parent,
            Path(grid.paths.pretrained(run.model)).parent,
            threads=execution.threads,
        )
        task = grid.tasks[run.target]
        return lambda examples, language: predictor.predict(
            task,
            examples,
            batch_size=execution.predict_batch_size,
            decoding=grid.decoding(run.target, run.model),
            progress=reporter(language),
        )

    return load_model


def main(argv: Sequence[str] | None) -> None:
    """Predict one run."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--model", required=True, help="a name of `models`")
    options.add_argument("--intermediate", required=True, help="a name of `intermediates`")
    options.add_argument("--target", required=True, help="a name of `targets`")
    options.add_argument("--seed", required=True, type=int)
    options.add_argument("--recompute", nargs="*", default=[], metavar="LANG", help="languages to compute anew")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    run = Run(args.model, args.intermediate, args.target, args.seed)
    languages = grid.languages(run.target)
    for language in args.recompute:
        if language not in languages:
            raise StiltgridError(f"--recompute {language!r}: {nearest(language, languages)}")
    outputs = {x: Path(grid.paths.prediction(Cell(*run[:3], x, run.seed))) for x in languages}
    data = {x: Path(grid.paths.data(grid.evaluation(run.target, x))) for x in languages}
    if args.recompute:
        check_there(Path(grid.paths.checkpoint(run)).parent)  # before any stored prediction is thrown away
    with noting_failure(outputs[languages[0]].parent):
        report = predict_languages(
            read_json(grid.paths.checkpoint(run)),
            grid.tasks[run.target],
            data,
            outputs,
            Store(grid.paths.store),
            loader(grid, run),
            frozenset(args.recompute),
            grid.decoding(run.target, run.model),
            partial(Meter, every=True),
        )
    try:
        for removed in Storage(grid).tidy(run):
            logging.info("%s: weights removed (storage: %.1f MB)", removed.folder, removed.bytes / 1e6)
    except OSError as error:
        # the predictions are whole: weights that stay are no reason to fail
        logging.warning("weights not removed (%s); `stiltgrid gc --delete` removes them", error)
    computed, stored = (" ".join(languages) or "none" for languages in (report.computed, report.stored))
    logging.info("computed: %s; from the store: %s", computed, stored)


if __name__ == "__main__":
    run_main(main)
