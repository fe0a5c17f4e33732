"""The miniature: its files are the real layouts, deterministic, balanced; its vocabulary covers its own text."""

from collections import Counter

import pytest

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.grammar import Nominal, Scene, render, sentence
from stiltgrid.demo.vocabulary import pieces, tokenizer
from stiltgrid.demo.world import Sizes, write_sources
from stiltgrid.readers import read_source
from stiltgrid.tasks.registry import task, tasks

SIZES = Sizes(
    xnli_train=600, pawsx_train=600, pos_train=100, nc_train=60, mnli_train=600, qqp_train=300, dev=60, test=90
)
TARGETS = ("xglue/xnli", "xglue/pawsx", "xglue/pos", "xglue/nc")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_sources(folder, seed=3, sizes=SIZES)
    return folder


def _read(sources, name, split, language="en"):
    suite, short = name.split("/")
    folder = sources / "xglue_full_dataset" if suite == "xglue" else sources / short.upper()
    layout = None if suite == "xglue" else "glue"
    return read_source(task(name), layout, folder, split, language)[0]


def _bytes(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_rows(sources, tmp_path):
    write_sources(tmp_path / "again", seed=3, sizes=SIZES)
    write_sources(tmp_path / "other", seed=4, sizes=SIZES)
    assert _bytes(tmp_path / "again") == _bytes(sources)
    other = _bytes(tmp_path / "other")
    assert other.keys() == _bytes(sources).keys()
    assert all(other[name] != content for name, content in _bytes(sources).items())


def test_a_size_leaves_other_files_alone(sources, tmp_path):
    from dataclasses import replace

    write_sources(tmp_path, seed=3, sizes=replace(SIZES, pos_train=20))
    changed = {name for name, content in _bytes(sources).items() if _bytes(tmp_path)[name] != content}
    assert changed == {"xglue_full_dataset/POS/en.train"}


@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("xglue/xnli", 600),
        ("xglue/pawsx", 600),
        ("xglue/pos", 100),
        ("xglue/nc", 60),
        ("intermediate/mnli", 600),
        ("intermediate/qqp", 300),
    ],
)
def test_the_readers_find_every_row(sources, name, train):
    assert len(_read(sources, name, "train")) == train
    assert len(_read(sources, name, "dev")) == 60
    if name.startswith("xglue"):
        assert {len(_read(sources, name, "test", language)) for language in lx.LANGUAGES} == {90}


@pytest.mark.parametrize("name", TARGETS)
def test_rows_are_parallel_but_their_words_are_not(sources, name):
    english = _read(sources, name, "test")
    for language in ("de", "es", "fr"):
        other = _read(sources, name, "test", language)
        assert [e.id for e in other] == [e.id for e in english]
        assert [e.label for e in other] == [e.label for e in english]
        for one, same in zip(english, other, strict=True):
            assert (one.fields, one.words) != (same.fields, same.words)
            if one.tags:
                # a negation, an hour and Spanish `a` take other words; nouns and names correspond one to one
                counts = Counter(one.tags), Counter(same.tags)
                assert counts[0]["PROPN"] == counts[1]["PROPN"]
                assert counts[0]["ADJ"] == counts[1]["ADJ"]


def test_three_hypotheses_a_premise(sources):
    rows = _read(sources, "xglue/xnli", "test", "de")
    for first in range(0, len(rows), 3):
        three = rows[first : first + 3]
        assert len({e.fields["premise"] for e in three}) == 1
        assert {e.label for e in three} == {"entailment", "neutral", "contradiction"}
    assert all(1 <= n // 3 <= 3 for n in Counter(e.group for e in rows).values())


@pytest.mark.parametrize(
    ("name", "most"),
    [("xglue/xnli", 45), ("intermediate/mnli", 45), ("xglue/pawsx", 60), ("intermediate/qqp", 60), ("xglue/nc", 60)],
)
def test_no_label_wins_by_being_frequent(sources, name, most):
    for split in ("train", "dev"):
        counts = Counter(e.label for e in _read(sources, name, split))
        assert 100 * max(counts.values()) / counts.total() < most


def test_the_intermediate_is_another_sample_than_the_target(sources):
    premises = {e.fields["premise"] for e in _read(sources, "intermediate/mnli", "train")}
    ours = {e.fields["premise"] for e in _read(sources, "xglue/xnli", "train")}
    assert len(premises & ours) < 0.05 * len(ours)


def test_most_negative_paraphrases_keep_all_their_words(sources):
    rows = [e for e in _read(sources, "xglue/pawsx", "train") if e.label == "0"]
    kept = [
        sorted(e.fields["sentence1"].strip(".").split()) == sorted(e.fields["sentence2"].strip(".").split())
        for e in rows
    ]
    assert 0.5 < sum(kept) / len(kept) < 0.75


def test_files_end_as_xglue_does(sources):
    text = (sources / "xglue_full_dataset" / "POS" / "fr.dev").read_text()
    assert text.endswith(". PUNCT\n")
    assert text.count("\n\n") == 59


SCENE = Scene(
    subject=Nominal("boy", adjectives=("old",)),
    verb="see",
    object=Nominal("duck", definite=False, adjectives=("sad",)),
    place="kitchen",
    time="today",
    negated=True,
)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "the old boy does not see a sad duck in the kitchen today."),
        ("de", "der alte Junge sieht heute eine traurige Ente nicht in der Küche."),
        ("es", "el chico viejo no ve un pato triste en la cocina hoy."),
        ("fr", "le vieux garçon ne voit pas un canard triste dans la cuisine aujourd'hui."),
    ],
)
def test_agreement_and_order(language, expected):
    assert sentence(SCENE, language) == expected


