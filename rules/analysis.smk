# From scores to answers: every cell in one tidy table, resamples a target, every declared comparison estimated.
import time


rule collect:
    input:
        lambda w: RESULTS.standing_scores(),
    output:
        PATHS.scores,
    log:
        f"{PATHS.root}/logs/collect.log",
    benchmark:
        f"{PATHS.root}/benchmarks/collect.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        grid=lambda w: RESULTS.grid_digest(),
    message:
        "collect: all scores of grid {GRID.config.grid}"
    shell:
        'python "$STILTGRID_SCRIPTS/collect.py" --config "$STILTGRID_CONFIG" --out {output} > {log} 2>&1'


rule runs:
    input:
        lambda w: RESULTS.all_manifests(),
        PATHS.scores,  # stands for every prediction: a path that a rule names costs planning time
    output:
        PATHS.runs,
        PATHS.training,
    log:
        f"{PATHS.root}/logs/runs.log",
    benchmark:
        f"{PATHS.root}/benchmarks/runs.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        runs=lambda w: RESULTS.runs_digest(),
    message:
        "runs: what every training run cost and how it went"
    shell:
        'python "$STILTGRID_SCRIPTS/runs.py" --config "$STILTGRID_CONFIG" > {log} 2>&1'


rule bootstrap:
    input:
        RESULTS.standing_statistics,
    output:
        PATHS.bootstrap("{target}"),
    log:
        f"{PATHS.root}/logs/bootstrap/{{target}}.log",
    benchmark:
        f"{PATHS.root}/benchmarks/bootstrap/{{target}}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        resampling=RESULTS.resampling_params,
    message:
        "bootstrap: {wildcards.target}, all runs and languages"
    shell:
        'python "$STILTGRID_SCRIPTS/bootstrap.py" --config "$STILTGRID_CONFIG" --target {wildcards.target}'
        " --out $(dirname {output}) > {log} 2>&1"


rule contrasts:
    input:
        scores=PATHS.scores,
        bootstrap=RESULTS.bootstraps(),
    output:
        PATHS.contrasts,
        PATHS.headline,
    log:
        f"{PATHS.root}/logs/contrasts.log",
    benchmark:
        f"{PATHS.root}/benchmarks/contrasts.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        grid=lambda w: RESULTS.grid_digest(),
        declaration=lambda w: RESULTS.declaration_digest(),
    message:
        "contrasts: gains, interactions and their averages"
    shell:
        'python "$STILTGRID_SCRIPTS/contrasts.py" --config "$STILTGRID_CONFIG" --scores {input.scores} > {log} 2>&1'


# as the targets of ops.smk: for reading, never an input, and never up to date
rule power:
    output:
        f"{PATHS.root}/power.md",
    log:
        f"{PATHS.root}/logs/power.log",
    benchmark:
        f"{PATHS.root}/benchmarks/power.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        asked=time.time(),
    message:
        "power: the smallest effects that this grid would detect, in {PATHS.root}/power.md"
    shell:
        'python "$STILTGRID_SCRIPTS/power.py" --config "$STILTGRID_CONFIG" --out {output} 2> >(tee {log} >&2)'
