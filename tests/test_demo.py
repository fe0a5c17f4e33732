"""The miniature: its files are the real layouts, deterministic, balanced; its vocabulary covers its own text."""

import re
from collections import Counter
from pathlib import Path

import pytest

from stiltgrid.config import load
from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.entities import SCHEMES, entity_tags
from stiltgrid.demo.grammar import Nominal, Scene, join, render, sentence
from stiltgrid.demo.questions import PARTS, asking, paragraphs
from stiltgrid.demo.vocabulary import pieces, save_tokenizer, tokenizer
from stiltgrid.demo.world import Sizes, write_sources
from stiltgrid.readers import read_source
from stiltgrid.tasks.registry import task, tasks
from stiltgrid.tokenization import load_tokens

SIZES = Sizes(
    xnli_train=600,
    pawsx_train=600,
    pos_train=100,
    nc_train=60,
    mnli_train=600,
    qqp_train=300,
    ner_train=120,
    mlqa_train=100,
    qadsm_train=300,
    wpr_train=200,
    qam_train=300,
    qg_train=80,
    ntg_train=70,
    dev=60,
    test=90,
)
TARGETS = tuple(name for name in tasks() if name.startswith("xglue/"))


CONFIGS = Path(__file__).parents[1] / "config"


@pytest.mark.parametrize(("name", "targets"), [("demo", {"xnli", "pos", "mlqa", "ntg"}), ("demo-xglue", None)])
def test_the_configs_name_the_miniatures_tasks_and_languages(name, targets):
    config = load(CONFIGS / f"{name}.yaml")
    assert {t.task for t in config.targets.values()} == ({f"xglue/{t}" for t in targets} if targets else set(TARGETS))
    for target in config.targets.values():
        assert set(target.languages) == set(_languages(target.task))
    assert all(model.source.startswith("demo:") for model in config.models.values())


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


def _languages(name):
    return [language for language in lx.LANGUAGES if language in task(name).languages]


def _names(example):
    """Return the persons named in an example; names are the same in every language."""
    texts = [*example.fields.values(), " ".join(example.words or ()), *(example.references or ())]
    return [Counter(w for w in re.split(r"[ .?]", t) if w in lx.NAMES + lx.SURNAMES) for t in texts]


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
        ("xglue/ner", 120),
        ("xglue/mlqa", 100),
        ("xglue/qadsm", 300),
        ("xglue/wpr", 200),
        ("xglue/qam", 300),
        ("xglue/qg", 80),
        ("xglue/ntg", 70),
        ("intermediate/mnli", 600),
        ("intermediate/qqp", 300),
    ],
)
def test_the_readers_find_every_row(sources, name, train):
    assert len(_read(sources, name, "train")) == train
    assert len(_read(sources, name, "dev")) == 60
    if name.startswith("xglue"):
        assert {len(_read(sources, name, "test", language)) for language in _languages(name)} == {90}


@pytest.mark.parametrize("name", TARGETS)
def test_rows_are_parallel_but_their_words_are_not(sources, name):
    english = _read(sources, name, "test")
    assert len(_languages(name)) >= 3
    for language in _languages(name)[1:]:
        other = _read(sources, name, "test", language)
        assert [e.id for e in other] == [e.id for e in english]
        assert [e.group for e in other] == [e.group for e in english]
        assert [e.label for e in other] == [e.label for e in english]
        for one, same in zip(english, other, strict=True):
            assert (one.fields, one.words) != (same.fields, same.words)
            assert _names(one) == _names(same)
            if name == "xglue/ner":
                assert Counter(t for t in one.tags if t[0] == "B") == Counter(t for t in same.tags if t[0] == "B")
            elif one.tags:
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
    [
        ("xglue/xnli", 45),
        ("intermediate/mnli", 45),
        ("xglue/pawsx", 60),
        ("intermediate/qqp", 60),
        ("xglue/nc", 60),
        ("xglue/qadsm", 65),
        ("xglue/wpr", 50),
        ("xglue/qam", 65),
    ],
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


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("language", ["en", "de", "es"])
def test_answers_are_spans_of_their_context_and_ids_agree_across_languages(sources, split, language):
    rows = _read(sources, "xglue/mlqa", split, language)
    for e in rows:
        (answer,), (start,) = e.references, e.starts
        context = e.fields["context"]
        assert context[start : start + len(answer)] == answer
        # whole words: the answer is neither cut out of a longer word nor takes the closing mark
        assert (start == 0 or context[start - 1] == " ") and context[start + len(answer)] in " ."
        assert e.fields["question"].endswith("?")
    assert [e.id for e in rows] == [e.id for e in _read(sources, "xglue/mlqa", split, "en")]
    assert 30 <= len({e.group for e in rows}) < len(rows)


