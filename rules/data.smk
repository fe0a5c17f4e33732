# Original release formats into one schema, each file with a fingerprint of its content.


rule demo_sources:
    output:
        ORIGINALS.demo_sources,
    log:
        f"{PATHS.root}/logs/demo_sources.log",
    benchmark:
        f"{PATHS.root}/benchmarks/demo_sources.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=10,
    message:
        "demo: writing the miniature's data in the original layouts"
    shell:
        'python "$STILTGRID_SCRIPTS/demo_sources.py" --out $(dirname {output}) > {log} 2>&1'


rule unpack:  # a source that is an archive; results/sources is shared by all grids
    input:
        ORIGINALS.archive_inputs,
    output:
        "results/sources/{archive}/manifest.json",
    log:
        "results/sources/{archive}/unpack.log",
    benchmark:
        "results/sources/{archive}/unpack.tsv"
    wildcard_constraints:
        archive=r"[^/]+-[0-9a-f]{8}",
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        archive=ORIGINALS.archive,
    message:
        "unpack: {params.archive}"
    shell:
        'python "$STILTGRID_SCRIPTS/unpack.py" --archive {params.archive:q} > {log} 2>&1'


rule data:
    input:
        ORIGINALS.data_inputs,
    output:
        examples=PATHS.data(DataFile("{task}", "{split}", "{language}")),
        sidecar=PATHS.data(DataFile("{task}", "{split}", "{language}")).replace(".parquet", ".json"),
    log:
        f"{PATHS.root}/logs/data/{{task}}/{{split}}.{{language}}.log",
    benchmark:
        f"{PATHS.root}/benchmarks/data/{{task}}/{{split}}.{{language}}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=6000,  # NTG's 300,000 articles take 4 GB
        runtime=30,
    params:
        recipe=ORIGINALS.data_params,
    message:
        "data: {wildcards.task} {wildcards.split} {wildcards.language}"
    shell:
        'python "$STILTGRID_SCRIPTS/data.py" --config "$STILTGRID_CONFIG" --task {wildcards.task} --split {wildcards.split}'
        " --language {wildcards.language} > {log} 2>&1"


rule text:  # plain text that arms with `denoising` restore; it stays where it is
    input:
        ORIGINALS.text_inputs,
    output:
        index=PATHS.text("{language}"),
        sidecar=PATHS.text("{language}").replace(".npy", ".json"),
    log:
        f"{PATHS.root}/logs/text/{{language}}.log",
    benchmark:
        f"{PATHS.root}/benchmarks/text/{{language}}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        source=lambda w: GRID.config.denoising_text.path,
    message:
        "text: {wildcards.language}"
    shell:
        'python "$STILTGRID_SCRIPTS/text.py" --config "$STILTGRID_CONFIG" --language {wildcards.language} > {log} 2>&1'


rule neighbours:  # words that stand for each other, for a target with `robust: {kind: synonyms}`
    input:
        ORIGINALS.neighbours_inputs,
    output:
        words=PATHS.neighbours("{target}"),
        sidecar=PATHS.neighbours("{target}").replace(".tsv", ".json"),
    log:
        f"{PATHS.root}/logs/neighbours/{{target}}.log",
    benchmark:
        f"{PATHS.root}/benchmarks/neighbours/{{target}}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        source=lambda w: GRID.neighbours_source(w.target),
    message:
        "neighbours: {wildcards.target}"
    shell:
        'python "$STILTGRID_SCRIPTS/neighbours.py" --config "$STILTGRID_CONFIG" --target {wildcards.target} > {log} 2>&1'
