# Tables: renderings of analysis/, they compute nothing but means of scores.


rule build_tables:
    input:
        scores=PATHS.scores,
        contrasts=[PATHS.contrasts, PATHS.headline],
    output:
        W.table_files(),
    log:
        f"{PATHS.root}/logs/tables.log",
    benchmark:
        f"{PATHS.root}/benchmarks/tables.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        grid=lambda w: W.grid_digest(),
        declaration=lambda w: W.declaration_digest(),
    message:
        "tables: {PATHS.tables}"
    shell:
        'python "$STILTGRID_SCRIPTS/tables.py" --config "$STILTGRID_CONFIG" --scores {input.scores}'
        " --contrasts $(dirname {input.contrasts[0]}) > {log} 2>&1"
