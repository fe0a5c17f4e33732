import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stiltgrid.analysis.clusters import clusters, linked, presence, read_columns, same_test_set
from stiltgrid.analysis.replicates import read_replicates, replicate, write_replicates
from stiltgrid.analysis.resampling import draws, seed
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell
from stiltgrid.metrics import METRICS


def drawn(key, number, replicates=20, **others):
    return np.concatenate([counts for _, counts in draws(key, number, replicates, **others)])


def cell(language="en", seed=1, arm="none"):
    return Cell("base", arm, "t", language, seed)


def write(path, groups, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"unit": [f"u{k}" for k in range(len(groups))], "group": groups, **columns}), path)
    return path


def right(rng, number=60):
    return (rng.random(number) < 0.6).astype(int)


def test_every_draw_has_as_many_clusters_as_there_are():
    assert (drawn(1, 37).sum(axis=1) == 37).all()


@given(block=st.integers(1, 30), replicates=st.integers(1, 25))
@settings(max_examples=20, deadline=None)
def test_draws_do_not_depend_on_the_block_and_a_longer_run_begins_with_a_shorter(block, replicates):
    assert np.array_equal(drawn(5, 9, replicates, block=block), drawn(5, 9, 25)[:replicates])


def test_the_seed_knows_task_split_language_and_clusters_and_not_their_order():
    ours = seed("xglue/xnli", "test", None, ["a", "b"])
    assert ours == seed("xglue/xnli", "test", None, ["b", "a"])
    others = [("xglue/nc", "test", None, ["a", "b"]), ("xglue/xnli", "dev", None, ["a", "b"])]
    others += [("xglue/xnli", "test", "de", ["a", "b"]), ("xglue/xnli", "test", None, ["a", "c"])]
    assert ours not in {seed(*key) for key in others}


def test_a_draw_leaves_no_language_without_clusters():
    present = np.array([[True] * 6, [True, True] + [False] * 4])
    counts = drawn(3, 6, 200, present=present)
    assert (counts[:, :2].sum(axis=1) > 0).all()
    assert (drawn(3, 6, 200)[:, :2].sum(axis=1) == 0).any()


def test_a_language_with_hopelessly_few_clusters_is_refused():
    present = np.zeros((2, 3000), dtype=bool)
    present[0] = True
    with pytest.raises(StiltgridError, match="has only 0"):
        drawn(3, 3000, 1, present=present)


def test_sums_by_cluster_are_those_of_its_units():
    found = clusters(["b", "a", "b", "c"])
    assert found.names == ("a", "b", "c")
    assert found.sums(np.array([[1.0, 2, 4, 8], [1, 1, 1, 1]])).tolist() == [[2, 5, 8], [1, 2, 1]]
    assert found.units.tolist() == [1, 2, 1]


def test_languages_are_matched_by_name():
    names, has = presence({"de": ["b", "a"], "en": ["c", "b"]})
    assert names == ("a", "b", "c")
    assert has.tolist() == [[True, True, False], [False, True, True]]


def test_replicates_are_the_metric_of_the_resampled_units(tmp_path):
    """BLEU is no mean over sentences: the replicate must be the corpus score of the drawn sentences."""
    rng, groups = np.random.default_rng(0), [f"g{k // 2}" for k in range(40)]
    length = rng.integers(5, 12, 40)
    table = {f"bleu_total_{n}": np.maximum(length - n + 1, 0) for n in range(1, 5)}
    table |= {f"bleu_match_{n}": rng.binomial(table[f"bleu_total_{n}"], 0.8**n) for n in range(1, 5)}
    table |= {"bleu_length": length, "bleu_reference_length": length + rng.integers(0, 2, 40)}
    path = write(tmp_path / "a", groups, **table)
    found = replicate("t", "xglue/qg", "test", ["bleu"], {cell(): path}, parallel=False, replicates=30)
    own = clusters(groups)
    counts = drawn(seed("xglue/qg", "test", "en", own.names), len(own.names), 30)
    expected = METRICS["bleu"].score(table, counts[:, own.index])
    assert found.values[0, 0] == pytest.approx(expected, rel=1e-6)
    assert found.scores[0, 0] == METRICS["bleu"].score(table)
    assert found.values.std() > 0


