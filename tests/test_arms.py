"""The arms of the literature as rows of a config: what they train on, what their recipes say, what is refused."""

import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from test_config import SMALL

from stiltgrid.analysis.declaration import declared
from stiltgrid.artifacts import digest
from stiltgrid.config import load, validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, DataFile, Grid
from stiltgrid.paper.notes import target_title
from stiltgrid.paper.scores import Scores
from stiltgrid.readers import read_source
from stiltgrid.recipes import training_recipe
from stiltgrid.tasks.registry import task
from stiltgrid.wiring.jobs import Jobs
from stiltgrid.wiring.results import Results
from stiltgrid.work import inputs_passed

MT = {"path": "mt", "layout": {"train": "xnli", "dev": "glue"}}
TEXT = {"path": "text/{lang}.txt", "languages": ["de", "sw"]}


def grid(arm=None, target=None, **more) -> Grid:
    """A grid with one arm `arm` and one target `xnli`, with these keys."""
    config = deepcopy(SMALL) | more
    config["intermediates"] = {"none": {}, "arm": {"tasks": ["mnli"], **(arm or {})}}
    config["targets"] = {"xnli": {"task": "xglue/xnli", "languages": ["en", "de"], **(target or {})}}
    return Grid(validate(config))


def recipe(g, target=None):
    return training_recipe(g, "tiny", "arm", target, 1)


def test_default_recipes_are_what_they_were():
    """An arm's key is in a recipe only where it is not the default; else finished runs would be trained again."""
    plain = {"version", "phase", "model", "tasks", "formulation", "mixing", "source_language", "training", "seed"}
    assert set(recipe(grid())) == set(recipe(grid(), "xnli")) == plain
    assert digest(recipe(grid(denoising_text=TEXT))) == digest(recipe(grid()))
    spelt = grid({"mixing": "proportional", "languages": ["en"], "denoising": None}, {"robust": None})
    assert recipe(spelt) == recipe(grid()) and recipe(spelt, "xnli") == recipe(grid(), "xnli")


@pytest.mark.parametrize(
    ("arm", "key", "value"),
    [
        ({"tasks": ["mnli", "qqp"], "mixing": "uniform"}, "mixing", "uniform"),
        ({"tasks": ["mnli", "qqp"], "mixing": {"temperature": 2}}, "mixing", {"temperature": 2.0}),
        ({"tasks": ["mnli", "qqp"], "mixing": {"cap": 1000}}, "mixing", {"cap": 1000}),
        ({"tasks": ["mnli", "qqp"]}, "weighting", "inputs"),
        ({"languages": ["de", "sw"]}, "languages", ["de", "sw"]),
        ({"denoising": 0.2}, "denoising", {"version": 1, "rate": 0.2, "languages": ["de", "sw"], "alpha": 0.3}),
    ],
)
def test_an_arms_keys_are_in_its_recipe_and_not_in_its_targets(arm, key, value):
    g = grid(arm, denoising_text=TEXT)
    assert recipe(g)[key] == value
    assert recipe(g, "xnli") == recipe(grid(denoising_text=TEXT), "xnli")


def test_robust_training_is_in_the_targets_recipe_without_the_place_of_a_file():
    robust = {"kind": "synonyms", "neighbours": "/a/near.tsv", "copies": 3}
    assert recipe(grid(target={"robust": robust}), "xnli")["robust"] == {"kind": "synonyms", "copies": 3}
    robust = {"kind": "adversarial", "epsilon": 0.1}
    full = {"kind": "adversarial", "epsilon": 0.1, "steps": 3, "step_size": None}
    assert recipe(grid(target={"robust": robust}), "xnli")["robust"] == full
    assert recipe(grid(target={"robust": robust})) == recipe(grid())