def test_german_puts_the_finite_verb_second_and_the_infinitive_last():
    from dataclasses import replace

    scene = replace(SCENE, negated=False, modal="can", front="time", object=Nominal("boy"), subject=Nominal("Tom"))
    assert sentence(scene, "de") == "heute kann Tom den Jungen in der Küche sehen."


def test_spanish_marks_persons():
    scene = Scene(subject=Nominal("Anna"), verb="chase", object=Nominal("baker"))
    assert sentence(scene, "es") == "Anna persigue al panadero."
    assert [w.tag for w in render(scene, "es")] == ["PROPN", "VERB", "ADP", "NOUN", "PUNCT"]


def test_french_never_needs_to_elide():
    vowels = "aeiouhéèêâîôû"
    for row in lx.NOUNS.values():
        assert row[4][0] not in vowels
    for row in lx.VERBS.values():
        assert row[4].split()[0][0] not in vowels
    for name in lx.FRENCH_BEFORE_NOUN:
        assert all(form[0] not in vowels for form in lx.ADJECTIVES[name][5].split())


def test_antonyms_come_in_pairs():
    for name, row in lx.ADJECTIVES.items():
        assert lx.ADJECTIVES[row[0]][0] == name
        assert lx.ADJECTIVES[row[0]][1] == row[1]


def test_the_vocabulary_is_mt5s_layout_and_the_same_each_time():
    names = [piece for piece, _ in pieces()]
    assert names[:3] == ["<pad>", "</s>", "<unk>"]
    assert names[-1] == "<extra_id_0>" and names[-100] == "<extra_id_99>"
    assert len(set(names)) == len(names)
    assert pieces() == pieces()


def test_the_vocabulary_covers_its_own_text_word_by_word(sources):
    made = tokenizer()
    for path in sources.rglob("*"):
        if not path.is_file() or path.parent.name == "MNLI":
            continue
        lines = path.read_text(encoding="utf-8").splitlines()[1:200]
        for ids in made([line.replace("\t", " ") for line in lines])["input_ids"]:
            assert made.unk_token_id not in ids
    for language in lx.LANGUAGES:
        for e in _read(sources, "xglue/xnli", "test", language):
            text = e.fields["hypothesis"]
            # one piece a word, one for the closing mark
            assert len(made.tokenize(text)) == len(text.split()) + 1, text


def test_verbalisers_of_every_task_differ_in_their_first_piece_where_they_must():
    made = tokenizer()
    for row in tasks().values():
        first = {label: made(text, add_special_tokens=False)["input_ids"] for label, text in row.labels.items()}
        assert all(made.unk_token_id not in ids for ids in first.values())
        # labels of several words (NER's) may share the first; one-word labels are one piece each
        assert all(len(ids) == len(text.split()) for ids, text in zip(first.values(), row.labels.values(), strict=True))


def test_embeddings_bring_translations_together():
    import random

    import numpy as np

    from stiltgrid.demo.alignment import ParallelText, cooccurrence, embeddings
    from stiltgrid.demo.scenes import text_pool

    ids = {piece: i for i, (piece, _) in enumerate(pieces())}
    text = ParallelText(text_pool(random.Random(1), 600), ids)
    counts = cooccurrence(text, random.Random(2), len(ids), rounds=1)
    vectors, axes = embeddings(counts, 128, 64, np.random.default_rng(0))
    again, _ = embeddings(counts, 128, 64, np.random.default_rng(0))
    np.testing.assert_array_equal(vectors, again)
    np.testing.assert_allclose(axes @ axes.T, np.eye(128), atol=1e-6)
    dog, hund, cat = (vectors[ids[f"▁{w}"]] / np.sqrt(128) for w in ("dog", "Hund", "cat"))
    assert dog @ hund > 0.8
    assert abs(dog @ cat) < 0.5


@pytest.mark.slow
def test_the_built_model_keeps_its_head_apart_and_builds_the_same_twice(tmp_path):
    import torch
    from transformers import AutoTokenizer

    from stiltgrid.demo.tiny_mt5 import build
    from stiltgrid.models import load_text2text

    torch.set_num_threads(1)
    about = build(tmp_path / "one", size="base", seed=0, progress=lambda line: None)
    model = load_text2text(tmp_path / "one")
    assert model.lm_head.weight is not model.shared.weight
    assert not torch.equal(model.lm_head.weight, model.shared.weight)
    assert sum(p.numel() for p in model.parameters()) == about["parameters"]
    assert model.shared.weight.shape[0] == about["vocabulary"] == len(AutoTokenizer.from_pretrained(tmp_path / "one"))
    build(tmp_path / "two", size="base", seed=0, progress=lambda line: None)
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")
