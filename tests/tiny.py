"""The smallest real models, tokenizers and data that the tests of the torch room train on."""

import json
import random
import string
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import digest, write_json
from stiltgrid.examples import Example, write_examples
from stiltgrid.pretrained import describe
from stiltgrid.recipes import formulation_of
from stiltgrid.tasks.registry import task

WORDS = [
    "the",
    "cat",
    "dog",
    "sees",
    "runs",
    "in",
    "park",
    "not",
    "happy",
    "sad",
    "big",
    "small",
    "red",
    "blue",
    "good",
    "bad",
    "maybe",
    "yes",
    "no",
    "house",
    "tree",
]
WORDS += [
    "premise",
    ":",
    "hypothesis",
    "xnli",
    "pos",
    "nc",
    "query",
    "answer",
    "qp",
    "ent",
    "con",
    "neutral",
    "NOUN",
    "VERB",
    "DET",
    "entailment",
]


WORDS += ["question", "context", "passage", "qg", "ntg", "mlqa", "article", "who", "where", "what", "does", "eats"]


def words_of(*tasks: str) -> list[str]:
    """Return the vocabulary's words and the verbalisers of these tasks."""
    return WORDS + [text for name in tasks for text in task(name).labels.values()]


def _unigram(specials: list[str], unknown: int, words: list[str], tail: list[str]) -> Any:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    pieces = [(s, 0.0) for s in specials]
    pieces += [(f"▁{w}", -3.0) for w in dict.fromkeys(words)]
    pieces += [(c, -8.0) for c in "▁" + string.ascii_letters + string.digits + string.punctuation + "中国人民大学"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken(s, normalized=False) for s in specials + tail])
    return tokenizer


def t5_tokenizer(words: list[str] | None = None) -> Any:
    """Unigram, `</s>` after the text, 100 sentinels at the end of the vocabulary as mT5 has them."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = _unigram(
        ["<pad>", "</s>", "<unk>"],
        2,
        words or words_of("xglue/pos", "xglue/xnli"),
        [f"<extra_id_{i}>" for i in reversed(range(100))],
    )
    tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def byte_tokenizer() -> Any:
    """As `t5_tokenizer`, with the normaliser of sentencepiece models, and bytes for all that has no piece."""
    from tokenizers import Regex, Tokenizer, normalizers

    state = json.loads(t5_tokenizer().to_str())
    state["model"]["vocab"][3:3] = [[f"<0x{byte:02X}>", -12.0] for byte in range(256)]
    state["model"]["byte_fallback"] = True
    state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < 3]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([f"<extra_id_{i}>" for i in reversed(range(100))])
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), spaces])
    return tokenizer


def xlmr_tokenizer() -> Any:
    """Unigram with XLM-R's special pieces."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = _unigram(["<s>", "<pad>", "</s>", "<unk>"], 3, WORDS, [])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def mt5_config(vocabulary: int, **changes: Any) -> Any:
    from transformers import MT5Config

    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 2}
    return MT5Config(vocab_size=vocabulary, decoder_start_token_id=0, **{**sizes, **changes})


