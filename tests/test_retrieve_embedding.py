"""Embeddings of real tiny encoders: the layer, the pooling, batches, and where they are loaded from."""

import numpy as np
import pytest
import tiny

from stiltgrid.artifacts import write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.retrieve.embedding import Embedder, layer_of
from stiltgrid.retrieve.layers import LayerScore, by_layer, markdown, read_rows, write_rows
from stiltgrid.schema import Retrieval
from stiltgrid.tasks.registry import task

SENTENCES = ["the cat runs", "big dog", "the", "the happy dog sees the red house in the park", "no"]


@pytest.fixture(scope="module", params=["heads", "text2text"])
def embedder(request, tmp_path_factory):
    folder = tiny.pretrained(tmp_path_factory.mktemp(request.param) / "pretrained", request.param)
    return Embedder.load(folder, folder, 1)


def library_states(embedder, text):
    """Hidden states of one sentence from the whole encoder, as the library gives them, and the marks of its tokens."""
    import torch

    encoding = embedder.tokens.backend.encode(text)
    with torch.inference_mode():
        out = embedder.encoder(
            input_ids=torch.tensor([encoding.ids]),
            attention_mask=torch.ones(1, len(encoding.ids), dtype=torch.long),
            output_hidden_states=True,
        )
    return [state[0].numpy() for state in out.hidden_states], np.array(encoding.special_tokens_mask, dtype=bool)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize(
    ("how", "pool"),
    [
        (Retrieval(), lambda states, special: states.mean(axis=0)),
        (Retrieval(special_tokens=False), lambda states, special: states[~special].mean(axis=0)),
        (Retrieval(pooling="first"), lambda states, special: states[0]),
    ],
    ids=["all tokens", "own tokens", "first"],
)
def test_a_vector_is_the_library_s_layer_pooled_and_of_length_1(embedder, layer, how, pool):
    [vectors], cut = embedder.embed(SENTENCES, [layer], how, batch_size=2)
    for text, vector in zip(SENTENCES, vectors, strict=True):
        states, special = library_states(embedder, text)
        expected = pool(states[layer], special)
        assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-5), text
    assert cut == [False] * len(SENTENCES)


def test_several_layers_and_batches_change_nothing(embedder):
    together, _ = embedder.embed(SENTENCES, [0, 1, 2], Retrieval(), batch_size=5)
    for layer, matrix in enumerate(together):
        [alone], _ = embedder.embed(SENTENCES, [layer], Retrieval(), batch_size=1)
        assert np.allclose(matrix, alone, atol=1e-5)


def test_chunks_change_nothing(embedder, monkeypatch):
    from stiltgrid.retrieve import embedding

    [whole], _ = embedder.embed(SENTENCES, [1], Retrieval(), batch_size=2)
    monkeypatch.setattr(embedding, "CHUNK", 2)
    told = []
    [parts], cut = embedder.embed(SENTENCES, [1], Retrieval(), 2, lambda done, of: told.append((done, of)))
    assert np.allclose(whole, parts, atol=1e-5) and len(cut) == len(SENTENCES)
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_no_layer_above_the_highest_is_computed(embedder):
    from torch import nn

    blocks = next(m for m in embedder.encoder.modules() if isinstance(m, nn.ModuleList) and len(m) == embedder.depth)
    called = []
    handles = [b.register_forward_hook(lambda *_, k=k: called.append(k)) for k, b in enumerate(blocks)]
    embedder.embed(SENTENCES, [0, 1], Retrieval(), batch_size=5)
    for handle in handles:
        handle.remove()
    assert called == [0]
    assert len(library_states(embedder, "the cat")[0]) == embedder.depth + 1


def test_a_long_sentence_is_cut_before_its_last_special_token(embedder):
    long = " ".join(["the cat sees"] * 20)
    ids, special, cut = embedder._inputs([long, "no"], Retrieval(max_input_length=8))
    whole = embedder.tokens.backend.encode(long)
    assert cut == [True, False] and len(ids[0]) == 8
    assert ids[0] == [*whole.ids[:7], whole.ids[-1]] and special[0][-1] == 1


