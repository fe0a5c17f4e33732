# Phases (i) to (iii). The declared output is a small manifest; weights and training checkpoints lie undeclared beside
# it, so that Snakemake never deletes what a retry resumes from. `exec`: a cluster signals every process of a job, and a
# shell in between would die of what the script answers by saving a checkpoint.


rule pretrained:
    input:
        ORIGINALS.pretrained_inputs,
    output:
        PATHS.pretrained("{model}"),
    log:
        f"{PATHS.root}/logs/pretrained/{{model}}.log",
    benchmark:
        f"{PATHS.root}/benchmarks/pretrained/{{model}}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        recipe=ORIGINALS.pretrained_params,
    message:
        "phase i: {wildcards.model}"
    shell:
        'STILTGRID_LOG={log} python "$STILTGRID_SCRIPTS/pretrained.py" --config "$STILTGRID_CONFIG" --model {wildcards.model}'
        " > {log} 2>&1"


rule train_intermediate:
    input:
        JOBS.intermediate_inputs,
    output:
        JOBS.arm(),
    log:
        f"{PATHS.root}/logs/train/{{model}}/{{intermediate}}/seed{{seed}}.log",
    benchmark:
        f"{PATHS.root}/benchmarks/train/{{model}}/{{intermediate}}/seed{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: JOBS.threads
    resources:
        **JOBS.resources("train", workflow.resource_settings.default_resources),
    params:
        recipe=JOBS.intermediate_params,
    message:
        "phase ii: {wildcards.model} on {wildcards.intermediate}, seed {wildcards.seed}"
    shell:
        'STILTGRID_LOG={log} exec python "$STILTGRID_SCRIPTS/train.py" --config "$STILTGRID_CONFIG" --model {wildcards.model}'
        " --intermediate {wildcards.intermediate} --seed {wildcards.seed} > {log} 2>&1"


rule train_target:
    input:
        JOBS.target_inputs,
    output:
        JOBS.checkpoint("{target}"),
    log:
        f"{PATHS.root}/logs/train/{{model}}/{{intermediate}}/{{target}}/seed{{seed}}.log",
    benchmark:
        f"{PATHS.root}/benchmarks/train/{{model}}/{{intermediate}}/{{target}}/seed{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: JOBS.threads
    resources:
        **JOBS.resources("train", workflow.resource_settings.default_resources),
    params:
        recipe=JOBS.target_params,
    message:
        "phase iii: {wildcards.model} after {wildcards.intermediate} on {wildcards.target}, seed {wildcards.seed}"
    shell:
        'STILTGRID_LOG={log} exec python "$STILTGRID_SCRIPTS/train.py" --config "$STILTGRID_CONFIG" --model {wildcards.model}'
        " --intermediate {wildcards.intermediate} --target {wildcards.target} --seed {wildcards.seed} > {log} 2>&1"
