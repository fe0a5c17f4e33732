"""Restoring text: how it is corrupted, drawn, and laid between the steps of a task."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from stiltgrid.artifacts import digest, write_json
from stiltgrid.denoiser import add_denoiser
from stiltgrid.errors import StiltgridError
from stiltgrid.formulations import formulation
from stiltgrid.formulations.features import Setup
from stiltgrid.launch import command
from stiltgrid.models import load_heads
from stiltgrid.pretrained import describe
from stiltgrid.tasks.registry import task
from stiltgrid.texts import Lines, index_text, language_shares, open_text
from stiltgrid.tokenization import load_tokens
from stiltgrid.train import run
from stiltgrid.training.denoising import DENOISING, Denoising, corrupt_spans, mask_words, noisy_spans
from stiltgrid.training.feed import Feed, collated

SINGLE = {"strategy": "single", "devices": 1}
NLI = "xglue/xnli"


def masked_tokenizer():
    tokenizer = tiny.xlmr_tokenizer()
    tokenizer.add_special_tokens(["<mask>"])
    return tokenizer


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Both pretrained models, the data of a task, text in two languages."""
    folder = tmp_path_factory.mktemp("world")
    tiny.pretrained(folder / "text2text", "text2text")
    tiny.save_xlmr(folder / "heads" / "model", tokenizer=masked_tokenizer())
    files = describe(folder / "heads" / "model")
    about = {"schema_version": 1, "kind": "pretrained", "family": "heads", "source": "tiny", "revision": None}
    write_json(
        folder / "heads" / "manifest.json", {**about, "path": "model", "digest": digest("masked"), "files": files}
    )
    data = tiny.write_data(folder / "data", NLI, tiny.nli(61), tiny.nli(6, seed=5))
    text = []
    for language, number in (("de", 90), ("sw", 10)):
        lines = [" ".join(e.words) for e in tiny.tagged(number, seed=number)]
        (folder / f"{language}.txt").write_text("\n\n".join(lines) + "\n")
        index_text(folder / f"{language}.txt", folder / "text" / f"{language}.npy", language)
        text.append(str(folder / "text" / f"{language}.npy"))
    return folder, data, text


def noise(world, family, length=64, seed=1):
    folder, _, text = world
    return Denoising(family, load_tokens(folder / family / "model"), text, 0.5, length, 0, seed)


def test_an_index_finds_every_line_that_is_not_blank(tmp_path):
    source = tmp_path / "a.txt"
    source.write_bytes("\n  \nerste Zeile\r\n\nzweite: ä\n中国人民 \n\n".encode() + b"ohne Ende")
    record = index_text(source, tmp_path / "i" / "de.npy", "de")
    text = open_text(tmp_path / "i" / "de.npy")
    assert [text.line(i) for i in range(text.lines)] == ["erste Zeile", "zweite: ä", "中国人民", "ohne Ende"]
    assert record["lines"] == 4 and record["language"] == text.language == "de"
    other = index_text(source, tmp_path / "j" / "de.npy", "de")
    assert other["fingerprint"] == record["fingerprint"]
    source.write_bytes(source.read_bytes().replace(b"ohne", b"OHNE"))
    assert index_text(source, tmp_path / "j" / "de.npy", "de")["fingerprint"] != record["fingerprint"]


def test_text_that_cannot_be_used_is_refused(tmp_path):
    source = tmp_path / "a.txt"
    with pytest.raises(StiltgridError, match="no such file"):
        index_text(source, tmp_path / "de.npy", "de")
    source.write_text("\n \n")
    with pytest.raises(StiltgridError, match="no line of text"):
        index_text(source, tmp_path / "de.npy", "de")
    source.write_bytes(b"gut\nschlecht \xff\n")
    with pytest.raises(StiltgridError, match="line 2 is not UTF-8"):
        index_text(source, tmp_path / "de.npy", "de")
    source.write_text("gut\n")
    index_text(source, tmp_path / "de.npy", "de")
    source.write_text("gut und lang\n")
    with pytest.raises(StiltgridError, match="has 13 bytes, 4 were indexed"):
        open_text(tmp_path / "de.npy")


