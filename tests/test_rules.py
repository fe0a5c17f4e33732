"""Every rule that runs a job says where its log and benchmark are, what it needs, and what it does."""

import re
from pathlib import Path

import pytest

FILES = sorted(Path("rules").glob("*.smk"))
RULES = [
    (path.name, text)
    for path in FILES
    for text in re.split(r"^\s*rule\b", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
]


def test_the_stages_are_there():
    assert {path.stem for path in FILES} >= {"data", "train", "predict", "score", "analysis", "paper", "ops"}
    assert len(RULES) >= 12


@pytest.mark.parametrize(("file", "text"), RULES, ids=[f"{file}-{text.split(':')[0].strip()}" for file, text in RULES])
@pytest.mark.parametrize("directive", ["log", "benchmark", "resources", "message", "conda", "shell"])
def test_each_rule_has(file, text, directive):
    assert re.search(rf"^\s+{directive}:", text, flags=re.MULTILINE), f"{file}: no {directive} in rule{text[:60]}"


def test_profiles_never_rerun_for_code():
    for profile in (Path("profiles/default/config.yaml"), Path("slurm/config.yaml")):
        text = profile.read_text(encoding="utf-8")
        assert "slurm-array-jobs" not in text
        for line in text.splitlines():
            if line.startswith("rerun-triggers"):
                assert line == "rerun-triggers: [mtime, params]"


def test_what_names_every_cell_is_asked_for_only_where_it_is_needed():
    """Each job's own process reads all rules; calls there would make it wait for the whole grid."""
    calls, lazy = [], []
    for path in (Path("Snakefile"), *FILES):
        text = path.read_text(encoding="utf-8")
        calls += re.findall(r"RESULTS\.(?:all_\w+|holes|\w+_digest|standing_\w+)\(", text)
        lazy += re.findall(r"lambda w: (RESULTS\.(?:all_\w+|holes|\w+_digest|standing_\w+)\()", text)
    assert calls == lazy and len(calls) > 10
