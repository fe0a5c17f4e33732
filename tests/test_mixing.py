"""Several tasks in a run: how often each is drawn, how much each weighs."""

from collections import Counter

import numpy as np
import pytest
import tiny
import torch

from stiltgrid import formulations
from stiltgrid.batching import Interleaved, MicroBatches, denoising_steps
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Setup
from stiltgrid.mixing import Mixture, shares
from stiltgrid.models import load_heads, load_text2text
from stiltgrid.tasks.registry import task
from stiltgrid.tokenization import load_tokens
from stiltgrid.train import run
from stiltgrid.training.feed import Feed, collated, learnt

SINGLE = {"strategy": "single", "devices": 1}
NLI, POS = "xglue/xnli", "xglue/pos"
SIZES = (900, 100, 10)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("proportional", (900 / 1010, 100 / 1010, 10 / 1010)),
        ("uniform", (1 / 3, 1 / 3, 1 / 3)),
        ({"temperature": 2.0}, (30 / 43.1623, 10 / 43.1623, 3.1623 / 43.1623)),
        ({"temperature": 1.0}, (900 / 1010, 100 / 1010, 10 / 1010)),
        ({"cap": 50}, (50 / 110, 50 / 110, 10 / 110)),
        ({"cap": 5000}, (900 / 1010, 100 / 1010, 10 / 1010)),
    ],
)
def test_shares_are_those_of_the_rule(rule, expected):
    assert shares(SIZES, rule) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rule", ["uniform", {"temperature": 3.0}, {"cap": 70}])
def test_epochs_keep_the_shares_and_tasks_are_drawn_in_whole_passes(rule):
    mixture = Mixture(SIZES, rule, seed=1)
    epochs = 7
    drawn = np.concatenate([mixture.drawn(epoch) for epoch in range(epochs)])
    assert len(drawn) == epochs * mixture.per_epoch
    counts = np.bincount(drawn, minlength=sum(SIZES))
    for own, share in zip(np.split(counts, np.cumsum(SIZES)[:-1]), mixture.shares, strict=True):
        assert abs(own.sum() - share * len(drawn)) < 1
        assert own.max() - own.min() <= 1


def test_epochs_may_be_asked_for_in_any_order_and_are_counted_once(monkeypatch):
    rule = {"cap": 7}
    fresh = [Mixture(SIZES, rule, 1).drawn(epoch) for epoch in range(6)]
    mixture = Mixture(SIZES, rule, 1)
    for epoch in (4, 1, 5, 5, 0):
        assert np.array_equal(mixture.drawn(epoch), fresh[epoch])
    known = mixture.quotas(6)
    monkeypatch.setattr(mixture, "shares", None)  # what is known is not counted again, so that long runs stay quick
    assert mixture.quotas(6) == known and mixture.quotas(2) == known[:2]


def test_a_share_below_one_input_an_epoch_is_drawn_now_and_then():
    mixture = Mixture((1000, 1), "proportional", 1)
    mixture.shares = [0.9998, 0.0002]
    quotas = [quota[1] for quota in mixture.quotas(20)]
    assert sum(quotas) == 4 and set(quotas) == {0, 1}


def test_a_cap_is_the_length_of_an_epoch():
    assert Mixture(SIZES, {"cap": 50}, 1).per_epoch == 110
    assert Mixture(SIZES, "uniform", 1).per_epoch == sum(SIZES)


def test_an_epochs_draw_depends_on_seed_and_epoch_alone():
    one, two = Mixture(SIZES, "uniform", 1), Mixture(SIZES, "uniform", 1)
    for epoch in range(3):
        one.drawn(epoch)
    assert np.array_equal(one.drawn(3), two.drawn(3))
    assert not np.array_equal(one.drawn(3), Mixture(SIZES, "uniform", 2).drawn(3))


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_denoising_steps_lie_evenly_between_the_same_steps_of_the_tasks(rate):
    alone = list(MicroBatches([5] * 40, 4, 1, 60).global_batches())
    extra = denoising_steps(rate, 60)
    total = 60 + extra
    assert extra / total == pytest.approx(rate, abs=0.01)
    between = Interleaved(extra, total, 40, lambda i: i)
    batches = list(MicroBatches([5] * 40, 4, 1, total, denoising=between).global_batches())
    noisy = [batch for step, batch in enumerate(batches) if step in between]
    assert [batch for step, batch in enumerate(batches) if step not in between] == alone
    assert sorted(i for batch in noisy for i in batch) == list(range(40, 40 + 4 * extra))
    assert all(batch == sorted(batch, reverse=True) for batch in noisy)  # the longest first
    gaps = np.diff([step for step in range(total) if step in between])
    assert gaps.max() - gaps.min() <= 1


