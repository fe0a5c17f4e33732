"""Predict every language that a run lacks, with one load of its model.

Languages whose predictions are in the store already are only linked into place.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stiltgrid.cluster import predict_gpus, predict_mem_mb
from stiltgrid.config import load
from stiltgrid.energy import Meter
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.evaluated import evaluated_manifest
from stiltgrid.examples import Example
from stiltgrid.exhaustion import explain_prediction_memory
from stiltgrid.failures import end_by_signal, noting_failure
from stiltgrid.granted import check_gpus
from stiltgrid.grid import Cell, Grid, Run
from stiltgrid.lock import PREDICTING, holding
from stiltgrid.predict_languages import Predict, predict_languages
from stiltgrid.predictions import Prediction
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
    """Return a function that loads the run's model and returns its predict function.

    Where memory runs out, both say what to change.
    """
    row = grid.config.models[run.model]
    load_model = retrieving if grid.retrieves(run.target) else predicting

    def explain(error: Exception, batch: int | None = None) -> None:
        explain_prediction_memory(" ".join(map(str, run)), error, batch, predict_gpus(row), predict_mem_mb(row))

    def explained() -> Predict:
        check_gpus(run.model, predict_gpus(row))
        try:
            predict = load_model(grid, run)
        except Exception as error:
            explain(error)
            raise

        def explained_predict(examples: list[Example], language: str) -> list[Prediction]:
            try:
                return predict(examples, language)
            except Exception as error:
                explain(error, row.execution.predict_batch_size)
                raise

        return explained_predict

    return explained


def predicting(grid: Grid, run: Run) -> Predict:
    """Return the predict function of a target that is trained on, its model loaded."""
    from stiltgrid.predict import Predictor

    execution = grid.config.models[run.model].execution
    predictor = Predictor.load(
        Path(grid.paths.checkpoint(run)).parent,
        Path(grid.paths.pretrained(run.model)).parent,
        threads=execution.threads,
    )
    return lambda examples, language: predictor.predict(
        grid.tasks[run.target],
        examples,
        batch_size=execution.predict_batch_size,
        decoding=grid.decoding(run.target, run.model),
        progress=reporter(language),
    )


def retrieving(grid: Grid, run: Run) -> Predict:
    """Return the predict function of a retrieval target, its model loaded."""
    from stiltgrid.retrieve.answer import retriever

    execution = grid.config.models[run.model].execution
    return retriever(
        Path(grid.evaluated(run)).parent,
        Path(grid.paths.pretrained(run.model)).parent,
        grid.tasks[run.target],
        grid.retrieval(run.target, run.model),
        batch_size=execution.predict_batch_size,
        threads=execution.threads,
        progress=reporter,
    )


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
        check_there(Path(grid.evaluated(run)).parent)  # before any stored prediction is thrown away
    place = outputs[languages[0]].parent
    end_by_signal("stopped by a signal: its time limit, or scancel; what is predicted stays, the next attempt goes on")
    with noting_failure(place), holding(place, PREDICTING, "predicting"):
        report = predict_languages(
            evaluated_manifest(grid, run),
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