def test_languages_are_drawn_by_alpha(world):
    assert language_shares({"a": 90, "b": 10}, 1.0) == pytest.approx({"a": 0.9, "b": 0.1})
    assert language_shares({"a": 90, "b": 10}, 0.5) == pytest.approx({"a": 0.75, "b": 0.25})
    assert language_shares({"a": 90, "b": 10}, 0.0) == pytest.approx({"a": 0.5, "b": 0.5})
    lines = Lines([open_text(path) for path in world[2]], 0.5, 1)
    drawn = Counter(lines.at(k)[0].language for k in range(2000))
    assert drawn["sw"] / 2000 == pytest.approx(0.25, abs=0.04)
    assert [lines.at(k)[1] for k in range(9)] == [Lines(lines.texts, 0.5, 1).at(k)[1] for k in range(9)]
    assert [lines.at(k)[1] for k in range(9)] != [Lines(lines.texts, 0.5, 2).at(k)[1] for k in range(9)]


@pytest.mark.parametrize("length", [2, 3, 7, 20, 100, 512])
def test_noise_is_15_percent_in_spans_of_3(length):
    for seed in range(20):
        found = noisy_spans(length, np.random.default_rng(seed))
        begins = np.flatnonzero(np.diff(found.astype(int)) == 1)
        assert len(found) == length and not found[0] and found[-1]
        assert found.sum() == min(max(round(0.15 * length), 1), length - 1)
        assert len(begins) == max(round(found.sum() / 3), 1)


def test_corrupted_input_and_target_join_to_the_text(world):
    tokens = load_tokens(world[0] / "text2text" / "model")
    ids = list(range(10, 60))
    for seed in range(20):
        feature = corrupt_spans(tokens, ids, 0, np.random.default_rng(seed))
        assert feature.input_ids[-1] == feature.labels[-1] == tokens.end
        assert feature.decoder_ids == [0, *feature.labels[:-1]]
        spans: dict[int, list[int]] = {}
        for piece in feature.labels[:-1]:
            if piece in tokens.sentinels:
                spans[piece] = last = []
            else:
                last.append(piece)
        assert list(spans) == list(tokens.sentinels[: len(spans)])
        joined = [p for piece in feature.input_ids[:-1] for p in spans.get(piece, [piece])]
        assert joined == ids


def test_masking_is_80_10_10_of_15_percent(world):
    tokens = load_tokens(world[0] / "heads" / "model")
    ids = [tokens.pieces[i % 20] for i in range(100)]
    kinds: Counter[str] = Counter()
    for seed in range(200):
        feature = mask_words(tokens, ids, 0, np.random.default_rng(seed))
        assert feature.units == len(feature.labels) == len(set(feature.positions)) == 15
        whole = [*tokens.around[0], *ids, *tokens.around[1]]
        for place, label in zip(feature.positions, feature.labels, strict=True):
            seen = feature.input_ids[place]
            assert whole[place] == label and 1 <= place <= 100
            kinds["mask" if seen == tokens.mask else "same" if seen == label else "other"] += 1
        kept = set(range(102)) - set(feature.positions)
        assert all(feature.input_ids[i] == whole[i] for i in kept)
    assert kinds["mask"] / 3000 == pytest.approx(0.8, abs=0.03)
    assert kinds["same"] / 3000 == pytest.approx(0.1, abs=0.02)
    special = {0, 1, 2, 3, tokens.mask}
    assert not special & set(tokens.pieces)


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_inputs_are_never_too_long_and_depend_on_their_number(world, tmp_path, family):
    folder, _, _ = world
    (tmp_path / "en.txt").write_text("the cat sees the dog " * 900 + "\n")
    index_text(tmp_path / "en.txt", tmp_path / "en.npy", "en")
    made = Denoising(family, load_tokens(folder / family / "model"), [tmp_path / "en.npy"], 1.0, 32, 0, 1)
    features = [made.feature(k) for k in range(30)]
    assert max(len(f.input_ids) for f in features) <= 32
    assert len({tuple(f.input_ids) for f in features}) > 20
    assert [made.feature(k) for k in (7, 3)] == [features[7], features[3]]