def test_an_empty_sentence_has_a_vector(embedder):
    [vectors], _ = embedder.embed(["", "the cat"], [2], Retrieval(special_tokens=False))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("depth", "layer"), [(24, 14), (12, 7), (2, 1)])
def test_the_default_layer_is_seven_twelfths_up(depth, layer):
    assert layer_of(Retrieval(), depth) == layer
    assert layer_of(Retrieval(layer=depth), depth) == depth
    with pytest.raises(StiltgridError, match=rf"retrieval.layer: {depth + 1}, the encoder has {depth} layers"):
        layer_of(Retrieval(layer=depth + 1), depth)


@pytest.mark.parametrize("family", ["heads", "text2text"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])  # what one process and what ZeRO-3 leave
def test_phase_ii_s_encoder_is_found_in_its_checkpoint(tmp_path, family, dtype):
    import torch

    from stiltgrid.models import load_heads, load_text2text, save_model

    pretrained = tiny.pretrained(tmp_path / "pretrained", family)
    if family == "heads":
        model = load_heads(pretrained / "model", {"intermediate/mnli": task("intermediate/mnli")}, "mean", 1)
        encoder = model.encoder
    else:
        model = load_text2text(pretrained / "model")
        encoder = model.get_encoder()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05)  # it was trained
    checkpoint = tmp_path / "checkpoint"
    save_model(model.to(getattr(torch, dtype)), checkpoint / "weights")
    files = [p for p in (checkpoint / "weights").rglob("*") if p.is_file()]
    record = {str(p.relative_to(checkpoint / "weights")): {"bytes": p.stat().st_size} for p in files}
    write_json(checkpoint / "manifest.json", {"weights": record, "digest": "x"})
    loaded = Embedder.load(checkpoint, pretrained, 1)
    theirs = Embedder(encoder.float().eval(), loaded.tokens)
    [a], [b] = (e.embed(SENTENCES, [2], Retrieval())[0] for e in (loaded, theirs))
    assert np.allclose(a, b, atol=1e-5)
    [untrained], _ = Embedder.load(pretrained, pretrained, 1).embed(SENTENCES, [2], Retrieval())
    assert not np.allclose(a, untrained, atol=1e-3)
    files[0].unlink()
    with pytest.raises(StiltgridError, match="is missing"):
        Embedder.load(checkpoint, pretrained, 1)


def test_every_layer_is_scored_and_shown(embedder, tmp_path, monkeypatch):
    from stiltgrid.examples import Example
    from stiltgrid.retrieve import layers

    examples = [
        Example(str(i), str(i), {"sentence": s, "english": s}, references=(str(i),)) for i, s in enumerate(SENTENCES)
    ]
    scores = by_layer(embedder, task("xtreme/tatoeba"), "de", examples, Retrieval(), 2)
    assert scores == [100.0] * (embedder.depth + 1)  # each sentence is its own translation
    monkeypatch.setattr(layers, "VECTOR_BYTES", 1)  # a pass a layer
    assert by_layer(embedder, task("xtreme/tatoeba"), "de", examples, Retrieval(), 2) == scores
    rows = [
        LayerScore("m", "none", "t", 1, x, k, "retrieval_accuracy", v)
        for x, vs in (("de", (50.0, 80.0)), ("fr", (60.0, 40.0)))
        for k, v in enumerate(vs)
    ]
    write_rows(tmp_path / "x.csv", rows)
    assert read_rows(tmp_path / "x.csv") == rows
    text = markdown(rows, lambda row: f"{row.target} of {row.model}")
    assert "## t of m" in text and "| mean | 55.0 | **60.0** |" in text and "| fr | **60.0** | 40.0 |" in text
