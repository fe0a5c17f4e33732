# The one rule that uses a network, run where there is one before the others; it is never an input, so that no job's node
# needs a network. What is there is found again within seconds: the time of asking is a parameter.
import time


rule fetch:
    output:
        f"{PATHS.root}/fetched.json",
    log:
        f"{PATHS.root}/logs/fetch.log",
    benchmark:
        f"{PATHS.root}/benchmarks/fetch.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=1440,
    params:
        asked=time.time(),
    message:
        "fetch: models and data sets of the hub, into {GRID.config.hub.folder}"
    shell:
        # set, not unset: every other job runs with these at 1
        "HF_HUB_OFFLINE=0 TRANSFORMERS_OFFLINE=0 HF_DATASETS_OFFLINE=0"
        ' python "$STILTGRID_SCRIPTS/fetch.py" --config "$STILTGRID_CONFIG" --out {output} 2> >(tee {log} >&2)'
