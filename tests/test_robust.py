"""Robust training: embeddings that are moved, words that are replaced."""

import numpy as np
import pytest
import tiny
import torch

from stiltgrid import formulations
from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import Setup
from stiltgrid.models import load_heads, load_text2text
from stiltgrid.synonyms import copies, read_neighbours, substituted, write_neighbours
from stiltgrid.tasks.registry import task
from stiltgrid.tokenization import load_tokens
from stiltgrid.train import run
from stiltgrid.training.robust import input_embeddings, moved, movement, projected, uniform_in_ball

SINGLE = {"strategy": "single", "devices": 1}
NLI = "xglue/xnli"
ADVERSARIAL = {"kind": "adversarial", "epsilon": 0.3, "steps": 3, "step_size": None}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    for family in ("text2text", "heads"):
        tiny.pretrained(folder / family, family)
    return folder, tiny.write_data(folder / "data", NLI, tiny.nli(40), tiny.nli(6, seed=5))


def model_and_batch(world, family):
    folder = world[0] / family / "model"
    setup = Setup(load_tokens(folder), {NLI: task(NLI)}, 64)
    module = formulations.formulation(family)
    batch = module.collate(setup, module.encode(setup, NLI, tiny.nli(8), True))
    model = load_text2text(folder) if family == "text2text" else load_heads(folder, setup.rows, "first", 1)
    return model.eval(), batch


