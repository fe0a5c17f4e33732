# Scores and per-example statistics, from saved predictions, without a model.

for _target in GRID.config.targets:
    _predictions = JOBS.by_language(_target, PATHS.prediction)

    rule:
        name:
            rule_name("score", _target)
        input:
            _predictions,
            JOBS.gold_again(_target),
            JOBS.evaluated(_target),
        output:
            JOBS.by_language(_target, PATHS.score),
            [p.replace(".json", ".stats.parquet") for p in JOBS.by_language(_target, PATHS.score)],
        log:
            f"{PATHS.root}/logs/score/{{model}}/{{intermediate}}/{_target}/seed{{seed}}.log",
        benchmark:
            f"{PATHS.root}/benchmarks/score/{{model}}/{{intermediate}}/{_target}/seed{{seed}}.tsv"
        localrule: True
        conda:
            ENVIRONMENT
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            target=_target,
            recipe=scoring_recipe(GRID, _target),
        message:
            "score: {wildcards.model} after {wildcards.intermediate} on {params.target}, seed {wildcards.seed}"
        shell:
            'STILTGRID_LOG={log} python "$STILTGRID_SCRIPTS/score.py" --config "$STILTGRID_CONFIG" --model {wildcards.model}'
            " --intermediate {wildcards.intermediate} --target {params.target} --seed {wildcards.seed} > {log} 2>&1"

    # what Snakemake does for `rules.x.output`: it spares the search for who makes each prediction. It cannot do it here, for
    # it does not know an output again whose wildcards are constrained
    getattr(rules, rule_name("score", _target)).rule.dependencies.update(
        dict.fromkeys(_predictions, rule_name("predict", _target))
    )
