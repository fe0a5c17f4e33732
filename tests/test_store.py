import os
from types import SimpleNamespace

import pytest
from test_collect import small_grid

from stiltgrid.artifacts import replacing, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, fingerprint, read_examples, write_examples
from stiltgrid.exhaustion import OutOfMemoryError
from stiltgrid.predict_languages import predict_languages
from stiltgrid.predictions import Prediction, check_alignment, read_metadata, read_predictions
from stiltgrid.recipes import prediction_recipe, training_recipe
from stiltgrid.store import Store, prediction_key
from stiltgrid.tasks.registry import Decoding, task

XNLI = task("xglue/xnli")
LABELS = list(XNLI.labels)


@pytest.fixture
def job(tmp_path):
    """A prediction job over three languages whose model counts its loads and the languages that it computes."""

    class Job:
        def __init__(self):
            self.manifest = {"digest": "a" * 64, "recipe_hash": "b" * 64}
            self.store, self.languages = Store(tmp_path / "store"), ["en", "de", "fr"]
            self.loads, self.computed, self.broken, self.error = 0, [], set(), RuntimeError("out of memory")
            for language in [*self.languages, "es"]:
                texts = [{"premise": f"{language} {i}", "hypothesis": "h"} for i in range(5)]
                rows = [Example(str(i), str(i), texts[i], LABELS[i % 3]) for i in range(5)]
                write_examples(self.data(language), rows, {})

        def data(self, language):
            return tmp_path / f"test.{language}.parquet"

        def output(self, language):
            return tmp_path / "predictions" / f"{language}.parquet"

        def load(self):
            self.loads += 1

            def predict(examples, language):
                if language in self.broken:
                    raise self.error
                self.computed.append(language)
                return [Prediction(e.id, label=e.label) for e in examples]

            return predict

        def run(self, **options):
            self.loads, self.computed = 0, []
            outputs = {x: self.output(x) for x in self.languages}
            data = {x: self.data(x) for x in self.languages}
            return predict_languages(self.manifest, XNLI, data, outputs, self.store, self.load, **options)

    return Job()


def test_fresh_run_loads_once_and_computes_every_language(job):
    job.run()
    assert (job.loads, job.computed) == (1, ["en", "de", "fr"])
    assert all(read_predictions(job.output(x)) for x in job.languages)


def test_each_language_says_what_energy_it_took(job):
    job.run()
    assert read_metadata(job.output("en"))["energy_joules"] is None
    job.output("de").unlink()
    job.run(recompute=frozenset({"de"}), meter=lambda: SimpleNamespace(joules=lambda: 12.5))
    assert read_metadata(job.output("de"))["energy_joules"] == 12.5


def test_deleted_output_is_linked_again_without_a_load(job):
    job.run()
    job.output("de").unlink()
    report = job.run()
    assert (job.loads, report.stored) == (0, ("en", "de", "fr"))
    assert job.output("de").exists()


def test_deleted_output_and_entry_cost_one_load_and_one_language(job):
    job.run()
    job.output("de").unlink()
    key = [k for k in job.store.entries() if job.store.path(k).stat().st_nlink == 1]
    assert len(key) == 1
    job.store.discard(key[0])
    job.run()
    assert (job.loads, job.computed) == (1, ["de"])


def test_added_language_is_the_only_one_computed(job):
    job.run()
    job.languages = [*job.languages, "es"]
    job.run()
    assert (job.loads, job.computed) == (1, ["es"])


def test_retrained_model_is_predicted_anew(job):
    job.run()
    job.manifest = {**job.manifest, "digest": "c" * 64}
    job.run()
    assert job.computed == ["en", "de", "fr"]


def test_failing_language_keeps_the_others_and_is_the_only_one_repaired(job):
    job.broken = {"de"}
    with pytest.raises(StiltgridError, match="1 of 3 languages failed") as error:
        job.run()
    assert "de: RuntimeError: out of memory" in str(error.value)
    assert job.output("fr").exists() and not job.output("de").exists()
    job.broken = set()
    job.run()
    assert (job.loads, job.computed) == (1, ["de"])


def test_where_memory_ran_out_no_other_language_is_tried(job):
    job.broken, job.error = {"de", "fr"}, OutOfMemoryError("out of device memory; lower predict_batch_size")
    with pytest.raises(StiltgridError, match="2 of 3 languages failed") as error:
        job.run()
    assert (job.loads, job.computed) == (1, ["en"]) and job.output("en").exists()
    assert "de: out of device memory; lower predict_batch_size\n  fr: not tried" in str(error.value)
    job.broken = set()
    job.run()
    assert job.computed == ["de", "fr"]


def test_crash_half_way_keeps_finished_languages(job):
    def dies_at_de():
        predict = type(job).load(job)

        def wrapper(examples, language):
            if language == "de":
                raise KeyboardInterrupt
            return predict(examples, language)

        return wrapper

    job.load, whole = dies_at_de, job.load
    with pytest.raises(KeyboardInterrupt):
        job.run()
    assert len(job.store.entries()) == 1
    job.load = whole
    job.run()
    assert job.computed == ["de", "fr"]


