# Tables: renderings of analysis/, they compute nothing but means of scores.


rule build_tables:
    input:
        scores=PATHS.scores,
        contrasts=[PATHS.contrasts, PATHS.headline],
        runs=[PATHS.runs, PATHS.training],
    output:
        RESULTS.table_files(),
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
        grid=lambda w: RESULTS.grid_digest(),
        declaration=lambda w: RESULTS.declaration_digest(),
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
        [path for path in RESULTS.figure_files() if not path.endswith(".svg")],
        [
            report(path, caption=f"../report/{name}.rst", category="Figures", labels={"figure": name})
            for name, path in RESULTS.figures_shown().items()
        ],
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
        grid=lambda w: RESULTS.grid_digest(),
        declaration=lambda w: RESULTS.declaration_digest(),
    message:
        "figures: {PATHS.figures}"
    shell:
        'python "$STILTGRID_SCRIPTS/figures.py" --config "$STILTGRID_CONFIG" --scores {input.scores}'
        " --contrasts $(dirname {input.contrasts[0]}) > {log} 2>&1"


rule explorer:
    input:
        scores=PATHS.scores,
        contrasts=[PATHS.contrasts, PATHS.headline],
    output:
        report(PATHS.explorer, caption="../report/explorer.rst", category="Explorer", labels={"page": "every cell"}),
    log:
        f"{PATHS.root}/logs/explorer.log",
    benchmark:
        f"{PATHS.root}/benchmarks/explorer.tsv"
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
        "explorer: every cell on one page, {output}"
    shell:
        'python "$STILTGRID_SCRIPTS/explorer.py" --config "$STILTGRID_CONFIG" --scores {input.scores}'
        " --contrasts $(dirname {input.contrasts[0]}) > {log} 2>&1"


rule report_pages:
    input:
        scores=PATHS.scores,
        contrasts=[PATHS.contrasts, PATHS.headline],
        runs=[PATHS.runs, PATHS.training],
    output:
        [
            report(path, caption="../report/table.rst", category="Tables", labels={"table": name})
            for name, path in RESULTS.table_pages().items()
        ],
        report(
            f"{PATHS.report}/reproducibility.md",
            caption="../report/reproducibility.rst",
            category="Reproducibility",
            labels={"page": "reproducibility checklist"},
        ),
        report(
            f"{PATHS.report}/data_card.md",
            caption="../report/data_card.rst",
            category="Reproducibility",
            labels={"page": "data card"},
        ),
    log:
        f"{PATHS.root}/logs/report_pages.log",
    benchmark:
        f"{PATHS.root}/benchmarks/report_pages.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        grid=lambda w: RESULTS.grid_digest(),
        declaration=lambda w: RESULTS.declaration_digest(),
    message:
        "report: tables as pages, reproducibility checklist and data card, in {PATHS.report}"
    shell:
        'python "$STILTGRID_SCRIPTS/report_pages.py" --config "$STILTGRID_CONFIG" --scores {input.scores}'
        " --contrasts $(dirname {input.contrasts[0]}) > {log} 2>&1"
