"""LoRA: what is trained, saved, composed and resumed."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file

from stiltgrid import adapters, memory
from stiltgrid.artifacts import read_json, write_json
from stiltgrid.config import load
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.launch import command
from stiltgrid.models import load_encoder, load_heads, load_saved, load_text2text, save_model
from stiltgrid.placement import Placement
from stiltgrid.predict import Predictor
from stiltgrid.recipes import training_recipe
from stiltgrid.retrieve.embedding import Embedder
from stiltgrid.schema import Config, Retrieval
from stiltgrid.tasks.registry import task
from stiltgrid.train import run
from stiltgrid.training import checkpoints
from stiltgrid.training.trainer import GridTrainer

NLI, POS = "xglue/xnli", "xglue/pos"
FAMILIES = ("text2text", "heads")
SINGLE = {"strategy": "single", "devices": 1}
LORA = {"rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": None, "weights": "auto"}
TRAIN = """
import json, sys
from stiltgrid.train import run
call = json.load(open(sys.argv[1]))
if call["execution"].pop("die", False):
    from stiltgrid.training.trainer import GridTrainer
    def save_folder(self, folder):
        raise RuntimeError("killed")
    GridTrainer.save_folder = save_folder
run(call["recipe"], call["data"], call["pretrained"], call["parent"], call["out"], call["execution"])
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    for family in FAMILIES:
        tiny.pretrained(folder / family, family)
    data = tiny.write_data(folder / "data", NLI, tiny.nli(40), tiny.nli(9, seed=5))
    return folder, data | tiny.write_data(folder / "data", POS, tiny.tagged(40), tiny.tagged(9, seed=5))


def recipe(family: str, name: str, phases: str | None = None, weights: str = "auto", **training):
    about = tiny.recipe(family, [name], **{"dropout": 0.0, "max_steps": 4, "learning_rate": 3e-2, **training})
    about["model"]["lora"] = {**LORA, "weights": weights} | ({} if phases is None else {"phases": phases})
    return about


def train(world, out, family="text2text", name=NLI, parent=None, execution=SINGLE, **options):
    folder, data = world
    about = recipe(family, name, **options)
    return run(about, {name: data[name]}, folder / family, parent or folder / family, out, execution)


@pytest.fixture(scope="module")
def phases(world, tmp_path_factory):
    """For each family: phase (ii), and phase (iii) after it in both ways."""
    out = tmp_path_factory.mktemp("phases")
    for family in FAMILIES:
        train(world, out / family / "ii", family, name=POS)
        for way in ("merge", "stack"):
            train(world, out / family / way, family, parent=out / family / "ii", phases=way)
    return out


def products(weights: Path) -> list[dict[str, torch.Tensor]]:
    """Each adapter's alpha / rank B A, by layer, from the files alone."""
    found = []
    for at in sorted(weights.glob("adapter-*")):
        about, state = read_json(at / "adapter_config.json"), load_file(at / "adapter_model.safetensors")
        names = [n.removesuffix(".lora_A.weight") for n in state if n.endswith(".lora_A.weight")]
        scale = about["lora_alpha"] / about["r"]
        plain = {n.removeprefix(adapters.PREFIX): n for n in names}
        found.append({k: scale * state[f"{n}.lora_B.weight"] @ state[f"{n}.lora_A.weight"] for k, n in plain.items()})
    return found


def added(model, changes: list[dict[str, torch.Tensor]]):
    body = model if hasattr(model, "lm_head") else model.encoder
    with torch.no_grad():
        for change in changes:
            for name, product in change.items():
                body.get_submodule(name).weight += product
    return model.eval()


def whole_model(world, family: str, weights: Path):
    """The pretrained model, with saved heads."""
    if family == "text2text":
        return load_text2text(world[0] / family / "model")
    model = load_heads(world[0] / family / "model", {NLI: task(NLI)}, "first", 1)
    model.heads.load_state_dict(load_file(weights / "heads.safetensors"))
    return model


def scores(model, manifest, tokens) -> torch.Tensor:
    said = Predictor(manifest, model, tokens).predict(task(NLI), tiny.nli(9, seed=5))
    return torch.tensor([p.scores for p in said])