def test_lines_too_short_to_corrupt_are_an_error(world, tmp_path):
    (tmp_path / "en.txt").write_text("cat\ndog\n")
    index_text(tmp_path / "en.txt", tmp_path / "en.npy", "en")
    tokens = load_tokens(world[0] / "text2text" / "model")
    with pytest.raises(StiltgridError, match="fewer than 2 tokens"):
        Denoising("text2text", tokens, [tmp_path / "en.npy"], 1.0, 32, 0, 1).feature(0)


def test_an_encoder_without_a_mask_is_refused(world, tmp_path):
    tiny.save_xlmr(tmp_path / "model")
    with pytest.raises(StiltgridError, match="no mask"):
        Denoising("heads", load_tokens(tmp_path / "model"), world[2], 1.0, 32, 0, 1)


def batches(world, family, rate):
    """Return the batches of tensors of a whole run."""
    folder, _, _ = world
    rows = {NLI: task(NLI)}
    setup = Setup(load_tokens(folder / family / "model"), rows, 64)
    module = formulation(family)
    recipe = tiny.recipe(family, [NLI], max_steps=12)
    recipe |= {} if rate is None else {"denoising": {"rate": rate}}
    features = {NLI: module.encode(setup, NLI, tiny.nli(61), True)}
    feed = Feed(features, recipe, None if rate is None else noise(world, family))
    return feed, list(feed.loader(module, setup, 0, 1, 1, False))


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_the_stated_share_of_batches_is_denoising_and_the_others_are_as_without(world, family):
    plain, without = batches(world, family, None)
    feed, found = batches(world, family, 0.25)
    assert (plain.steps, feed.steps) == (12, 16)
    noisy = [step for step in range(16) if step in feed.interleaved]
    assert noisy == [1, 5, 9, 13]
    rest = [batch for step, batch in enumerate(found) if step not in noisy]
    assert all(torch.equal(a[key], b[key]) for a, b in zip(rest, without, strict=True) for key in a)
    assert feed.epoch(16) == plain.epoch(12)
    about = feed.realised(16)["denoising"]
    assert about["steps"] == 4 and about["share"] == 0.25 and sum(about["languages"].values()) == 4 * 8
    if family == "heads":
        assert all((found[step]["head"] == 1).all() for step in noisy)  # past the one task
    # drawn anew each time: no masked line comes again as it was
    lines = [tuple(row.tolist()) for step in noisy for row in found[step]["input_ids"]]
    assert len(set(lines)) > len(lines) // 2


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_a_run_learns_to_restore_text_and_resumes(world, tmp_path, monkeypatch, family):
    from stiltgrid.training import trainer

    folder, data, text = world
    recipe = tiny.recipe(family, [NLI], max_steps=12, evaluations=1)
    recipe["denoising"] = {"version": 1, "rate": 0.5, "languages": ["de", "sw"], "alpha": 0.5}
    chosen = data | {"denoising": {"train": text}}

    def train(out):
        return run(recipe, chosen, folder / family, folder / family, tmp_path / out, {**SINGLE, "checkpoint_steps": 5})

    whole = train("whole")
    assert whole["counts"]["steps"] == 24
    assert whole["identity"]["data"]["denoising"]["train"][0]
    about = whole["mixture"]["denoising"]
    assert (about["steps"], about["share"], about.get("head")) == (
        12,
        0.5,
        "tied embeddings" if family == "heads" else None,
    )
    real, calls = trainer.GridTrainer.compute_loss, []

    def dying(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 14:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.GridTrainer, "compute_loss", dying)
        with pytest.raises(KeyboardInterrupt):
            train("killed")
    assert train("killed")["weights"] == whole["weights"]


def test_masked_words_are_learnt(world):
    """The loss on masked tokens falls, which it cannot do unless they reach the head and the encoder."""
    folder, _, _ = world
    rows = {NLI: task(NLI)}
    setup = Setup(load_tokens(folder / "heads" / "model"), rows, 64)
    model = load_heads(folder / "heads" / "model", rows, "first", 1)
    assert add_denoiser(model, folder / "heads" / "model") == "tied embeddings"
    made = noise(world, "heads")
    batch = collated(formulation("heads"), setup, False, [made.feature(k) for k in range(32)])
    assert (batch["head"] == 1).all() and DENOISING not in setup.rows
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = model(**batch)["loss"] / (batch["labels"] != -100).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    head = next(iter(model.heads.parameters()))
    assert head.grad is not None and not head.grad.any()  # touched, with nothing to learn