def save_mt5(folder: Path, seed: int = 0, tokenizer: Any = None, **changes: Any) -> Path:
    """Write a tiny mT5, its output matrix apart from its embedding, and its tokenizer."""
    import torch

    from stiltgrid.models import UntiedMT5, save_model

    tokenizer = tokenizer or t5_tokenizer()
    torch.manual_seed(seed)
    model = UntiedMT5(mt5_config(tokenizer.get_vocab_size() + 4, **changes))
    save_model(model, folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def save_xlmr(folder: Path, seed: int = 0, tokenizer: Any = None) -> Path:
    """Write a tiny XLM-R and its tokenizer."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel

    tokenizer = tokenizer or xlmr_tokenizer()
    torch.manual_seed(seed)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=130,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def pretrained(folder: Path, family: str, tokenizer: Any = None) -> Path:
    """Write a pretrained directory: model, tokenizer (text2text: this one), manifest."""
    if family == "text2text":
        save_mt5(folder / "model", tokenizer=tokenizer)
    else:
        save_xlmr(folder / "model")
    record = {"schema_version": 1, "kind": "pretrained", "family": family, "source": "tiny", "revision": None}
    files = describe(folder / "model")
    write_json(folder / "manifest.json", {**record, "path": "model", "digest": digest(family), "files": files})
    return folder


def nli(number: int, seed: int = 0) -> list[Example]:
    """Sentence pairs whose label can be read off the hypothesis."""
    rng = random.Random(seed)
    ends = {"entailment": "yes good", "neutral": "maybe", "contradiction": "no bad"}
    rows = []
    for i in range(number):
        premise = " ".join(rng.choices(WORDS[:20], k=rng.randint(2, 12)))
        label = rng.choice(list(ends))
        rows.append(Example(str(i), str(i), {"premise": premise, "hypothesis": f"the {ends[label]}"}, label))
    return rows


def tagged(number: int, seed: int = 0, longest: int = 9) -> list[Example]:
    """Sentences in which each word has one tag."""
    rng = random.Random(seed)
    tags = {"the": "DET", "cat": "NOUN", "dog": "NOUN", "park": "NOUN", "sees": "VERB", "runs": "VERB", "big": "ADJ"}
    rows = []
    for i in range(number):
        words = tuple(rng.choices(list(tags), k=rng.randint(1, longest)))
        rows.append(Example(str(i), str(i), words=words, tags=tuple(tags[w] for w in words)))
    return rows


def questions(number: int, seed: int = 0, longest: int = 8) -> list[Example]:
    """Questions whose answer is the one name of the context."""
    rng = random.Random(seed)
    rows = []
    for i in range(number):
        words, at = _with_a_name(rng, longest)
        fields = {"question": rng.choice(["who runs", "what sees"]), "context": " ".join(words)}
        start = len(" ".join(["", *words[:at]]))
        rows.append(Example(str(i), str(i), fields, references=(words[at],), starts=(start,)))
    return rows


def passages(number: int, seed: int = 0, longest: int = 8) -> list[Example]:
    """Passages with a question on their one name."""
    rng = random.Random(seed)
    rows = []
    for i in range(number):
        words, at = _with_a_name(rng, longest)
        references = (f"what does the {words[at]} in the park",)
        rows.append(Example(str(i), str(i), {"passage": " ".join(words)}, references=references))
    return rows


def _with_a_name(rng: random.Random, longest: int) -> tuple[list[str], int]:
    names = ("cat", "dog", "house", "tree")
    words = rng.choices([w for w in WORDS[:21] if w not in names], k=rng.randint(2, longest))
    at = rng.randrange(len(words))
    words.insert(at, rng.choice(names))
    return words, at


def perhaps_answered(number: int, seed: int = 0, longest: int = 8) -> list[Example]:
    """Questions as `questions`, every other one without an answer: its context has no name."""
    rows = []
    for i, e in enumerate(questions(number, seed, longest)):
        if i % 2:
            context = e.fields["context"].replace(e.references[0], "red")
            e = Example(e.id, e.group, e.fields | {"context": context}, references=(), starts=())
        rows.append(e)
    return rows


def choices(number: int, seed: int = 0, fields: tuple[str, ...] = ("question",), most: int = 4) -> list[Example]:
    """Prompts with choices of which the one that ends in `good` is right."""
    rng = random.Random(seed)
    rows = []
    for i in range(number):
        options = [" ".join([*rng.choices(WORDS[:9], k=rng.randint(1, 4)), "bad"]) for _ in range(rng.randint(2, most))]
        right = rng.randrange(len(options))
        options[right] = options[right].removesuffix("bad") + "good"
        texts = {name: " ".join(rng.choices(WORDS[:20], k=rng.randint(2, 8))) for name in fields}
        rows.append(Example(str(i), str(i), texts, str(right), choices=tuple(options)))
    return rows


def write_data(folder: Path, task: str, train: list[Example], dev: list[Example]) -> dict[str, dict[str, list[str]]]:
    """Write a task's example files and return them in the form that training takes."""
    paths = {}
    for split, rows in (("train", train), ("dev", dev)):
        path = folder / task / f"{split}.en.parquet"
        write_examples(path, rows, {"task": task, "split": split, "language": "en"})
        paths[split] = [str(path)]
    return {task: paths}


def recipe(family: str, tasks: list[str], seed: int = 1, **training: Any) -> dict[str, Any]:
    """A complete recipe with small numbers."""
    values = {
        "optimizer": "adamw",
        "learning_rate": 3e-3,
        "schedule": "linear",
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "batch_size": 8,
        "epochs": None,
        "max_steps": 6,
        "max_input_length": 64,
        "train_examples": None,
        "dev_examples": None,
        "selection": "last_step",
        "evaluations": 1,
        "patience": None,
        "precision": "fp32",
        "dropout": 0.1,
    }
    return {
        "version": 1,
        "phase": "target",
        "model": {"name": "tiny", "family": family, "pooling": "first", "freeze": "none"},
        "tasks": tasks,
        "formulation": formulation_of(tasks),
        "mixing": "proportional",
        "training": {**values, **training},
        "seed": seed,
    }
