"""A retrieval target through real Snakemake: predicted from phase (ii), nothing trained for it, every layer scored."""

import pytest

from stiltgrid.artifacts import read_json
from stiltgrid.predictions import read_predictions
from stiltgrid.retrieve.layers import read_rows

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("to_tables")]


SENTENCES = ["the cat runs", "the dog sees", "the big house", "a red tree", "the happy dog", "no park"]


def with_tatoeba(mini):
    """The finished grid and a retrieval target, whose one language repeats the English sentences."""
    folder = mini.folder / "source" / "tatoeba" / "v1"
    folder.mkdir(parents=True)
    for side in ("deu", "eng"):
        (folder / f"tatoeba.deu-eng.{side}").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    mini.config["sources"]["xtreme/tatoeba"] = {"path": "source"}
    mini.config["targets"]["tatoeba"] = {"task": "xtreme/tatoeba", "languages": ["de"]}
    return mini


def test_it_is_predicted_from_phase_ii_and_nothing_is_trained(mini):
    mini = with_tatoeba(mini)
    expected = {"data": 1, "predict_tatoeba": 2, "score_tatoeba": 2}
    assert mini.planned() == mini.with_tables(expected)
    mini.run()
    assert mini.planned() == {}
    assert not mini.path("checkpoints/tiny/mnli/tatoeba").exists()
    for arm in ("none", "mnli"):
        record = read_json(mini.path(f"scores/tiny/{arm}/tatoeba/seed1/de.json"))
        assert record["metrics"] == {"retrieval_accuracy": 100.0}  # each sentence is its own translation
    said = read_predictions(mini.path("predictions/tiny/mnli/tatoeba/seed1/de.parquet"))
    assert [p.text for p in said] == [str(i + 1) for i in sorted(range(6), key=SENTENCES.__getitem__)]
    digests = {
        arm: read_json(mini.path(f"scores/tiny/{arm}/tatoeba/seed1/de.json"))["model_digest"]
        for arm in ("none", "mnli")
    }
    assert (
        digests["mnli"]
        == read_json(mini.path("checkpoints/tiny/mnli/seed1/manifest.json"))["digest"]
        != digests["none"]
    )
    assert "10/10 cells done" in mini.run("status")
    assert "Tatoeba" in mini.path("tables/main.md").read_text(encoding="utf-8")
    # another layer predicts and scores again, and trains nothing
    mini.config["models"]["tiny"]["retrieval"] = {"layer": 0}
    planned = mini.planned()
    assert {rule: n for rule, n in planned.items() if "tatoeba" in rule or "train" in rule} == {
        "predict_tatoeba": 2,
        "score_tatoeba": 2,
    }
    mini.run("layers")
    rows = read_rows(mini.path("layers.csv"))
    assert [(row.intermediate, row.layer) for row in rows] == [(a, k) for a in ("none", "mnli") for k in (0, 1, 2)]
    assert {row.value for row in rows} == {100.0}