def test_text_and_neighbours_are_inputs_of_the_runs_that_use_them_alone():
    near = {"kind": "synonyms", "neighbours": "near.tsv"}
    g = grid({"denoising": 0.1}, {"robust": near}, denoising_text=TEXT)
    w = Jobs(g)
    at = type("W", (), {"model": "tiny", "intermediate": "arm", "target": "xnli", "seed": "1"})
    text = {"results/small/text/de.json", "results/small/text/sw.json"}
    assert text <= set(w.intermediate_inputs(at)) and not text & set(w.target_inputs(at))
    words = "results/small/neighbours/xnli.json"
    assert words in w.target_inputs(at) and words not in w.intermediate_inputs(at)
    assert not {words, *text} & {*Jobs(grid()).intermediate_inputs(at), *Jobs(grid()).target_inputs(at)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arm": {"mixing": {"temperature": 0.5}}}, "greater than or equal to 1"),
        ({"arm": {"mixing": "even"}}, "mixing"),
        ({"arm": {"denoising": 0.2}}, "the config has no text"),
        ({"arm": {"denoising": 1.0}, "denoising_text": TEXT}, "less than 1"),
        ({"denoising_text": {**TEXT, "languages": ["de", "de"]}}, "languages: de, de names a language twice"),
        ({"denoising_text": {**TEXT, "path": "text/all.txt"}}, "'text/all.txt' is one file for 2 languages"),
        ({"arm": {"languages": ["de", "de"]}}, "names a language twice"),
        ({"arm": {"tasks": [], "languages": ["de"]}}, "is the baseline"),
        ({"target": {"source_language": "xx"}}, "unknown language 'xx' for xglue/xnli"),
        ({"target": {"robust": {"kind": "adversarial"}}}, "epsilon: missing"),
        ({"target": {"robust": {"kind": "loud", "epsilon": 1}}}, "robust"),
    ],
)
def test_what_contradicts_itself_is_refused(changes, message):
    with pytest.raises(StiltgridError, match=message):
        grid(**changes)


def test_an_arm_within_an_arm_does_not_lose_its_keys_in_silence():
    config = deepcopy(SMALL)
    inner = {"tasks": ["mnli"], "languages": ["de"]}
    config["intermediates"] = {"none": {}, "mt": inner, "both": {"tasks": ["mt", "qqp"]}}
    with pytest.raises(StiltgridError, match="its `languages` would be lost"):
        validate(config)
    config["intermediates"]["both"]["languages"] = ["de"]
    validate(config)


def test_multi_uses_anli_plus_once():
    g = Grid(load("config.yaml"))
    names = g.arm_tasks["multi"]
    assert len(names) == len(set(names)) and set(g.arm_tasks["anli_plus"]) < set(names)
    assert training_recipe(g, "mt5-base", "multi", None, 1)["tasks"] == list(names)


def test_translated_rows_are_never_mixed_with_english_unless_asked_and_dev_stays_english():
    sources = {"xglue": {"path": "x"}, "intermediate/mnli": MT}
    files = grid({"languages": ["de", "sw"]}, sources=sources).training_files("arm", None)["intermediate/mnli"]
    assert files["train"] == [DataFile("intermediate/mnli", "train", x) for x in ("de", "sw")]
    assert files["dev"] == [DataFile("intermediate/mnli", "dev", "en")]
    both = grid({"languages": ["en", "de"]}, sources=sources).training_files("arm", None)["intermediate/mnli"]
    assert [file.language for file in both["train"]] == ["en", "de"]


def test_an_arm_whose_files_have_no_such_language_is_excluded_with_the_remedy():
    english = {"xglue": {"path": "x"}, "intermediate/mnli": {"path": "mt", "layout": "glue"}}
    g = grid({"languages": ["de"]}, sources=english)
    assert "name a layout or a file by language" in g.excluded["tiny", "arm", "xnli"]
    assert ("tiny", "none", "xnli") not in g.excluded
    named = english | {"intermediate/mnli": {"path": "mt", "files": {"train": "mnli.{lang}.tsv"}}}
    assert not grid({"languages": ["de"]}, sources=named).excluded


def test_translations_are_read_in_each_layout(tmp_path):
    row = task("intermediate/mnli")
    (tmp_path / "XNLI/translate-train").mkdir(parents=True)
    (tmp_path / "XNLI/translate-train/en-de-translated.tsv").write_text(
        "A cat.\tAn animal.\tEine Katze.\tEin Tier.\tentailment\n"
        "A cat.\tA dog.\tEine Katze.\tEin Hund.\tcontradictory\n"
    )
    examples, about = read_source(row, "translate_train", tmp_path, "train", "de")
    assert [(e.fields["premise"], e.fields["hypothesis"], e.label) for e in examples] == [
        ("Eine Katze.", "Ein Tier.", "entailment"),
        ("Eine Katze.", "Ein Hund.", "contradiction"),
    ]
    assert about["language"] == "de" and examples[0].group == examples[1].group
    (tmp_path / "mnli").mkdir()
    (tmp_path / "mnli/train.sw.tsv").write_text("label\thypothesis\tpremise\nneutral\tmnyama\tpaka\n")
    (example,) = read_source(row, "tsv", tmp_path, "train", "sw")[0]
    assert example.fields == {"premise": "paka", "hypothesis": "mnyama"} and example.label == "neutral"
    with pytest.raises(StiltgridError, match="unknown language 'sw'"):
        read_source(row, "tsv", tmp_path, "dev", "sw")  # translated are training rows alone