def test_projection_shortens_what_is_too_long_and_nothing_else():
    delta = torch.tensor([[[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]])
    assert torch.allclose(projected(delta, 1.0), torch.tensor([[[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]]))


def test_random_movements_fill_the_ball_uniformly():
    torch.manual_seed(1)
    norms = uniform_in_ball(torch.zeros(100, 100, 3), 2.0).norm(dim=-1)
    assert norms.max() <= 2.0 + 1e-5
    assert float((norms <= 1.0).float().mean()) == pytest.approx(1 / 8, abs=0.02)  # (1/2) ** 3 of the volume


@pytest.mark.parametrize("family", ["text2text", "heads"])
@pytest.mark.parametrize("kind", ["adversarial", "random"])
def test_no_token_is_moved_further_than_epsilon_and_padding_not_at_all(world, family, kind):
    model, batch = model_and_batch(world, family)
    robust = {**ADVERSARIAL, "kind": kind, "step_size": 10.0}
    delta = movement(model, batch, lambda b: model(**b)["loss"], robust)
    norms = delta.norm(dim=-1)
    assert delta.shape == (*batch["input_ids"].shape, 32)
    assert norms.max() <= 0.3 + 1e-5
    assert not norms[batch["attention_mask"] == 0].any()
    inside = norms[batch["attention_mask"] == 1]
    assert (inside > 0).all()
    if kind == "adversarial":
        assert torch.allclose(inside, torch.full_like(inside, 0.3), atol=1e-4)  # a long step ends on the sphere
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_the_loss_rises_by_ascent_more_than_by_chance(world, family):
    model, batch = model_and_batch(world, family)

    def loss(values):
        return model(**values)["loss"]

    def at(robust):
        with torch.no_grad(), moved(input_embeddings(model), movement_of(robust)):
            return float(loss(batch))

    def movement_of(robust):
        with torch.enable_grad():
            return movement(model, batch, loss, robust)

    with torch.no_grad():
        clean = float(loss(batch))
    torch.manual_seed(3)
    adversarial, random = at(ADVERSARIAL), at({**ADVERSARIAL, "kind": "random"})
    assert adversarial > clean and adversarial > random
    with torch.no_grad():
        assert float(loss(batch)) == clean  # the hook is gone


def test_a_movement_reaches_the_encoder_once_and_never_the_decoder(world):
    model, batch = model_and_batch(world, "text2text")
    delta = torch.randn(*batch["input_ids"].shape, 32)
    embedded = model.encoder.get_input_embeddings()(batch["input_ids"])
    with torch.no_grad(), moved(input_embeddings(model), delta):
        found = model(**batch)["loss"]
    with torch.no_grad():
        encoded = model.encoder(inputs_embeds=embedded + delta, attention_mask=batch["attention_mask"])[0]
        states = model.decode(batch["decoder_input_ids"], encoded, batch["attention_mask"])
        kept = batch["labels"] != -100
        logits = model.lm_head(states[kept])
        expected = torch.nn.functional.cross_entropy(logits, batch["labels"][kept], reduction="sum")
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", ["adversarial", "random"])
def test_a_run_is_trained_so_and_differs_from_a_plain_one(world, tmp_path, kind):
    folder, data = world
    recipe = tiny.recipe("heads", [NLI], max_steps=3, dropout=0.0)
    robust = {**ADVERSARIAL, "epsilon": 1.0} if kind == "adversarial" else {"kind": kind, "epsilon": 1.0}

    def train(name, execution=SINGLE, **more):
        return run(recipe | more, data, folder / "heads", folder / "heads", tmp_path / name, execution)

    plain, moved_ = train("plain"), train("robust", robust=robust)
    assert moved_["weights"] != plain["weights"]
    assert moved_["recipe"]["robust"] == robust


NEAR = {"good": ["fine", "nice"], "dog": ["hound"], "US": ["America"]}


def test_words_are_drawn_from_themselves_and_their_neighbours():
    rng = np.random.default_rng(1)
    drawn = [substituted("the good dog, a Good DOG of US; us goods", NEAR, rng) for _ in range(300)]
    words = [text.replace(",", "").replace(";", "").split() for text in drawn]
    assert all(text.count(",") == text.count(";") == 1 for text in drawn)
    assert {w[1] for w in words} == {"good", "fine", "nice"}
    assert {w[4] for w in words} == {"Good", "Fine", "Nice"}
    assert {w[5] for w in words} == {"DOG", "HOUND"}
    assert {w[7] for w in words} == {"US", "America"}
    assert {(w[0], w[3], w[6], w[8], w[9]) for w in words} == {("the", "a", "of", "us", "goods")}
    shares = [sum(w[1] == chosen for w in words) / 300 for chosen in ("good", "fine", "nice")]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.08)


def test_copies_keep_labels_and_tags_and_leave_the_rows_out():
    rows = [
        Example("1", "g", {"premise": "a good dog", "hypothesis": "good"}, "neutral"),
        Example("2", "g", words=("good", "dog"), tags=("ADJ", "NOUN")),
        Example("3", "g", {"context": "a cat"}, "1", choices=("a good dog", "a tree")),
    ]
    found = copies(rows, NEAR, 12, seed=1)
    assert len(found) == 36 and len({e.id for e in found}) == 36
    assert {(e.label, e.tags) for e in found} == {("neutral", None), (None, ("ADJ", "NOUN")), ("1", None)}
    assert {e.choices[1] for e in found if e.choices} == {"a tree"}
    assert len({e.choices[0] for e in found if e.choices}) > 2
    assert all(len(e.words) == 2 for e in found if e.words)
    assert len({e.fields["premise"] for e in found if "premise" in e.fields}) > 2
    assert copies(rows, NEAR, 12, seed=1) == found != copies(rows, NEAR, 12, seed=2)
    assert copies(rows, NEAR, 3, seed=1) == found[:9]


def test_a_run_on_synonyms_trains_on_the_copies(world, tmp_path):
    folder, data = world
    (tmp_path / "near.tsv").write_text("cat\tdog tree\nhappy\tgood\n")
    record = write_neighbours(tmp_path / "near.tsv", tmp_path / "n" / "xnli.tsv")
    recipe = tiny.recipe("heads", [NLI], max_steps=None, epochs=1) | {"robust": {"kind": "synonyms", "copies": 3}}
    chosen = data | {"synonyms": {"train": [str(tmp_path / "n" / "xnli.tsv")]}}
    manifest = run(recipe, chosen, folder / "heads", folder / "heads", tmp_path / "run", SINGLE)
    counts = manifest["counts"]
    assert (counts["train_examples"], counts["train_inputs"], counts["steps"]) == (40, 120, 15)
    assert manifest["identity"]["data"]["synonyms"] == {"train": [record["fingerprint"]]}


def test_neighbours_are_read_from_lines_or_json(tmp_path):
    (tmp_path / "a.tsv").write_text("good\tfine nice\n\ndog\thound\n")
    (tmp_path / "a.json").write_text('{"good": ["fine", "nice"], "dog": ["hound"]}')
    assert read_neighbours(tmp_path / "a.tsv") == read_neighbours(tmp_path / "a.json")
    records = [write_neighbours(tmp_path / f"a.{form}", tmp_path / form / "t.tsv") for form in ("tsv", "json")]
    assert records[0] == records[1] == read_json(tmp_path / "tsv" / "t.json")
    assert read_neighbours(tmp_path / "json" / "t.tsv") == read_neighbours(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "good fine\n", "line 1: 0 tabs"),
        ("a.tsv", "dog\thound\nbig dog\thound\n", "line 2: 'big dog' is no word"),
        ("a.tsv", "dog\thound\ndog\tcat\n", "line 2: 'dog' stands here a second time"),
        ("a.tsv", "dog\t\n", "no neighbours"),
        ("a.json", '["dog"]', "expected one object"),
        ("a.json", '{"dog": "hound"}', "'dog': expected a list of single words"),
        ("a.json", "{", "not JSON"),
        ("b.tsv", None, "no such file"),
    ],
)
def test_a_malformed_file_of_neighbours_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(StiltgridError, match=message):
        read_neighbours(tmp_path / name)
