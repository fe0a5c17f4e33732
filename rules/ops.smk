# What a person asks of a grid: they write files for reading, are never inputs, and run whenever they are asked for:
# the time of asking is a parameter, so no answer is ever up to date.
import time


rule status:
    output:
        f"{PATHS.root}/status.md",
        f"{PATHS.root}/status.csv",
    log:
        f"{PATHS.root}/logs/status.log",
    benchmark:
        f"{PATHS.root}/benchmarks/status.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        asked=time.time(),
    message:
        "status: {PATHS.root}/status.md"
    shell:
        'python "$STILTGRID_SCRIPTS/status.py" --config "$STILTGRID_CONFIG" 2> >(tee {log} >&2)'


rule plan:
    output:
        f"{PATHS.root}/plan.md",
        f"{PATHS.root}/plan.json",
    log:
        f"{PATHS.root}/logs/plan.log",
    benchmark:
        f"{PATHS.root}/benchmarks/plan.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        asked=time.time(),
    message:
        "plan: {PATHS.root}/plan.md"
    shell:
        'python "$STILTGRID_SCRIPTS/plan.py" --config "$STILTGRID_CONFIG" 2> >(tee {log} >&2)'


rule preview:
    output:
        scores=f"{PATHS.root}/preview/scores.parquet",
        table=f"{PATHS.root}/preview/main.md",
    log:
        f"{PATHS.root}/logs/preview.log",
    benchmark:
        f"{PATHS.root}/benchmarks/preview.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        asked=time.time(),
    message:
        "preview: tables of what is there, in {PATHS.root}/preview"
    shell:
        '( python "$STILTGRID_SCRIPTS/collect.py" --config "$STILTGRID_CONFIG" --partial --out {output.scores}'
        " && folder=$(dirname {output.table})"
        ' && python "$STILTGRID_SCRIPTS/bootstrap.py" --config "$STILTGRID_CONFIG" --scores {output.scores} --replicates 500 --out $folder'
        ' && python "$STILTGRID_SCRIPTS/contrasts.py" --config "$STILTGRID_CONFIG" --scores {output.scores} --bootstrap $folder --out $folder'
        ' && python "$STILTGRID_SCRIPTS/runs.py" --config "$STILTGRID_CONFIG" --out $folder'
        ' && python "$STILTGRID_SCRIPTS/tables.py" --config "$STILTGRID_CONFIG" --scores {output.scores} --contrasts $folder --runs $folder --out $folder --show )'
        " 2> >(tee {log} >&2)"


rule rescore:
    output:
        f"{PATHS.root}/rescore.md",
    log:
        f"{PATHS.root}/logs/rescore.log",
    benchmark:
        f"{PATHS.root}/benchmarks/rescore.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    # at most; fewer where there are fewer cores
    threads: 8
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        asked=time.time(),
    message:
        "rescore: every run that is predicted, into {PATHS.root}/scores"
    shell:
        'STILTGRID_LOG={log} python "$STILTGRID_SCRIPTS/rescore.py" --config "$STILTGRID_CONFIG" --processes {threads} 2> >(tee {log} >&2)'


rule provenance:
    output:
        f"{PATHS.root}/provenance.md",
    log:
        f"{PATHS.root}/logs/provenance.log",
    benchmark:
        f"{PATHS.root}/benchmarks/provenance.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        asked=time.time(),
    message:
        "provenance: every link from tables to weights and rows, {PATHS.root}/provenance.md"
    shell:
        'python "$STILTGRID_SCRIPTS/provenance.py" --config "$STILTGRID_CONFIG" 2> >(tee {log} >&2)'