@pytest.mark.realdata
def test_real_translations_are_read(real_data):
    rows, about = read_source(
        task("intermediate/mnli"),
        "xnli",
        real_data / "data/mnli/xnli_extension",
        "train",
        "de",
        files={"train": "multinli.train.{lang}.tsv"},
    )
    assert len(rows) == 1000 and about["language"] == "de"
    assert {row.label for row in rows} == {"entailment", "neutral", "contradiction"}


PAWSX = {"path": "x", "layout": "original"}


def test_another_source_language_trains_and_selects_on_it_alone():
    targets = {
        "pawsx": {"task": "xtreme/pawsx", "languages": ["en", "de", "zh"]},
        "pawsx_de": {"task": "xtreme/pawsx", "languages": ["en", "de", "zh"], "source_language": "de"},
    }
    config = deepcopy(SMALL) | {"targets": targets, "sources": {"xtreme/pawsx": PAWSX}}
    config["intermediates"] = {"none": {}}
    g = Grid(validate(config))
    assert not g.excluded
    files = [g.training_files(None, name)["xtreme/pawsx"] for name in targets]
    assert [[f.language for split in own.values() for f in split] for own in files] == [["en", "en"], ["de", "de"]]
    one, two = (training_recipe(g, "tiny", "none", name, 1) for name in targets)
    assert (one["source_language"], two["source_language"]) == ("en", "de")
    assert {k: v for k, v in one.items() if k != "source_language"} == {
        k: v for k, v in two.items() if k != "source_language"
    }
    cells = list(g.cells())
    assert len({g.paths.score(cell) for cell in cells}) == len(cells)
    assert Cell("tiny", "none", "pawsx_de", "en", 1) in cells
    assert [target_title(g, name) for name in targets] == ["PAWS-X", "PAWS-X (from de)"]


def test_a_release_without_rows_in_the_source_language_excludes_the_target_with_the_remedy():
    english = {"task": "xglue/mlqa", "source_language": "de"}
    g = grid(target=english, sources={"xglue": {"path": "x"}})
    assert "set `source_language: en`" in g.excluded["tiny", "none", "xnli"]
    named = {"xglue": {"path": "x", "files": {"train": "squad.translate.train.en-{lang}.json"}}}
    assert not grid(target=english, sources=named).excluded


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test": "XNLI/en.test"}, r"sources\.xglue\.files\.test: XNLI/en\.test is one file, .* each of en, de"),
        ({"train": "XNLI/en.dev", "dev": "XNLI/{lang}.dev"}, r"files\.train: .* each of en, de of xglue/xnli"),
    ],
)
def test_a_file_of_one_language_is_not_read_as_anothers(files, message):
    aim = {"task": "xglue/xnli", "languages": ["en", "de"]}
    config = deepcopy(SMALL) | {"targets": {"xnli": aim, "german": {**aim, "source_language": "de"}}}
    config["sources"] = {"xglue": {"path": "x", "files": files}}
    with pytest.raises(StiltgridError, match=message):
        validate(config)
    # one language in all asks one file of its own
    only = {"task": "xglue/xnli", "languages": ["de"], "source_language": "de"}
    validate({**config, "targets": {"german": only}})


def test_a_file_of_all_languages_serves_each_source_language(tmp_path):
    row, file = task("xtreme/tydiqa"), tmp_path / "tydiqa-goldp-v1.1-train.json"
    for language, start in (("ar", "arabic"), ("fi", "finnish")):
        qa = {"id": f"{start}-1-0", "question": "q", "answers": [{"text": "b", "answer_start": 2}]}
        article = {"paragraphs": [{"context": "a b", "qas": [qa | {"id": "english-1-0"}, qa]}]}
        file.write_text(json.dumps({"data": [article]}))
        examples, _ = read_source(row, "original", tmp_path, "train", language)
        assert [e.id for e in examples] == [f"{start}-1-0"]
    aim = {"task": "xtreme/tydiqa", "languages": ["en", "fi"]}
    config = deepcopy(SMALL) | {"targets": {"tydiqa": aim, "finnish": {**aim, "source_language": "fi"}}}
    source = {"path": "x", "layout": "original", "files": {"dev": file.name}, "rows": {"dev": [0, 100]}}
    assert not Grid(validate(config | {"sources": {"xtreme/tydiqa": source}})).excluded


