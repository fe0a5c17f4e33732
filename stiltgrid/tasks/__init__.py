"""Tasks as rows of data: `*.yaml` beside this file, validated and looked up by `registry`."""