@pytest.mark.parametrize("style", ["lm_head", "cls"])
def test_the_pretrained_head_is_used_where_there_is_one(world, tmp_path, style):
    from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM

    tiny.save_xlmr(tmp_path / "a", tokenizer=masked_tokenizer())
    torch.manual_seed(1)
    if style == "lm_head":
        reference = AutoModelForMaskedLM.from_pretrained(tmp_path / "a").eval()
    else:
        size = masked_tokenizer().get_vocab_size()
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        config = BertConfig(vocab_size=size, **shape, max_position_embeddings=130, type_vocab_size=1, pad_token_id=1)
        reference = BertForMaskedLM(config).eval()
    for name, parameter in reference.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    reference.save_pretrained(tmp_path / "b")
    rows = {NLI: task(NLI)}
    model = load_heads(tmp_path / "b", rows, "first", 1).eval()
    assert add_denoiser(model, tmp_path / "b") == "pretrained"
    ids = torch.tensor([[0, 10, 11, 12, 2]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    labels = torch.tensor([[-100, 20, 21, -100, -100]])
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(
            reference(**batch).logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum"
        )
        own = model(
            **batch,
            token_type_ids=torch.zeros_like(ids),
            positions=torch.tensor([[1, 2]]),
            labels=torch.tensor([[20, 21]]),
            head=torch.tensor([1]),
        )["loss"]
    assert float(own) == pytest.approx(float(expected), rel=1e-4)
    if style == "cls":
        old = {"weight": "gamma", "bias": "beta"}
        state = load_file(tmp_path / "b" / "model.safetensors")
        renamed = {
            f"{stem}.{old[end]}" if stem.endswith("transform.LayerNorm") else name: tensor
            for name, tensor in state.items()
            for stem, _, end in [name.rpartition(".")]
        }
        save_file(renamed, tmp_path / "b" / "model.safetensors", {"format": "pt"})
        before = model.denoiser.norm.bias.clone()
        assert add_denoiser(model, tmp_path / "b") == "pretrained"
        assert torch.equal(model.denoiser.norm.bias, before) and before.any()
        save_file(state, tmp_path / "b" / "model.safetensors", {"format": "pt"})
    state = load_file(tmp_path / "b" / "model.safetensors")
    del state["lm_head.layer_norm.bias" if style == "lm_head" else "cls.predictions.transform.LayerNorm.bias"]
    save_file(state, tmp_path / "b" / "model.safetensors", {"format": "pt"})
    with pytest.raises(StiltgridError, match=r"a head without .*bias"):
        add_denoiser(model, tmp_path / "b")


SCRIPT = """
import json, sys
from stiltgrid.train import run
call = json.load(open(sys.argv[1]))
run(call["recipe"], call["data"], call["pretrained"], call["pretrained"], call["out"], call["execution"])
"""


@pytest.mark.slow
def test_two_processes_denoise_and_move_embeddings_as_one_does(world, tmp_path):
    """In a task's step nothing reaches the denoising head, in a denoising step nothing the task's: no rank waits."""
    folder, data, text = world
    recipe = tiny.recipe("heads", [NLI], max_steps=4, dropout=0.0)
    recipe["denoising"] = {"version": 1, "rate": 0.5, "languages": ["de", "sw"], "alpha": 0.5}
    recipe["robust"] = {"kind": "adversarial", "epsilon": 0.5, "steps": 2, "step_size": None}
    chosen = data | {"denoising": {"train": text}}
    run(recipe, chosen, folder / "heads", folder / "heads", tmp_path / "one", SINGLE)
    execution = {"strategy": "ddp", "devices": 2, "threads": 1}
    call = {"recipe": recipe, "data": chosen, "pretrained": str(folder / "heads"), "out": str(tmp_path / "two")}
    write_json(tmp_path / "call.json", call | {"execution": execution})
    (tmp_path / "script.py").write_text(SCRIPT)
    started = command([str(tmp_path / "script.py"), str(tmp_path / "call.json")], execution)
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(started, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (
        [
            json.loads(line)["loss"]
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
            if "loss" in line
        ]
        for name in ("one", "two")
    )
    assert len(one) == 8 and two == pytest.approx(one, rel=1e-3)
