"""Fine-tune: phase (ii) on an intermediate task, or with --target phase (iii) on a target task.

Resumes from the last complete training checkpoint of the same recipe; where the run is complete already, it only
writes its manifest again.
"""

import logging
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from stiltgrid.config import load
from stiltgrid.failures import noting_failure
from stiltgrid.granted import check_gpus
from stiltgrid.grid import Arm, Grid, Run, parent_manifest
from stiltgrid.launch import command, heed_signals, replace_process
from stiltgrid.recipes import training_recipe
from stiltgrid.scripting import parser, run_main
from stiltgrid.storage import Storage

EXAMPLES = """
python workflow/scripts/train.py --config config/demo.yaml --model tiny-base --intermediate mnli --seed 1
python workflow/scripts/train.py --config config/demo.yaml --model tiny-base --intermediate mnli --target xnli --seed 1
"""


def main(argv: Sequence[str] | None) -> None:
    """Resolve the recipe and train."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--model", required=True, help="a name of `models`")
    options.add_argument("--intermediate", required=True, help="a name of `intermediates`")
    options.add_argument("--target", help="a name of `targets`; without it: phase (ii)")
    options.add_argument("--seed", required=True, type=int)
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    paths, row = grid.paths, grid.config.models[args.model]
    execution = row.execution.model_dump()

    if execution["strategy"] != "single" and "WORLD_SIZE" not in os.environ:
        script = [str(Path(__file__).resolve()), *(sys.argv[1:] if argv is None else argv)]
        started = command(script, execution, row.resources.nodes)
        logging.info("launching: %s", shlex.join(started))
        replace_process(started)
    heed_signals()

    recipe = training_recipe(grid, args.model, args.intermediate, args.target, args.seed)
    pretrained = Path(paths.pretrained(args.model)).parent
    if args.target is None:
        job = Arm(args.model, args.intermediate, args.seed)
        manifest, parent = paths.arm(job), str(pretrained / "manifest.json")
    else:
        job = Run(args.model, args.intermediate, args.target, args.seed)
        manifest = paths.checkpoint(job)
        parent = parent_manifest(paths, grid, args.model, args.intermediate, args.seed)
    data = {
        name: {split: [Path(paths.data(file)) for file in files] for split, files in splits.items()}
        for name, splits in grid.training_files(args.intermediate, args.target).items()
    }
    data |= {
        name: {"train": [Path(path) for path in others]}
        for name, others in grid.other_inputs(args.intermediate, args.target).items()
    }
    out = Path(manifest).parent
    with noting_failure(out):
        check_gpus(args.model, row.resources.gpus // row.resources.nodes)
        from stiltgrid import train

        record = train.run(
            recipe, data, pretrained, Path(parent).parent, out, execution, partial(Storage(grid).needed, job)
        )
    logging.info("%s: recipe %s, dev %s", manifest, record["recipe_hash"][:12], record["dev"])


if __name__ == "__main__":
    run_main(main)
