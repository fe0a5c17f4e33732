"""Loading, saving and checks of both kinds of model."""

import json

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from stiltgrid.artifacts import write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.formulations import heads as heads_form
from stiltgrid.formulations.features import Setup
from stiltgrid.models import (
    UntiedMT5,
    check_head,
    dropout_rates,
    freeze,
    load_encoder,
    load_heads,
    load_saved,
    load_text2text,
    most_tokens,
    pretrained_folder,
    save_model,
)
from stiltgrid.tasks.registry import task
from stiltgrid.tokenization import load_tokens, with_byte_fallback

XNLI, POS = task("xglue/xnli"), task("xglue/pos")


@pytest.fixture(scope="module")
def mt5(tmp_path_factory):
    return tiny.save_mt5(tmp_path_factory.mktemp("mt5"))


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    return tiny.save_xlmr(tmp_path_factory.mktemp("xlmr"))


def test_saved_text2text_weights_come_back_bit_for_bit(mt5, tmp_path):
    model = load_text2text(mt5)
    save_model(model, tmp_path / "copy")
    again = load_saved(tmp_path / "copy", "text2text")
    for (name, a), (_, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert not again.training


def test_saved_heads_come_back_and_answer_alike(xlmr, tmp_path):
    model = load_heads(xlmr, {XNLI.name: XNLI, POS.name: POS}, "mean", seed=1).eval()
    save_model(model, tmp_path / "copy")
    assert {p.name for p in (tmp_path / "copy").iterdir()} == {"encoder", "heads.json", "heads.safetensors"}
    again = load_saved(tmp_path / "copy", "heads")
    setup = Setup(load_tokens(xlmr), {XNLI.name: XNLI}, 64)
    features = heads_form.encode(setup, XNLI.name, tiny.nli(4), False)
    with torch.no_grad():
        first, second = (heads_form.outputs(setup, m, XNLI.name, features) for m in (model, again))
    assert first == second


def test_saved_files_are_readable_by_colleagues(mt5):
    assert (mt5 / "model.safetensors").stat().st_mode & 0o777 == (mt5 / "config.json").stat().st_mode & 0o777


def test_a_tampered_head_is_noticed(mt5, tmp_path):
    model = load_text2text(mt5)
    state = load_file(mt5 / "model.safetensors")
    state["lm_head.weight"] += 1.0
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(StiltgridError, match="row 0 of lm_head is not the checkpoint's"):
        check_head(model, tmp_path)


def test_missing_tensors_are_an_error_and_not_random_numbers(mt5, tmp_path):
    state = load_file(mt5 / "model.safetensors")
    del state["lm_head.weight"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_bytes((mt5 / "config.json").read_bytes())
    with pytest.raises(StiltgridError, match=r"lm_head\.weight"):
        load_text2text(tmp_path)


def test_truncated_weights_name_the_folder(mt5, tmp_path):
    (tmp_path / "config.json").write_bytes((mt5 / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((mt5 / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(StiltgridError, match="truncated or damaged"):
        load_text2text(tmp_path)


def test_an_encoder_is_no_text2text_model(xlmr):
    with pytest.raises(StiltgridError, match=r"'xlm-roberta' is not text2text.*family: heads"):
        load_text2text(xlmr)


def test_the_heads_family_takes_only_the_encoder_of_mt5(mt5, tmp_path):
    model = load_heads(mt5, {XNLI.name: XNLI}, "mean", seed=1)
    names = {name for name, _ in model.named_parameters()}
    assert not [n for n in names if "decoder" in n or "lm_head" in n]
    whole = load_text2text(mt5)
    assert torch.equal(model.encoder.get_input_embeddings().weight, whole.shared.weight)
    save_model(model, tmp_path / "copy")
    load_encoder(tmp_path / "copy" / "encoder")


def test_encoders_come_in_float32_and_without_a_pooler(xlmr):
    encoder = load_encoder(xlmr)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    assert encoder.pooler is None


def test_new_heads_depend_on_the_seed_alone(xlmr):
    rows = {XNLI.name: XNLI}
    torch.manual_seed(5)
    first = load_heads(xlmr, rows, "first", seed=1).heads.state_dict()
    torch.manual_seed(6)
    second = load_heads(xlmr, rows, "first", seed=1).heads.state_dict()
    other = load_heads(xlmr, rows, "first", seed=2).heads.state_dict()
    key = next(k for k in first if k.endswith("dense.weight"))
    assert torch.equal(first[key], second[key])
    assert not torch.equal(first[key], other[key])


def test_absent_tasks_get_zero_gradients_not_none(xlmr):
    rows = {XNLI.name: XNLI, POS.name: POS}
    model = load_heads(xlmr, rows, "first", seed=1)
    setup = Setup(load_tokens(xlmr), rows, 64)
    batch = heads_form.collate(setup, heads_form.encode(setup, XNLI.name, tiny.nli(3), True))
    model(**batch)["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    assert model.heads["xglue__pos"]["out"].weight.grad.abs().max() == 0
    assert model.heads["xglue__xnli"]["out"].weight.grad.abs().max() > 0


def test_a_mixed_batch_sums_the_losses_of_its_tasks(xlmr):
    rows = {XNLI.name: XNLI, POS.name: POS}
    model = load_heads(xlmr, rows, "first", seed=1).eval()
    setup = Setup(load_tokens(xlmr), rows, 64)
    nli = heads_form.encode(setup, XNLI.name, tiny.nli(3), True)
    pos = heads_form.encode(setup, POS.name, tiny.tagged(3), True)
    with torch.no_grad():
        parts = [model(**heads_form.collate(setup, f))["loss"] for f in (nli, pos)]
        whole = model(**heads_form.collate(setup, nli + pos))["loss"]
    assert float(whole) == pytest.approx(float(sum(parts)), rel=1e-5)


def test_frozen_embeddings_leave_the_output_matrix_trainable(mt5):
    model = load_text2text(mt5)
    freeze(model, "embeddings")
    assert not model.shared.weight.requires_grad
    assert not model.decoder.embed_tokens.weight.requires_grad
    assert model.lm_head.weight.requires_grad


def test_dropout_replaces_the_models_own(mt5, xlmr):
    assert load_text2text(mt5, dropout_rates(mt5, 0.3)).config.dropout_rate == 0.3
    assert load_encoder(xlmr, dropout_rates(xlmr, 0.0)).config.hidden_dropout_prob == 0.0
    assert load_heads(xlmr, {XNLI.name: XNLI}, "first", 1, dropout_rates(xlmr, 0.25)).drop.p == 0.25
    own = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "classifier_dropout": None}
    assert dropout_rates(xlmr) == own


def test_loading_writes_nothing_into_a_log_file(mt5, xlmr, capfd):
    load_text2text(mt5)
    load_encoder(xlmr)
    assert capfd.readouterr() == ("", "")


def test_the_loss_equals_the_librarys_times_the_number_of_targets(mt5):
    model = load_text2text(mt5).eval()
    batch = {
        "input_ids": torch.tensor([[5, 6, 7, 1], [8, 9, 1, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
    }
    labels = torch.tensor([[10, 11, 1], [12, 1, -100]])
    with torch.no_grad():
        theirs = super(UntiedMT5, model).forward(**batch, labels=labels).loss
        ours = model(**batch, labels=labels, decoder_input_ids=model._shift_right(labels))["loss"]
    assert float(ours) == pytest.approx(float(theirs) * 5, rel=1e-5)


def test_roberta_positions_start_after_the_padding_id(xlmr):
    assert most_tokens(load_encoder(xlmr).config) == 128


def test_a_pretrained_folder_may_be_relative_to_its_manifest(tmp_path):
    (tmp_path / "model").mkdir()
    write_json(tmp_path / "manifest.json", {"path": "model", "files": {}})
    assert pretrained_folder(tmp_path) == tmp_path / "model"
    write_json(tmp_path / "manifest.json", {"path": "gone", "files": {}})
    with pytest.raises(StiltgridError, match="gone does not exist"):
        pretrained_folder(tmp_path)


@pytest.mark.parametrize(
    ("file", "change", "found"),
    [
        ("model.safetensors", lambda content: content[:-8], r"has \d+ bytes, the manifest says"),
        ("config.json", lambda content: content.replace(b"0.1", b"0.3"), "has other content"),
        ("tokenizer.json", None, "is missing"),
    ],
)
def test_a_pretrained_folder_that_changed_is_refused(tmp_path, file, change, found):
    directory = tiny.pretrained(tmp_path, "text2text")
    assert pretrained_folder(directory) == directory / "model"
    path = directory / "model" / file
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(StiltgridError, match=rf"{file}: {found}.*remove .*manifest\.json and run again"):
        pretrained_folder(directory)


def test_byte_pieces_are_used_where_the_vocabulary_has_them():
    from tokenizers import Tokenizer, models

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("a", -1.0)]
    pieces += [(f"<0x{i:02X}>", -9.0) for i in range(256)]
    raw = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    assert raw.encode("aé").tokens != with_byte_fallback(raw).encode("aé").tokens
    assert with_byte_fallback(raw).encode("aé").tokens == ["a", "<0xC3>", "<0xA9>"]


def test_a_vocabulary_without_byte_pieces_is_left_alone():
    tokenizer = tiny.t5_tokenizer()
    assert with_byte_fallback(tokenizer) is tokenizer


def test_a_raw_sentencepiece_model_gives_sentencepieces_own_ids(tmp_path):
    """Two traps of transformers 5: bytes become unknown, and 100 sentinels are appended past the embedding."""
    import sentencepiece

    (tmp_path / "text").write_text("the cat sees the dog in the park\n" * 50 + "a big red house\n" * 50)
    sentinels = ",".join(f"▁<extra_id_{i}>" for i in reversed(range(100)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=400,
        byte_fallback=True,
        user_defined_symbols=sentinels,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    tiny.mt5_config(512).save_pretrained(tmp_path)
    tokens = load_tokens(tmp_path)
    own = sentencepiece.SentencePieceProcessor(str(tmp_path / "spiece.model"))
    texts = ["the cat sees é 中国", "a dog", "big house 😀"]
    assert tokens.ids(texts) == [own.encode(t) for t in texts]
    assert tokens.size == own.get_piece_size()
    assert (tokens.pad, tokens.end, tokens.unknown) == (0, 1, 2)
    assert tokens.sentinels[0] == own.piece_to_id("▁<extra_id_0>")


def test_sentinels_are_found_as_mt5_spells_them_too(tmp_path):
    tokenizer = tiny.t5_tokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text("{}")
    plain = load_tokens(tmp_path).sentinels
    assert len(set(plain)) == 100 and plain[0] == plain[1] + 1
    text = (tmp_path / "tokenizer.json").read_text().replace("<extra_id_", "▁<extra_id_")
    (tmp_path / "tokenizer.json").write_text(text)
    assert load_tokens(tmp_path).sentinels == plain


def test_a_folder_without_tokenizer_says_what_it_expected(tmp_path):
    with pytest.raises(StiltgridError, match=r"expected tokenizer\.json"):
        load_tokens(tmp_path)


def test_special_pieces_are_read_from_the_configuration(tmp_path):
    tiny.xlmr_tokenizer().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": {"content": "<unk>"}}))
    assert load_tokens(tmp_path).pad == 3


@pytest.mark.realdata
def test_the_real_encoder_loads_whole_and_in_float32(real_data):
    encoder = load_encoder(real_data / "models" / "multilingual-e5-small")
    tokens = load_tokens(real_data / "models" / "multilingual-e5-small")
    assert tokens.size <= encoder.config.vocab_size
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    assert tokens.pad == 1