def test_a_paragraph_tells_of_different_people_so_that_one_sentence_answers():
    import random

    for scenes, asked in paragraphs(random.Random(0), 200):
        assert len({s.verb for s in scenes}) == len({s.subject.noun for s in scenes}) == len(scenes)
        assert len({at for at, _, _ in asked}) == len(asked)
        assert all(PARTS[what] and getattr(scenes[at], PARTS[what]) for at, what, _ in asked)


QUESTIONED = Scene(Nominal("Anna"), "sell", Nominal("boat", adjectives=("old",)), place="Vienna", time="today")


@pytest.mark.parametrize(
    ("language", "asked", "expected"),
    [
        ("en", "who", "who sells the old boat in Vienna today?"),
        ("en", "where", "where does Anna sell the old boat today?"),
        ("de", "who", "wer verkauft heute das alte Boot in Wien?"),
        ("de", "what", "was verkauft Anna heute in Wien?"),
        ("es", "when", "¿cuándo vende Anna el barco viejo en Viena?"),
        ("fr", "what", "que vend Anna à Vienne aujourd'hui?"),
        ("fr", "where", "où Anna vend le vieux bateau aujourd'hui?"),
    ],
)
def test_questions_follow_each_languages_order(language, asked, expected):
    assert join(asking(QUESTIONED, asked, language)) == expected


def test_questions_with_a_modal_keep_the_infinitive_in_its_place():
    from dataclasses import replace

    scene = replace(QUESTIONED, modal="can", place=None)
    assert join(asking(scene, "when", "en")) == "when can Anna sell the old boat?"
    assert join(asking(scene, "when", "de")) == "wann kann Anna das alte Boot verkaufen?"
    assert join(asking(scene, "when", "es")) == "¿cuándo puede vender Anna el barco viejo?"


def test_entity_files_mix_schemes_as_xglues_do(sources):
    for language, scheme in SCHEMES.items():
        text = (sources / "xglue_full_dataset" / "NER" / f"{language}.test").read_text()
        assert text.endswith(". O\n\n")
        tags = [[line.split()[1] for line in part.splitlines()] for part in text.strip().split("\n\n")]
        for row in tags:
            for before, tag in zip(["O", *row], row, strict=False):
                if tag.startswith("I-") and scheme == "IOB2":
                    assert before[2:] == tag[2:]
                if tag.startswith("B-") and scheme == "IOB1":
                    assert before[2:] == tag[2:]
        assert {t[2:] for row in tags for t in row if t != "O"} == {"PER", "LOC", "ORG", "MISC"}
    # read, the schemes are one: the same entities begin in each language (checked row by row above)
    assert {t[0] for e in _read(sources, "xglue/ner", "test", "de") for t in e.tags} == {"B", "I", "O"}