def model_and_batch(tmp_path, family):
    folder = (tiny.save_mt5 if family == "text2text" else tiny.save_xlmr)(tmp_path / "model")
    rows = {name: task(name) for name in (NLI, POS)}
    setup = Setup(load_tokens(folder), rows, 64)
    module = formulations.formulation(family)
    pair = tiny.nli(1)
    sentence = [
        Example("1", "1", words=("the", "cat", "sees", "the", "dog"), tags=("DET", "NOUN", "VERB", "DET", "NOUN"))
    ]
    features = [*module.encode(setup, NLI, pair, True), *module.encode(setup, POS, sentence, True)]
    model = load_text2text(folder) if family == "text2text" else load_heads(folder, rows, "first", 1)
    return model.eval(), module, setup, features


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_inputs_of_two_tasks_in_a_batch_weigh_alike(tmp_path, family):
    """A sentence of five tags counts as one pair does: the loss is the mean of each input's own mean."""
    model, module, setup, features = model_and_batch(tmp_path, family)

    def mean(rows, by_input):
        batch = collated(module, setup, by_input, rows)
        with torch.no_grad():
            return float(model(**batch)["loss"] / learnt(batch))

    alone = [mean([feature], True) for feature in features]
    assert alone == pytest.approx([mean([feature], False) for feature in features], rel=1e-5)
    assert mean(features, True) == pytest.approx(sum(alone) / 2, rel=1e-4)
    labels = [sum(label != IGNORED for label in feature.labels) for feature in features]
    by_label = sum(n * loss for n, loss in zip(labels, alone, strict=True)) / sum(labels)
    assert mean(features, False) == pytest.approx(by_label, rel=1e-4)
    # an input without anything to learn from takes no part
    assert mean([features[0], features[1].unlabelled()], True) == pytest.approx(alone[0], rel=1e-4)


def feed(rule, **training):
    setup = {"batch_size": 8, "max_steps": None, "epochs": 1, **training}
    features = {"a": tiny_features("a", 60), "b": tiny_features("b", 20)}
    return Feed(features, {"training": setup, "mixing": rule, "seed": 1})


def tiny_features(name, number):
    from stiltgrid.formulations.features import Feature

    return [Feature(name, i, 0, 1, [1] * (i % 7 + 1), [0] * (i % 7 + 1), [], [0], [0], False) for i in range(number)]


def test_epochs_count_steps_by_the_inputs_of_an_epoch():
    assert [feed(rule).steps for rule in ("proportional", "uniform", {"temperature": 2.0})] == [10, 10, 10]
    assert feed({"cap": 30}, epochs=2).steps == 14  # 2 epochs of 50 inputs, batches of 8
    assert feed({"cap": 30}, epochs=2).epoch(7) == 1.0


def test_realised_shares_are_those_of_the_rule():
    found = feed("uniform", epochs=3)
    mixture = found.realised(found.steps)["tasks"]
    assert mixture["a"] == {"inputs": 60, "drawn": 120, "share": 0.5}
    assert mixture["b"] == {"inputs": 20, "drawn": 120, "share": 0.5}
    assert "a 50.0 % of 60 inputs; b 50.0 % of 20 inputs" in found.planned()
    half = found.realised(5)["tasks"]
    assert half["a"]["drawn"] + half["b"]["drawn"] == 40
    alone = Feed(
        {"a": tiny_features("a", 9)}, {"training": {"batch_size": 8, "max_steps": 3}, "mixing": "uniform", "seed": 1}
    )
    assert alone.realised(3) is None and alone.planned() == ""


def test_an_interrupted_mixture_ends_as_an_uninterrupted_one(tmp_path, monkeypatch, capfd):
    """The very inputs and weights, for temperature mixing with every input weighing alike."""
    from stiltgrid.training import trainer

    folder = tiny.pretrained(tmp_path / "heads", "heads")
    data = tiny.write_data(tmp_path / "data", NLI, tiny.nli(61), tiny.nli(6, seed=5))
    data |= tiny.write_data(tmp_path / "data", POS, tiny.tagged(20), tiny.tagged(6, seed=5))
    recipe = tiny.recipe("heads", [NLI, POS], max_steps=14)
    recipe |= {"mixing": {"temperature": 4.0}, "weighting": "inputs"}

    def train(out):
        return run(recipe, data, folder, folder, tmp_path / out, {**SINGLE, "checkpoint_steps": 5})

    whole = train("whole")
    assert "mixture" in whole and Counter(whole["mixture"]["tasks"]).keys() == {NLI, POS}
    # an epoch of 81 inputs in 11 steps, then three full ones
    assert sum(t["drawn"] for t in whole["mixture"]["tasks"].values()) == 81 + 3 * 8
    assert f"{NLI} 5" in capfd.readouterr().err  # 56.9 %
    real, calls = trainer.GridTrainer.compute_loss, []

    def dying(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.GridTrainer, "compute_loss", dying)
        with pytest.raises(KeyboardInterrupt):
            train("killed")
    again = train("killed")
    assert again["weights"] == whole["weights"] and again["mixture"] == whole["mixture"]