def test_runs_of_a_language_share_draws_and_parallel_languages_do(tmp_path):
    rng, groups = np.random.default_rng(0), [f"g{k}" for k in range(60)]
    same, other = right(rng), right(rng)
    cells = {cell("en", 1): same, cell("en", 2): other, cell("de", 1): same, cell("de", 2): other}
    files = {c: write(tmp_path / f"{k}", groups, correct=x) for k, (c, x) in enumerate(cells.items())}

    def values(parallel):
        found = replicate("t", "s/t", "test", ["accuracy"], files, parallel=parallel, replicates=50)
        return {c: found.values[0, k] for k, c in enumerate(found.cells)}

    shared, apart = values(True), values(False)
    assert np.array_equal(shared[cell("en", 1)], shared[cell("de", 1)])
    assert not np.array_equal(apart[cell("en", 1)], apart[cell("de", 1)])
    assert np.array_equal(
        replicate("t", "s/t", "test", ["accuracy"], {cell(): files[cell()]}, parallel=False, replicates=50).values[
            0, 0
        ],
        apart[cell()],
    )


def test_clusters_of_parallel_languages_are_matched_by_name_not_by_place(tmp_path):
    rng, groups = np.random.default_rng(1), np.array([f"g{k // 3}" for k in range(60)])
    order, answers = rng.permutation(60), right(rng)
    files = {
        cell("en"): write(tmp_path / "en", groups, correct=answers),
        cell("de"): write(tmp_path / "de", groups[order], correct=answers[order]),
    }
    found = replicate("t", "s/t", "test", ["accuracy"], files, parallel=True, replicates=50)
    assert np.array_equal(found.values[0, 0], found.values[0, 1])


def test_a_parallel_language_without_some_clusters_is_drawn_with_the_others(tmp_path):
    rng, groups = np.random.default_rng(1), np.array([f"g{k}" for k in range(60)])
    answers = right(rng)
    files = {
        cell("en"): write(tmp_path / "en", groups, correct=answers),
        cell("de"): write(tmp_path / "de", groups[:40], correct=answers[:40]),
    }
    found = replicate("t", "s/t", "test", ["accuracy"], files, parallel=True, replicates=30)
    names, _ = presence({"en": groups.tolist()})
    counts = drawn(seed("s/t", "test", None, names), 60, 30)[:, [names.index(g) for g in groups[:40]]]
    assert found.cells[0].language == "de"
    assert found.values[0, 0] == pytest.approx(METRICS["accuracy"].score({"correct": answers[:40]}, counts), rel=1e-6)
    assert found.units.tolist() == [40, 60]


def test_clusters_that_share_a_unit_are_one():
    found = linked(
        {
            "en": (["q1", "q2", "q3", "q4"], ["1.1", "1.1", "1.2", "2.1"]),
            "de": (["q4", "q2", "q3"], ["1.1", "1.2", "1.2"]),
        }
    )
    assert found == {"en": {"1.1": "q1", "1.2": "q1", "2.1": "q4"}, "de": {"1.1": "q4", "1.2": "q1"}}


