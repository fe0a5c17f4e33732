from copy import deepcopy

import pytest

from stiltgrid.config import expanded, load, validate
from stiltgrid.errors import StiltgridError
from stiltgrid.schema import Training, blocks

SMALL = {
    "grid": "small",
    "models": {"tiny": {"source": "demo:base"}},
    "intermediates": {"none": {}, "mnli": {"tasks": ["mnli"]}},
    "targets": {"xnli": {"task": "xglue/xnli", "languages": ["en", "de"]}},
}


def refusal(change) -> str:
    config = deepcopy(SMALL)
    change(config)
    with pytest.raises(StiltgridError) as error:
        validate(config, "small.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    "path", ["config.yaml", "config/demo.yaml", "config/demo-xglue.yaml", "config/sample.yaml", "config/xtreme.yaml"]
)
def test_committed_configs_are_valid(path):
    assert load(path).targets


def test_unknown_key_is_refused_with_path_and_nearest_name():
    message = refusal(lambda c: c["models"]["tiny"].update(training={"lerning_rate": 1}))
    assert "small.yaml" in message
    assert "models.tiny.training.lerning_rate: unknown key; did you mean 'learning_rate'?" in message


def test_all_faults_are_reported_at_once():
    def change(config):
        config["modles"] = {}
        config["models"]["tiny"]["family"] = "text2txt"
        config["models"]["tiny"]["training"] = {"batch_size": 0}

    message = refusal(change)
    assert "modles: unknown key; did you mean 'models'?" in message
    assert "models.tiny.family: value 'text2txt'" in message and "did you mean 'text2text'?" in message
    assert "models.tiny.training.batch_size: value 0" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c["targets"]["xnli"].update(task="xglue/xnly"), "did you mean 'xglue/xnli'?"),
        (lambda c: c["targets"]["xnli"].update(languages=["en", "dee"]), "did you mean 'de'?"),
        (lambda c: c["targets"]["xnli"].update(languages=[]), "write `all` or name at least one"),
        (lambda c: c["intermediates"].update(mnly={"tasks": ["mnly"]}), "did you mean 'mnli'?"),
        (lambda c: c["intermediates"].update(a={"tasks": ["b"]}, b={"tasks": ["a"]}), "in a circle"),
        (lambda c: c.update(sources={"xglu": {"path": "x"}}), "did you mean 'xglue'?"),
        (lambda c: c["models"].update(hub={"source": "google/mt5-base"}), "hub id without `revision`"),
        (lambda c: c["models"].update(hub={"source": "google/mt5-base", "revision": "main"}), "models.hub.revision"),
        (lambda c: c.pop("grid"), "grid: missing; this key is required"),
        (lambda c: c.update(grid="a/b"), "grid: value 'a/b'"),
    ],
)
def test_bad_values_name_key_value_and_remedy(change, expected):
    assert expected in refusal(change)


def test_key_written_twice_is_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("grid: a\nmodels: {}\ngrid: b\n", encoding="utf-8")
    with pytest.raises(StiltgridError, match=r"twice\.yaml, line 3: key 'grid' is written twice"):
        load(path)


def test_unreadable_and_malformed_files_are_named(tmp_path):
    with pytest.raises(StiltgridError, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml")
    path = tmp_path / "bad.yaml"
    path.write_text("grid: [", encoding="utf-8")
    with pytest.raises(StiltgridError, match=r"bad\.yaml: not YAML"):
        load(path)


def test_length_of_training_is_one_of_epochs_and_steps():
    with pytest.raises(ValueError, match="exactly one of"):
        Training(epochs=3, max_steps=10)


def test_every_key_is_described():
    for block in blocks():
        for key, info in block.model_fields.items():
            described = info.description or "Execution" in str(info.annotation) or "Resources" in str(info.annotation)
            assert described, f"{block.__name__}.{key} has no description"


def test_unset_variable_in_a_path_is_named(monkeypatch):
    monkeypatch.delenv("STILTGRID_NOWHERE", raising=False)
    with pytest.raises(StiltgridError, match="STILTGRID_NOWHERE is not set"):
        expanded("${STILTGRID_NOWHERE}/x")
    monkeypatch.setenv("STILTGRID_NOWHERE", "/there")
    assert expanded("${STILTGRID_NOWHERE}/x") == "/there/x"


def test_reference_page_is_current():
    from pathlib import Path

    from stiltgrid.reference import config_page

    assert Path("docs/config.md").read_text(encoding="utf-8") == config_page(), "run `make docs`"


def test_conda_environment_repeats_the_lock():
    from pathlib import Path

    pins = [x for x in Path("envs/lock.txt").read_text(encoding="utf-8").splitlines() if not x.startswith("#")]
    conda = Path("envs/stiltgrid.yaml").read_text(encoding="utf-8")
    assert all("==" in pin for pin in pins) and len(pins) > 50
    assert [x.strip().removeprefix("- ") for x in conda.splitlines() if "==" in x] == pins, "run `make lock`"
