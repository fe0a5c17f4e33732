# Tables: renderings of analysis/, they compute nothing but means of scores.


rule build_tables:
    input:
        scores=PATHS.scores,
        contrasts=[PATHS.contrasts, PATHS.headline],
        runs=[PATHS.runs, PATHS.training],
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


rule figures:
    input:
        scores=PATHS.scores,
        contrasts=[PATHS.contrasts, PATHS.headline],
        runs=[PATHS.runs, PATHS.training],
    output:
        W.figure_files(),
    log:
        f"{PATHS.root}/logs/figures.log",
    benchmark:
        f"{PATHS.root}/benchmarks/figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        grid=lambda w: W.grid_digest(),
        declaration=lambda w: W.declaration_digest(),
    message:
        "figures: {PATHS.figures}"
    shell:
        'python "$STILTGRID_SCRIPTS/figures.py" --config "$STILTGRID_CONFIG" --scores {input.scores}'
        " --contrasts $(dirname {input.contrasts[0]}) > {log} 2>&1"
