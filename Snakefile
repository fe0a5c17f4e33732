# stiltgrid: model x intermediate x target x language x seed, from one config to result tables.
#
#   snakemake                                      the paper's grid (config.yaml), on this machine
#   snakemake --configfile config/demo.yaml        the offline miniature
#   snakemake fetch                                models and data sets of the hub, where there is a network; nothing else uses one
#   snakemake --profile slurm                      on a SLURM cluster
#   snakemake status | plan | tables | preview     what is done; what is left and its cost; tables; tables of what is there
#   snakemake power                                the smallest effects that the grid would detect
#   snakemake baselines                            what trivial answers score on the targets
#   snakemake layers                               what every layer of each encoder scores on the retrieval targets
#   snakemake submission                           every arm's predictions in the leaderboard's layout
#   snakemake provenance                           is every link from tables to weights and rows whole?
#   snakemake --report report.zip                  tables, figures and the explorer for others, one file
#   snakemake rescore                              scores again from saved predictions, without a model
import gc
import json
import os
import re
import sys

# Snakemake's graph is some million objects that all stay: looking through them for garbage is a tenth of planning
gc.set_threshold(100_000, 20, 50)

# this file and, by PYTHONPATH, its jobs use the package of this checkout, also where it is not installed
sys.path.insert(0, str(workflow.basedir))


from snakemake.exceptions import WorkflowError
from stiltgrid.artifacts import write_text
from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import DataFile, Grid
from stiltgrid.patience import endure_outages
from stiltgrid.recipes import prediction_recipe, scoring_recipe
from stiltgrid.wiring.jobs import Jobs
from stiltgrid.wiring.originals import Originals
from stiltgrid.wiring.results import Results
from stiltgrid.wiring.start import environment, rule_name, started_with

# a config given by --configfile replaces the paper's; merging the two would mix their grids
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


FILES = workflow.overwrite_configfiles or ["config.yaml"]
try:
    # on a cluster node: the config that the run was started with, whatever happened to the file meanwhile
    RAW, SNAPSHOT = started_with(config, FILES, workflow.remote_exec)
    GRID = Grid(validate(RAW, " + ".join(map(str, FILES))))
except StiltgridError as error:
    raise WorkflowError(str(error)) from None

# what the rules ask: of what no job made, of one run, of the whole grid
PATHS, ORIGINALS, JOBS, RESULTS = GRID.paths, Originals(GRID), Jobs(GRID), Results(GRID)
ENVIRONMENT = f"{workflow.basedir}/envs/stiltgrid.yaml"
# by environment, not by params: neither the place of the checkout nor the rest of the config may rerun a job
os.environ.update(environment(workflow.basedir, SNAPSHOT))
endure_outages(sys.modules.get("snakemake_executor_plugin_slurm"))


onstart:
    # keys keep their order: it is the tables' order
    write_text(SNAPSHOT, json.dumps(RAW, indent=1, ensure_ascii=False))


wildcard_constraints:
    model="|".join(map(re.escape, GRID.config.models)),
    intermediate="|".join(map(re.escape, GRID.config.intermediates)),
    target="|".join(map(re.escape, GRID.config.targets)),
    seed=r"\d+",
    task=r"[^/]+/[^/]+",
    split="train|dev|test",
    language=r"[A-Za-z-]+",


report: "report/workflow.rst"


localrules:
    all,
    tables,
    submission,


# what names every cell is a function: a job's own process asks for one of them, and should not wait for the others
rule all:
    default_target: True
    input:
        lambda w: RESULTS.table_files(),
        lambda w: RESULTS.report_files(),
        lambda w: RESULTS.figure_files(),
        lambda w: RESULTS.holes(),
    message:
        "grid {GRID.config.grid}: complete; tables in {PATHS.tables}, figures in {PATHS.figures}"


rule tables:
    input:
        lambda w: RESULTS.table_files(),
        lambda w: RESULTS.holes(),
    message:
        "grid {GRID.config.grid}: tables in {PATHS.tables}"


rule submission:
    input:
        lambda w: contents.manifests(GRID),
    message:
        "grid {GRID.config.grid}: submissions in {PATHS.root}/submission"


include: "rules/fetch.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/predict.smk"
include: "rules/score.smk"
include: "rules/retrieval.smk"
include: "rules/baselines.smk"
include: "rules/submission.smk"
include: "rules/analysis.smk"
include: "rules/paper.smk"
include: "rules/ops.smk"