def test_synonyms_are_refused_where_the_answer_is_of_the_text():
    target = {"task": "xglue/mlqa", "robust": {"kind": "synonyms", "neighbours": "n.tsv"}}
    reason = grid(target=target).excluded["tiny", "none", "xnli"]
    assert "kind span" in reason
    target = {"task": "xtreme/tatoeba", "languages": "all", "robust": {"kind": "random", "epsilon": 1}}
    with pytest.raises(StiltgridError, match=r"targets\.xnli\.robust: xtreme/tatoeba has no training set"):
        grid(target=target)


def test_the_arms_of_the_docs_are_a_valid_config():
    """Every YAML block of docs/arms.md, one after the other, on top of the tests' smallest config."""
    blocks = Path("docs/arms.md").read_text().split("```yaml\n")[1:]
    assert len(blocks) >= 5
    for block in blocks:
        config = deepcopy(SMALL)
        for key, value in yaml.safe_load(block.split("```")[0]).items():
            config[key] = {**config.get(key, {}), **value} if key in ("intermediates", "targets") else value
        validate(config)


@pytest.mark.parametrize(
    ("arm", "target", "expected"),
    [
        ({}, {}, 2 * 100),
        ({"languages": ["de", "sw"]}, {}, 2 * 200),
        ({"denoising": 0.2}, {}, 2 * 100 / 0.8),
        ({"tasks": ["mnli", "qqp"], "mixing": {"cap": 60}}, {}, 2 * 120),
        (None, {"robust": {"kind": "adversarial", "epsilon": 1, "steps": 4}}, 2 * 100 * 5),
        (None, {"robust": {"kind": "synonyms", "neighbours": "n", "copies": 3}}, 2 * 100 * 3),
        (None, {"robust": {"kind": "random", "epsilon": 1}}, 2 * 100),
    ],
)
def test_a_plan_knows_what_an_arm_costs(arm, target, expected):
    g = grid(arm, target, denoising_text=TEXT, training={"epochs": 2})
    name = "xnli" if arm is None else None
    files = g.training_files("arm", name)
    rows = {task_: [100] * len(splits["train"]) for task_, splits in files.items()}
    assert inputs_passed(recipe(g, name), rows) == pytest.approx(expected)
    assert inputs_passed(recipe(g, name), {task_: [None] for task_ in rows}) is None


def test_a_plan_counts_every_choice_where_each_is_an_input_of_its_own():
    rows = {"intermediate/cosmosqa": [100], "intermediate/mnli": [300]}
    made = {"model": {"family": "heads"}, "mixing": "proportional"}
    made["training"] = {"train_examples": None, "max_steps": None, "epochs": 2}
    assert inputs_passed(made, rows) == pytest.approx(2 * (4 * 100 + 300))
    assert inputs_passed({**made, "mixing": "uniform"}, rows) == pytest.approx(2 * (4 * 200 + 200))
    assert inputs_passed({**made, "model": {"family": "text2text"}}, rows) == pytest.approx(2 * 400)
    steps = {**made, "training": {**made["training"], "max_steps": 10, "batch_size": 8}}
    assert inputs_passed(steps, {"intermediate/cosmosqa": [None]}) == pytest.approx(4 * 80)
    assert inputs_passed(steps, {**rows, "intermediate/mnli": [None]}) is None  # how many of which is not known


def test_english_is_unseen_where_the_source_is_another_language():
    """In scores, in what is declared for the analysis and in the tables' files."""
    config = deepcopy(SMALL) | {"targets": {"p": {"task": "xtreme/pawsx", "languages": ["en", "de", "zh"]}}}
    config["targets"]["p"]["source_language"] = "de"
    config |= {"models": {"a": {"source": "demo:base"}, "b": {"source": "demo:xxl"}}, "sources": {"xtreme": PAWSX}}
    g = Grid(validate(config))
    assert declared(g).zero_shot == {"p": ("en", "zh")}
    assert "results/small/tables/answer_table.md" in Results(g).table_files()
    assert Scores.evaluated(SimpleNamespace(grid=g), "p", source=False) == ["en", "zh"]