def test_two_persons_that_meet_stay_two_entities():
    scene = Scene(Nominal("Anna Weber"), "see", Nominal("Tom"), place="New York", time="now", front="time")
    words = render(scene, "de")
    assert [w.text for w in words] == ["jetzt", "sieht", "Anna", "Weber", "Tom", "in", "New", "York", "."]
    assert entity_tags(words, scene, "IOB1") == ["O", "O", "I-PER", "I-PER", "B-PER", "O", "I-LOC", "I-LOC", "O"]
    assert entity_tags(words, scene, "IOB2") == ["O", "O", "B-PER", "I-PER", "B-PER", "O", "B-LOC", "I-LOC", "O"]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_query_has_several_results_one_after_the_other_graded_by_what_they_share(sources, split):
    rows = _read(sources, "xglue/wpr", split)
    sizes = Counter(e.group for e in rows)
    assert all(2 <= n <= 7 for n in sizes.values())
    assert {e.label for e in rows} == set("01234")
    assert all(any(e.label != "0" for e in rows if e.group == g) for g in sizes)
    for e in rows:
        named = set(e.fields["snippet"].strip(".").split())
        assert sum(word in named for word in e.fields["query"].split()) == int(e.label)


def test_an_advertisement_is_good_exactly_if_it_offers_what_is_wanted(sources):
    for e in _read(sources, "xglue/qadsm", "train"):
        offered = set(e.fields["description"].strip(".").split())
        assert all(word in offered for word in e.fields["query"].split()) == (e.label == "Good")


@pytest.mark.parametrize(("name", "short"), [("xglue/ntg", "title"), ("xglue/qg", "question")])
def test_what_is_to_be_written_can_be_told_from_the_text(sources, name, short):
    for language in ("en", "fr"):
        for e in _read(sources, name, "test", language):
            (text,) = e.references
            (given,) = e.fields.values()
            words = set(given.replace(".", "").split())
            if short == "title":
                assert not text.endswith(".") and set(text.split()) <= words
                assert len(text.split()) < len(given.split())
            else:
                assert text.endswith("?")
                # the question word, and in English `does` and an infinitive, are not in the passage
                assert len(set(text.strip("?").split()) - words) <= 3


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
        if not path.is_file() or path.parent.name == "MNLI" or path.suffix == ".json":
            continue
        lines = path.read_text(encoding="utf-8").splitlines()[1:200]
        for ids in made([line.replace("\t", " ") for line in lines])["input_ids"]:
            assert made.unk_token_id not in ids
    for language in lx.LANGUAGES:
        for e in _read(sources, "xglue/xnli", "test", language):
            text = e.fields["hypothesis"]
            # one piece a word, one for the closing mark
            assert len(made.tokenize(text)) == len(text.split()) + 1, text


def test_every_text_comes_back_from_its_ids_as_it_was(sources, tmp_path):
    save_tokenizer(tmp_path)
    tokens = load_tokens(tmp_path)
    for name in ("xglue/mlqa", "xglue/qg", "xglue/ntg", "xglue/qam", "xglue/wpr"):
        for language in _languages(name):
            for e in _read(sources, name, "test", language):
                texts = [*e.fields.values(), *(e.references or ())]
                ids = tokens.ids(texts)
                assert tokens.texts(ids) == texts
                assert all(tokens.unknown not in row for row in ids)
                # one piece a word, one for each closing mark
                assert [len(row) for row in ids] == [len(t.split()) + t.count(".") + t.count("?") for t in texts]


def test_verbalisers_of_every_task_differ_in_their_first_piece_where_they_must():
    made = tokenizer()
    config = load("config/demo-xglue.yaml")
    asked = {row.task for row in config.targets.values()} | {"intermediate/mnli", "intermediate/qqp"}
    for row in map(task, sorted(asked)):
        first = {label: made(text, add_special_tokens=False)["input_ids"] for label, text in row.labels.items()}
        assert all(made.unk_token_id not in ids for ids in first.values())
        # labels of several words (NER's) may share the first; one-word labels are one piece each
        assert all(len(ids) == len(text.split()) for ids, text in zip(first.values(), row.labels.values(), strict=True))


def test_embeddings_bring_translations_together():
    import random

    import numpy as np

    from stiltgrid.demo.alignment import ParallelText, cooccurrence, embeddings
    from stiltgrid.demo.corpus import text_pool

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
