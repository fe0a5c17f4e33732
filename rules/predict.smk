# One job a fine-tuned model, one declared output a language, the content-addressed store behind them.
# Outputs cannot be functions of wildcards, so there is one rule a target.

for _target in GRID.config.targets:

    rule:
        name:
            rule_name("predict", _target)
        input:
            manifest=JOBS.evaluated(_target),
            gold=JOBS.gold(_target),
        output:
            JOBS.by_language(_target, PATHS.prediction),
        log:
            f"{PATHS.root}/logs/predict/{{model}}/{{intermediate}}/{_target}/seed{{seed}}.log",
        benchmark:
            f"{PATHS.root}/benchmarks/predict/{{model}}/{{intermediate}}/{_target}/seed{{seed}}.tsv"
        conda:
            ENVIRONMENT
        threads: JOBS.predict_threads
        resources:
            **JOBS.resources("predict", workflow.resource_settings.default_resources),
        params:
            target=_target,
            recipe=JOBS.prediction_params(_target),
        message:
            "predict: {wildcards.model} after {wildcards.intermediate} on {params.target}, seed {wildcards.seed}"
        shell:
            'STILTGRID_LOG={log} exec python "$STILTGRID_SCRIPTS/predict.py" --config "$STILTGRID_CONFIG" --model {wildcards.model}'
            " --intermediate {wildcards.intermediate} --target {params.target} --seed {wildcards.seed} > {log} 2>&1"
