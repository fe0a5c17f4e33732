# Every cell's scores in one tidy table: the only source of what follows.


rule collect:
    input:
        W.all_scores(),
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
        grid=W.grid_digest(),
    message:
        "collect: all scores of grid {GRID.config.grid}"
    shell:
        'python "$STILTGRID_SCRIPTS/collect.py" --config "$STILTGRID_CONFIG" --out {output} > {log} 2>&1'
