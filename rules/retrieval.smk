# `snakemake layers`: what every layer of each encoder scores on the retrieval targets; for reading, never an input.

for _target in RESULTS.retrieved:

    rule:
        name:
            rule_name("layers", _target)
        input:
            manifest=JOBS.evaluated(_target),
            gold=JOBS.gold(_target),
        output:
            JOBS.layer_file(_target),
        log:
            f"{PATHS.root}/logs/layers/{{model}}/{{intermediate}}/{_target}/seed{{seed}}.log",
        benchmark:
            f"{PATHS.root}/benchmarks/layers/{{model}}/{{intermediate}}/{_target}/seed{{seed}}.tsv"
        conda:
            ENVIRONMENT
        threads: JOBS.predict_threads
        resources:
            **JOBS.resources("predict", workflow.resource_settings.default_resources),
        params:
            target=_target,
            recipe=JOBS.layer_params(_target),
        message:
            "layers: {wildcards.model} after {wildcards.intermediate} on {params.target}, seed {wildcards.seed}"
        shell:
            'python "$STILTGRID_SCRIPTS/layers.py" --config "$STILTGRID_CONFIG" --model {wildcards.model}'
            " --intermediate {wildcards.intermediate} --target {params.target} --seed {wildcards.seed} --out {output}"
            " > {log} 2>&1"


rule layers:
    input:
        RESULTS.layer_files(),
    output:
        f"{PATHS.root}/layers.csv",
        f"{PATHS.root}/layers.md",
    log:
        f"{PATHS.root}/logs/layers.log",
    benchmark:
        f"{PATHS.root}/benchmarks/layers.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        grid=lambda w: RESULTS.grid_digest(),
    message:
        "layers: {PATHS.root}/layers.md"
    shell:
        'python "$STILTGRID_SCRIPTS/layers.py" --config "$STILTGRID_CONFIG" 2> >(tee {log} >&2)'