def test_truncated_entry_is_never_taken(job):
    job.run()
    for key in job.store.entries():
        path = job.store.path(key)
        path.write_bytes(path.read_bytes()[:-7])
    job.run()
    assert job.computed == ["en", "de", "fr"]


def test_forced_language_is_computed_again(job):
    job.run()
    job.run(recompute=frozenset({"fr"}))
    assert job.computed == ["fr"]


def test_relinked_output_is_newer_than_its_entry_was(job):
    job.run()
    for key in job.store.entries():
        os.utime(job.store.path(key), (1, 1))
    job.run()
    assert job.output("en").stat().st_mtime > 1e9


def test_unreferenced_entries_are_listed(job):
    job.run()
    keys = job.store.entries()
    assert [key for key, _ in job.store.unreferenced(keys[:2])] == keys[2:]


def test_key_changes_with_each_thing_it_rests_on():
    base = ["m", "d", "xglue/xnli", "de"]
    keys = {prediction_key(*base)} | {prediction_key(*[*base[:i], "other", *base[i + 1 :]]) for i in range(4)}
    greedy, beams = Decoding(), Decoding(beams=4)
    keys |= {prediction_key(*base, greedy), prediction_key(*base, beams), prediction_key(*base, None)}
    assert len(keys) == 7


def test_only_written_answers_rest_on_how_they_are_written():
    targets = {"mlqa": {"task": "xglue/mlqa", "decoding": {"length_penalty": 0.5}}, "xnli": {"task": "xglue/xnli"}}
    targets["qg"] = {"task": "xglue/qg", "decoding": {"beams": 10}}
    grid = small_grid(targets=targets)
    assert grid.decoding("xnli") is None
    assert "decoding" not in prediction_recipe(grid, "xnli")
    assert prediction_recipe(grid, "mlqa")["decoding"] == {"beams": 1, "length_penalty": 0.5}
    assert grid.decoding("qg") == Decoding(beams=10)
    assert grid.decoding("mlqa", "small") is None  # an encoder points at its answers
    recipes = [
        training_recipe(small_grid(targets=t), "small", "none", "qg", 1)
        for t in (targets, targets | {"qg": {"task": "xglue/qg"}})
    ]
    assert recipes[0] == recipes[1]  # decoding retrains nothing


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ([Prediction("1", label="neutral")], "1 predictions for 2 examples; nothing is padded"),
        ([Prediction("1", label="neutral"), Prediction("9", label="neutral")], "row 2 has id '9', expected '2'"),
        ([Prediction("1", label="neutral"), Prediction("2", label="NEUTRAL")], "'2' is labelled 'NEUTRAL'"),
    ],
)
def test_misaligned_predictions_are_refused(predictions, expected):
    rows = [Example("1", "1", {}, "neutral"), Example("2", "2", {}, "neutral")]
    with pytest.raises(StiltgridError, match=expected.replace("(", r"\(")):
        check_alignment(rows, predictions, LABELS, "de.parquet")


def test_fewer_tags_than_words_are_refused():
    rows = [Example("1", "1", words=("a", "b"), tags=("X", "X"))]
    with pytest.raises(StiltgridError, match="1 tags for 2 words"):
        check_alignment(rows, [Prediction("1", tags=("X",))], ["X"], "de.parquet")


def test_example_file_round_trip_keeps_every_byte(tmp_path):
    rows = [
        Example("1", "g", {"premise": "zero\u200cwidth \u2028 line", "hypothesis": "e\u0301 ไทย اردو"}, "neutral"),
        Example("2", "g", words=("a\u00a0b", "中"), tags=("X", "NOUN")),
    ]
    write_examples(tmp_path / "x.parquet", rows, {})
    assert read_examples(tmp_path / "x.parquet") == rows


def test_fingerprint_sees_content_and_order():
    rows = [Example(str(i), "g", {"a": str(i)}, "neutral") for i in range(4)]
    assert fingerprint(rows) == fingerprint(list(rows))
    # predictions are kept row by row: other orders must not find them in the store
    assert fingerprint(rows) != fingerprint(rows[::-1])
    assert fingerprint(rows) != fingerprint([*rows[:3], Example("3", "g", {"a": "3"}, "entailment")])


def test_empty_split_and_duplicate_ids_are_refused_and_leave_nothing(tmp_path):
    with pytest.raises(StiltgridError, match="no examples"):
        write_examples(tmp_path / "x.parquet", [], {})
    with pytest.raises(StiltgridError, match="duplicate id '1'"):
        write_examples(tmp_path / "x.parquet", [Example("1", "g"), Example("1", "g")], {})
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file_and_no_half_file(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert "old" in (tmp_path / "a.json").read_text()