@pytest.mark.parametrize("family", FAMILIES)
def test_only_adapters_and_heads_are_saved(world, phases, family):
    weights = phases / family / "ii" / "weights"
    files = {str(p.relative_to(weights)) for p in weights.rglob("*") if p.is_file()}
    heads = {"heads.json", "heads.safetensors"} if family == "heads" else set()
    adapter = {f"adapter-1/adapter_{x}" for x in ("config.json", "model.safetensors")}
    assert files == {"adapters.json", *adapter, *heads}
    state = load_file(weights / "adapter-1" / "adapter_model.safetensors")
    # 2 matrices of rank 4 between 32 numbers, on queries and values of each attention
    attentions = 2 + 2 if family == "text2text" else 2
    assert sum(t.numel() for t in state.values()) == attentions * 2 * 2 * 4 * 32
    large = (world[0] / family / "model" / "model.safetensors").stat().st_size
    assert (weights / "adapter-1" / "adapter_model.safetensors").stat().st_size < large / 4
    assert (
        read_json(weights / "adapters.json")["pretrained"] == read_json(world[0] / family / "manifest.json")["digest"]
    )
    assert all(tensor.abs().max() > 0 for tensor in state.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_training_lowers_the_loss_and_the_checkpoint_scores_dev_alike(world, tmp_path, family):
    manifest = train(world, tmp_path / "run", family, max_steps=30, evaluations=1)
    losses = [line["loss"] for line in map(json.loads, (tmp_path / "run" / "metrics.jsonl").open()) if "loss" in line]
    assert sum(losses[-5:]) < sum(losses[:5])
    examples = tiny.nli(9, seed=5)
    said = Predictor.load(tmp_path / "run", world[0] / family).predict(task(NLI), examples, batch_size=8)
    right = sum(p.label == e.label for p, e in zip(said, examples, strict=True))
    assert manifest["dev"][NLI]["accuracy"] == pytest.approx(100 * right / 9)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", ["merge", "stack"])
def test_phases_add_up_to_the_sum_of_both_products(world, phases, family, way):
    out = phases / family / way
    assert read_json(out / "weights" / "adapters.json")["merged"] == [way == "merge", False]
    predictor = Predictor.load(out, world[0] / family)
    found = scores(predictor.model, predictor.manifest, predictor.tokens)
    both, first = (
        scores(
            added(whole_model(world, family, out / "weights"), products(out / "weights")[:number]),
            predictor.manifest,
            predictor.tokens,
        )
        for number in (2, 1)
    )
    assert torch.allclose(found, both, atol=1e-5)
    assert not torch.allclose(found, first, atol=1e-3)
    assert torch.equal(
        *(products(phases / family / x / "weights")[0][min(products(out / "weights")[0])] for x in ("ii", way))
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_sentences_are_embedded_by_the_encoder_with_its_adapters(world, phases, family):
    pretrained, checkpoint = world[0] / family, phases / family / "ii"
    loaded = Embedder.load(checkpoint, pretrained, 1)
    bare = load_encoder(pretrained / "model")
    names = {name for name, _ in bare.named_modules()}
    [change] = products(checkpoint / "weights")
    with torch.no_grad():
        for name in names & set(change):  # a text2text model's decoder has adapters, too
            bare.get_submodule(name).weight += change[name]
    [ours], [theirs] = (
        e.embed(["the cat runs", "a dog"], [2], Retrieval())[0] for e in (loaded, Embedder(bare.eval(), loaded.tokens))
    )
    assert ours == pytest.approx(theirs, abs=1e-5)
    [untrained], _ = Embedder.load(pretrained, pretrained, 1).embed(["the cat runs", "a dog"], [2], Retrieval())
    assert abs(ours - untrained).max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_merging_and_stacking_train_the_same_but_for_rounding(phases, family):
    logged = [
        [line["loss"] for line in map(json.loads, (phases / family / way / "metrics.jsonl").open()) if "loss" in line]
        for way in ("merge", "stack")
    ]
    assert logged[0] == pytest.approx(logged[1], rel=1e-4)


def test_merging_is_pefts_merging(world, phases):
    from peft import PeftModel

    weights = phases / "text2text" / "merge" / "weights"
    model = load_saved(weights, "text2text", world[0] / "text2text")
    plain = load_text2text(world[0] / "text2text" / "model")
    theirs = PeftModel.from_pretrained(plain, weights / "adapter-1").merge_and_unload()
    for name, layer in adapters._layers(model).items():
        assert torch.allclose(layer.get_base_layer().weight, theirs.get_submodule(name).weight, atol=1e-6), name


def test_the_output_matrix_stays_apart(world, phases):
    whole = load_file(world[0] / "text2text" / "model" / "model.safetensors")
    for way in ("ii", "merge", "stack"):
        model = load_saved(phases / "text2text" / way / "weights", "text2text", world[0] / "text2text")
        for _ in range(2):
            assert torch.equal(model.lm_head.weight, whole["lm_head.weight"])
            assert torch.equal(model.shared.weight, whole["shared.weight"])
            assert model.lm_head.weight.data_ptr() != model.shared.weight.data_ptr()
            assert model.decoder.embed_tokens.weight is model.shared.weight
            model.tie_weights()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_saved_comes_back_bit_for_bit(world, phases, tmp_path, family):
    parent = phases / family / "ii" / "weights"
    digest = read_json(world[0] / family / "manifest.json")["digest"]
    chain = adapters.begun({**LORA, "phases": "stack"}, digest, torch.float32, parent)
    model = (
        whole_model(world, family, parent)
        if family == "text2text"
        else load_heads(world[0] / family / "model", {NLI: task(NLI)}, "first", 1)
    )
    adapters.attach(model, chain, seed=3)
    trained = adapters.trained_tensors(model)
    assert all("run2" in name or name.startswith("heads.") for name in trained)
    with torch.no_grad():
        for parameter in trained.values():
            parameter.normal_(std=0.1)
    save_model(model.eval(), tmp_path)
    again = load_saved(tmp_path, family, world[0] / family)
    for (name, a), (_, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert not adapters.trained_tensors(again) or family == "heads"
    manifest = read_json(phases / family / "stack" / "manifest.json")
    tokens = Predictor.load(phases / family / "stack", world[0] / family).tokens
    assert torch.equal(scores(model, manifest, tokens), scores(again, manifest, tokens))


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_weights_may_be_bf16_below_float32_adapters(world, tmp_path, family):
    manifest = train(world, tmp_path / "run", family, weights="bf16", precision="bf16", evaluations=1)
    assert read_json(tmp_path / "run" / "weights" / "adapters.json")["weights"] == "bfloat16"
    predictor = Predictor.load(tmp_path / "run", world[0] / family)
    for name, parameter in predictor.model.named_parameters():
        own = "lora_" in name or name.startswith("heads.")
        assert parameter.dtype == (torch.float32 if own else torch.bfloat16), name
    examples = tiny.nli(9, seed=5)
    said = predictor.predict(task(NLI), examples, batch_size=8)
    right = sum(p.label == e.label for p, e in zip(said, examples, strict=True))
    assert manifest["dev"][NLI]["accuracy"] == pytest.approx(100 * right / 9)


@pytest.mark.parametrize(
    ("weights", "precision", "zero3", "gpu", "expected"),
    [
        ("auto", "bf16", False, True, torch.bfloat16),
        ("auto", "bf16", False, False, torch.float32),
        ("auto", "bf16", True, False, torch.bfloat16),
        ("auto", "fp32", True, True, torch.float32),
        ("fp32", "bf16", False, True, torch.float32),
        ("bf16", "fp32", False, True, None),
        ("fp32", "bf16", True, True, None),
    ],
)
def test_the_type_of_the_frozen_weights(weights, precision, zero3, gpu, expected):
    if expected is None:
        with pytest.raises(StiltgridError, match=rf"lora.weights {weights} in a run of precision {precision}"):
            adapters.frozen_dtype(weights, precision, zero3, gpu)
    else:
        assert adapters.frozen_dtype(weights, precision, zero3, gpu) is expected


@pytest.mark.parametrize("family", FAMILIES)
def test_resumed_is_uninterrupted(world, phases, tmp_path, monkeypatch, family):
    options = {"parent": phases / family / "ii", "phases": "stack", "dropout": 0.1, "max_steps": 6}
    execution = {**SINGLE, "checkpoint_steps": 4}
    whole = train(world, tmp_path / "whole", family, execution=execution, **options)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GridTrainer, "save_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            train(world, tmp_path / "run", family, execution=execution, **options)
    kept = checkpoints.newest(tmp_path / "run" / "training")[0]
    assert kept.name == "checkpoint-4"
    large = (world[0] / family / "model" / "model.safetensors").stat().st_size
    assert (kept / "model.safetensors").stat().st_size < large / 2
    again = train(world, tmp_path / "run", family, execution=execution, **options)
    assert again["weights"] == whole["weights"]


@pytest.mark.parametrize(
    ("targets", "says"),
    [(["w"], "'w' is no linear layer"), (["lm_head"], "'lm_head' is no linear layer"), (["shared"], "no linear layer")],
)
def test_targets_that_are_no_layers_are_refused(world, targets, says):
    model = load_text2text(world[0] / "text2text" / "model")
    chain = adapters.begun({**LORA, "targets": targets}, "d", torch.float32, None)
    with pytest.raises(StiltgridError, match=says):
        adapters.attach(model, chain)


def test_named_targets_get_adapters_and_no_others(world):
    model = load_text2text(world[0] / "text2text" / "model")
    adapters.attach(model, adapters.begun({**LORA, "targets": ["o", "wi_0"]}, "d", torch.float32, None))
    assert {name.rpartition(".")[2] for name in adapters._layers(model)} == {"o", "wi_0"}


def test_adapters_of_another_model_are_refused(world, phases, tmp_path):
    weights = phases / "text2text" / "ii" / "weights"
    with pytest.raises(StiltgridError, match="adapters of another pretrained model"):
        adapters.begun({**LORA, "phases": "merge"}, "other", torch.float32, weights)
    write_json(tmp_path / "manifest.json", {**read_json(world[0] / "text2text" / "manifest.json"), "digest": "other"})
    with pytest.raises(StiltgridError, match=r"adapters of the pretrained model .* train again"):
        load_saved(weights, "text2text", tmp_path)
    with pytest.raises(StiltgridError, match="holds adapters alone"):
        load_saved(weights, "text2text")
    with pytest.raises(StiltgridError, match="no adapters, but this run goes on from adapters"):
        adapters.begun({**LORA, "phases": "merge"}, "d", torch.float32, world[0] / "text2text" / "model")


def test_damaged_adapters_are_named(world, phases, tmp_path):
    chain = adapters.read(phases / "text2text" / "ii" / "weights")
    last = chain.adapters[-1]
    for change, says in (
        ({"x.lora_A.weight": torch.zeros(4, 32)}, "x.lora_A.weight belongs to no layer"),
        ({min(last.tensors): torch.zeros(4, 5)}, "missing or of another shape"),
    ):
        broken = replace(chain, adapters=(replace(last, tensors={**last.tensors, **change}),))
        with pytest.raises(StiltgridError, match=says):
            adapters.attach(load_text2text(world[0] / "text2text" / "model"), broken)
    model = load_text2text(world[0] / "text2text" / "model")
    adapters.attach(model, chain)
    save_model(model, tmp_path)
    file = tmp_path / "adapter-1" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(StiltgridError, match=r"adapter_model\.safetensors: missing, truncated or damaged"):
        adapters.read(tmp_path)


def test_bf16_weights_are_loaded_without_a_float32_copy(world):
    """In the type that is asked for, of both families; the values are the rounded ones."""
    wanted = Placement(torch.bfloat16, {"": "cpu"})
    model = load_text2text(world[0] / "text2text" / "model", placement=wanted)
    exact = load_text2text(world[0] / "text2text" / "model").state_dict()
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == torch.bfloat16 and torch.equal(tensor, exact[name].bfloat16()), name


GRID = {
    "grid": "g",
    "models": {
        "whole": {"source": "./m"},
        "lora": {"source": "./m", "lora": {"rank": 8}, "cost": {"parameters": 1e9, "compute_parameters": 1e9}},
    },
    "intermediates": {"none": {}, "mnli": {"tasks": ["mnli"]}},
    "targets": {"xnli": {"task": "xglue/xnli", "languages": ["en"]}},
}


def test_a_recipe_without_lora_has_no_word_of_it():
    grid = Grid(Config.model_validate(GRID))
    assert set(training_recipe(grid, "whole", "mnli", "xnli", 1)["model"]) == {"name", "family", "pooling", "freeze"}
    about = [training_recipe(grid, "lora", *which, 1)["model"]["lora"] for which in (("mnli", None), ("none", "xnli"))]
    plain = {"rank": 8, "alpha": 32, "dropout": 0.0, "targets": None, "weights": "auto"}
    assert about == [plain, plain]
    assert training_recipe(grid, "lora", "mnli", "xnli", 1)["model"]["lora"] == plain | {"phases": "merge"}


@pytest.mark.parametrize("file", ["config.yaml", "config/demo.yaml"])
def test_the_configs_of_this_project_train_all_weights(file):
    grid = Grid(load(Path(__file__).parents[1] / file))
    for model in grid.config.models:
        target = next(iter(grid.config.targets))
        assert "lora" not in training_recipe(grid, model, "mnli", target, 1)["model"]


def test_memory_is_reckoned_for_the_adapters_that_there_are(world):
    body = load_text2text(world[0] / "text2text" / "model")
    adapters.attach(body, adapters.begun({**LORA, "rank": 16}, "d", torch.float32, None))
    trained = sum(p.numel() for p in adapters.trained_tensors(body).values())
    shape = memory.shape_from(read_json(world[0] / "text2text" / "model" / "config.json"))
    assert memory.adapters(shape, 16) == trained
    setup = memory.own_setup(Grid(Config.model_validate(GRID)), "lora")
    assert (setup.strategy, setup.rank) == ("lora", 8)


def launched(world, folder: Path, out: Path, execution: dict, about: dict, parent: Path | None = None, name=NLI):
    call = {"recipe": about, "data": {name: world[1][name]}, "out": str(out), "execution": execution}
    family = about["model"]["family"]
    call |= {"pretrained": str(world[0] / family), "parent": str(parent or world[0] / family)}
    (folder / "script.py").write_text(TRAIN)
    write_json(folder / "call.json", call)
    words = command([str(folder / "script.py"), str(folder / "call.json")], execution)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_zero3_on_two_ranks_trains_the_same_adapters(world, phases, tmp_path):
    """Phase (iii) both ways, on two ranks that share the frozen weights, like one process; resumed, too."""
    family = "text2text"
    zero3 = {"strategy": "zero3", "devices": 2, "checkpoint_steps": 3}
    for way in ("merge", "stack"):
        about = recipe(family, NLI, phases=way)
        done = launched(world, tmp_path, tmp_path / way, zero3, about, phases / family / "ii")
        assert done.returncode == 0, done.stderr[:9000]
        logged = [
            [line["loss"] for line in map(json.loads, (out / "metrics.jsonl").open()) if "loss" in line]
            for out in (tmp_path / way, phases / family / way)
        ]
        assert len(logged[0]) == 4 and logged[0] == pytest.approx(logged[1], rel=2e-3)
        one, two = (products(out / "weights") for out in (tmp_path / way, phases / family / way))
        assert all(torch.equal(one[0][name], two[0][name]) for name in two[0])
        large = max(float(product.abs().max()) for product in two[1].values())
        assert all(torch.allclose(one[1][name], two[1][name], atol=0.02 * large) for name in two[1])
        predictors = [Predictor.load(out, world[0] / family) for out in (tmp_path / way, phases / family / way)]
        said = [scores(p.model, p.manifest, p.tokens) for p in predictors]
        assert torch.allclose(*said, atol=2e-2)
        assert (predictors[0].model.lm_head.weight == predictors[1].model.lm_head.weight).all()


@pytest.mark.slow
def test_adapters_under_zero3_resume_from_checkpoints_without_frozen_weights(world, tmp_path):
    zero3 = {"strategy": "zero3", "devices": 2, "checkpoint_steps": 3}
    about = recipe("text2text", NLI, precision="bf16", max_steps=6)
    whole = launched(world, tmp_path, tmp_path / "whole", zero3, about)
    assert whole.returncode == 0, whole.stderr[-4000:]
    stopped = launched(world, tmp_path, tmp_path / "run", {**zero3, "die": 1}, about)
    assert stopped.returncode != 0
    kept = checkpoints.newest(tmp_path / "run" / "training")[0]
    assert kept.name == "checkpoint-3"
    frozen = (world[0] / "text2text" / "model" / "model.safetensors").stat().st_size
    held = sum(p.stat().st_size for p in kept.rglob("*_states.pt"))
    assert held < frozen / 2, (held, frozen)
    again = launched(world, tmp_path, tmp_path / "run", zero3, about)
    assert again.returncode == 0 and "resumed from step 3" in again.stderr, again.stderr[-4000:]
    one, two = (read_json(tmp_path / name / "manifest.json") for name in ("whole", "run"))
    assert one["weights"] == two["weights"]
    types = {p.dtype for p in Predictor.load(tmp_path / "run", world[0] / "text2text").model.parameters()}
    assert types == {torch.bfloat16}
