# Predictions in the leaderboard's layout (docs/submission.md); nothing else needs them, so no other target makes them.
# Outputs cannot be functions of wildcards, and what a family cannot run differs, so there is one rule a model.
from stiltgrid.submission import contents

for _model in GRID.config.models:
    if not contents.outputs(GRID, _model):
        continue

    rule:
        name:
            rule_name("submission", _model)
        input:
            contents.inputs(GRID, _model),
        output:
            contents.outputs(GRID, _model),
        log:
            f"{PATHS.root}/logs/submission/{_model}/{{intermediate}}/seed{{seed}}.log",
        benchmark:
            f"{PATHS.root}/benchmarks/submission/{_model}/{{intermediate}}/seed{{seed}}.tsv"
        localrule: True
        conda:
            ENVIRONMENT
        resources:
            mem_mb=2000,
            runtime=20,
        params:
            model=_model,
            options=GRID.config.submission.model_dump(),
            recipes={t: prediction_recipe(GRID, t, _model) for t in contents.targets(GRID, _model)},
        message:
            "submission: {params.model} after {wildcards.intermediate}, seed {wildcards.seed}"
        shell:
            'STILTGRID_LOG={log} python "$STILTGRID_SCRIPTS/submission.py" --config "$STILTGRID_CONFIG" --model {params.model}'
            " --intermediate {wildcards.intermediate} --seed {wildcards.seed} > {log} 2>&1"
