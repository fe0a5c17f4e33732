"""`snakemake rescore`, through real Snakemake."""

import pytest

from stiltgrid.artifacts import read_json, write_json

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("to_tables")]


def test_rescore_repairs_scores_and_only_tables_are_made_again(mini):
    path = mini.path("scores/tiny/mnli/xnli/seed1/de.json")
    right, statistics = path.read_bytes(), path.with_suffix(".stats.parquet").read_bytes()
    write_json(path, read_json(path) | {"metrics": {"accuracy": 12.5}})
    path.with_suffix(".stats.parquet").write_bytes(b"")
    # no table rests on statistics that are not whole
    mini.run(fails=True)
    assert "de.stats.parquet" in mini.log("bootstrap/xnli")

    mini.run("rescore")
    assert path.read_bytes() == right
    assert path.with_suffix(".stats.parquet").read_bytes() == statistics
    text = mini.path("rescore.md").read_text(encoding="utf-8")
    assert "4 runs rescored, 0 left out" in text
    assert "- tiny/mnli/xnli/seed1 de accuracy: 12.5000, now " in text
    assert mini.planned() == mini.with_tables({}) | {"bootstrap": 1}
    mini.run()
    assert "12.5" not in mini.path("tables/languages_xnli.md").read_text(encoding="utf-8")
    assert mini.planned() == {}

    # asked for again it runs again, finds nothing new, and so nothing follows
    assert mini.planned("rescore") == {"rescore": 1}
    mini.run("rescore")
    assert "now" not in mini.path("rescore.md").read_text(encoding="utf-8")
    assert mini.planned() == {}


def test_unusable_predictions_fail_the_target_at_its_end(mini):
    mini.path("predictions/tiny/none/pos/seed1/fr.parquet").write_bytes(b"PAR1")
    mini.path("predictions/tiny/none/xnli/seed1/de.parquet").unlink()
    other = mini.path("scores/tiny/mnli/pos/seed1/en.json")
    other.unlink()
    printed = mini.run("rescore", fails=True)
    assert other.exists()
    log = mini.log("rescore")
    for text in (printed, log):
        assert "predictions/tiny/none/pos/seed1/fr.parquet" in text
        assert "1 of 3 runs could not be scored again" in text
    assert mini.planned() == mini.with_tables({"predict_pos": 1, "predict_xnli": 1, "score_pos": 1, "score_xnli": 1})
