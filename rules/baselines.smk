# `snakemake baselines`: what trivial answers score on the targets; for reading, never an input.


rule baselines:
    input:
        RESULTS.baseline_inputs(),
    output:
        f"{PATHS.root}/baselines.md",
    log:
        f"{PATHS.root}/logs/baselines.log",
    benchmark:
        f"{PATHS.root}/benchmarks/baselines.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        grid=lambda w: RESULTS.grid_digest(),
    message:
        "baselines: {PATHS.root}/baselines.md"
    shell:
        'python "$STILTGRID_SCRIPTS/baselines.py" --config "$STILTGRID_CONFIG" --out {output} 2> >(tee {log} >&2)'