def test_a_set_that_is_parallel_in_part_is_matched_by_the_ids_of_its_units(tmp_path):
    """Paragraphs are numbered anew in each language: their names must not be matched."""
    rng = np.random.default_rng(6)
    answers, kept = right(rng, 60), rng.permutation(60)[:40]
    units = np.array([f"q{k:02d}" for k in range(60)])
    renumbered = np.array([f"p{(k // 2 * 7) % 30}" for k in range(60)])
    files = {}
    for c, groups, rows in (
        (cell("en"), np.array([f"p{k // 2}" for k in range(60)]), np.arange(60)),
        (cell("de"), renumbered, kept),
    ):
        path = tmp_path / f"{c.language}.parquet"
        pq.write_table(pa.table({"unit": units[rows], "group": groups[rows], "correct": answers[rows]}), path)
        files[c] = path
    found = replicate("t", "s/t", "test", ["accuracy"], files, parallel="ids", replicates=400)
    names = sorted(units[::2])
    counts = drawn(
        seed("s/t", "test", None, names), 30, 400, present=np.array([np.isin(np.arange(30), kept // 2), [True] * 30])
    )
    expected = METRICS["accuracy"].score({"correct": answers[kept]}, counts[:, kept // 2])
    assert found.values[0, 0] == pytest.approx(expected, rel=1e-6)
    apart = replicate("t", "s/t", "test", ["accuracy"], files, parallel=False, replicates=400)
    shared = np.corrcoef(found.values[0])[0, 1]
    assert shared > 0.5 > abs(np.corrcoef(apart.values[0])[0, 1]) + 0.3


def test_replicates_do_not_depend_on_the_order_of_rows(tmp_path):
    rng, groups = np.random.default_rng(2), np.array([f"g{k // 2}" for k in range(60)])
    order, answers = rng.permutation(60), right(rng)
    a = write(tmp_path / "a", groups, correct=answers)
    b = write(tmp_path / "b", groups[order], correct=answers[order])
    found = replicate("t", "s/t", "test", ["accuracy"], {cell(): a, cell(seed=2): b}, parallel=False, replicates=40)
    assert np.array_equal(found.values[0, 0], found.values[0, 1])
    alone = replicate("t", "s/t", "test", ["accuracy"], {cell(): b}, parallel=False, replicates=40)
    assert np.array_equal(alone.values[0, 0], found.values[0, 0])


def test_the_spread_of_replicates_is_the_standard_error_of_clusters(tmp_path):
    rng = np.random.default_rng(3)
    ones = np.repeat((rng.random(300) < 0.5).astype(int), 2)  # two rows of a cluster agree: 300 answers, not 600
    path = write(tmp_path / "a", [f"g{k // 2}" for k in range(600)], correct=ones)
    found = replicate("t", "s/t", "test", ["accuracy"], {cell(): path}, parallel=False, replicates=2000)
    assert found.values[0, 0].std() == pytest.approx(100 * np.sqrt(0.25 / 300), rel=0.06)


def test_runs_on_different_test_sets_are_refused_by_name(tmp_path):
    a = write(tmp_path / "a", ["g1", "g2"], correct=[1, 0])
    b = write(tmp_path / "b", ["g1", "g3"], correct=[1, 0])
    with pytest.raises(StiltgridError, match=r"b and .*a rest on different test sets: cluster 'g2' has 0 and 1"):
        replicate("t", "s/t", "test", ["accuracy"], {cell(): a, cell(seed=2): b}, parallel=False, replicates=5)
    with pytest.raises(StiltgridError, match="'g1' has 2 and 1"):
        same_test_set("x", clusters(["g1", "g1"]), clusters(["g1"]), "y")


@pytest.mark.parametrize("content", [None, b"PAR1 and no more"])
def test_a_file_that_is_not_whole_is_named(tmp_path, content):
    path = tmp_path / "x.stats.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StiltgridError, match=r"x\.stats\.parquet.*score again"):
        read_columns(path, ["correct"])


def test_a_column_that_is_lacking_or_not_finite_is_named(tmp_path):
    path = write(tmp_path / "a", ["g"], ndcg=[float("nan")])
    with pytest.raises(StiltgridError, match="lacks the column 'correct'"):
        read_columns(path, ["correct"])
    with pytest.raises(StiltgridError, match="not finite"):
        read_columns(path, ["ndcg"])


def test_fractions_are_summed_in_double_precision(tmp_path):
    rng, groups = np.random.default_rng(4), [f"g{k}" for k in range(50)]
    gains = rng.random(50)
    path = write(tmp_path / "a", groups, ndcg=gains)
    found = replicate("t", "s/t", "test", ["ndcg"], {cell(): path}, parallel=False, replicates=10)
    own = clusters(groups)
    counts = drawn(seed("s/t", "test", "en", own.names), 50, 10)[:, own.index]
    assert found.values[0, 0] == pytest.approx(100 * counts @ gains / 50, rel=2e-7)


def test_several_metrics_share_the_draws(tmp_path):
    rng, groups = np.random.default_rng(5), [f"g{k}" for k in range(50)]
    exact = right(rng, 50)
    path = write(tmp_path / "a", groups, f1=exact, exact=exact)
    found = replicate("t", "s/t", "test", ["mlqa_f1", "mlqa_exact"], {cell(): path}, parallel=False, replicates=10)
    assert np.array_equal(found.values[0], found.values[1])


def test_replicates_survive_their_file(tmp_path):
    path = write(tmp_path / "a", ["g1", "g2", "g3"], correct=[1, 0, 1])
    seen = []
    files = {cell("en"): path, cell("de"): path}
    found = replicate(
        "t", "s/t", "test", ["accuracy"], files, parallel=True, replicates=7, progress=lambda *x: seen.append(x)
    )
    write_replicates(tmp_path / "t.npz", found)
    again = read_replicates(tmp_path / "t.npz")
    assert (again.target, again.metrics, again.cells) == (found.target, found.metrics, found.cells)
    for name in ("scores", "values", "units", "clusters"):
        assert np.array_equal(getattr(again, name), getattr(found, name))
    assert seen == [(1, 2), (2, 2)]


def test_a_replicate_file_that_is_not_whole_is_named(tmp_path):
    with pytest.raises(StiltgridError, match=r"t\.npz: no such file"):
        read_replicates(tmp_path / "t.npz")
    path = write(tmp_path / "a", ["g1", "g2"], correct=[1, 0])
    write_replicates(
        tmp_path / "t.npz",
        replicate("t", "s/t", "test", ["accuracy"], {cell(): path}, parallel=False, replicates=7),
    )
    (tmp_path / "t.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:300])
    with pytest.raises(StiltgridError, match=r"t\.npz: not whole"):
        read_replicates(tmp_path / "t.npz")
