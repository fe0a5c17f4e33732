"""Gold, formulation, decoding, score: there and back for the intermediates' real rows, with a real vocabulary."""

import pytest
from test_round_trip import t5_like, told

from stiltgrid.examples import Example
from stiltgrid.formulations import formulation
from stiltgrid.formulations.features import Setup
from stiltgrid.formulations.heads import span
from stiltgrid.formulations.text2text import tagging
from stiltgrid.label_sets import with_labels
from stiltgrid.readers import read_source
from stiltgrid.score import score_language
from stiltgrid.tasks.registry import task
from stiltgrid.tokenization import load_tokens

ROWS = {
    "anli": ("original", {f"anli_v1.0/R{r}/dev.jsonl": f"anli/R{r}_dev.from_analysis_csv.jsonl" for r in (1, 2, 3)}),
    "snli": ("text", {"snli_1.0/snli_1.0_dev.txt": "hf_dummy/snli/plain_text/snli_1.0/snli_1.0_dev.txt"}),
    "squad": ("original", {"dev-v1.1.json": "squad/train-v1.1.prefix.json"}),
    "squad_v2": ("original", {"dev-v2.0.json": "squad/dev-v2.0.normans_rhine.json"}),
    "hellaswag": ("original", {"hellaswag_val.jsonl": "hellaswag/hellaswag_val_1000.jsonl"}),
    "cosmosqa": ("json", {"valid.jsonl": "cosmosqa/valid.jsonl"}),
    "csqa": ("original", {"dev_rand_split.jsonl": "commonsenseqa/dev_rand_split.jsonl"}),
}
MOST = 100  # rows of each, evenly spread over the file


@pytest.fixture(scope="module")
def vocabularies(real_data, tmp_path_factory):
    source = real_data / "models" / "multilingual-e5-small"
    return {"text2text": t5_like(source, tmp_path_factory.mktemp("t5") / "model"), "heads": load_tokens(source)}


def answered(setup, row, examples):
    """What an encoder says that has learnt where each answer is, or that there is none."""
    import torch

    module = formulation("heads")
    labelled, blind = (module.encode(setup, row.name, examples, known) for known in (True, False))
    scores = torch.zeros(len(blind), max(len(f.input_ids) for f in blind), 2)
    for i, feature in enumerate(labelled):
        for side, token in enumerate(feature.labels):
            scores[i, token, side] = 9.0
    nothing = scores[:, 0].sum(-1).tolist()
    said = list(zip(nothing, span.best_spans(scores, [f.offsets for f in blind]), strict=True))
    return module.decode(setup, row.name, examples, blind, said)


@pytest.mark.realdata
@pytest.mark.parametrize("family", ["text2text", "heads"])
@pytest.mark.parametrize("name", ROWS)
def test_gold_comes_back_with_the_full_score(vocabularies, real_data, tmp_path, family, name):
    row, (layout, files) = task(name), ROWS[name]
    for place, real in files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).symlink_to(real_data / "data" / real)
    examples, _ = read_source(row, layout, tmp_path, "dev", "en")
    examples = examples[:: max(1, len(examples) // MOST)]
    setup = Setup(vocabularies[family], {row.name: row}, 256)
    formulation(family).check(setup)
    tell = answered if family == "heads" and row.no_answer else lambda *rest: told(family, *rest)
    record, _ = score_language(row, "en", examples, tell(setup, row, examples), "here")
    # (an encoder cannot give every answer of SQuAD; those of these rows it can)
    assert record[row.metrics[0]] == 100.0


@pytest.mark.realdata
def test_a_thousand_supertags_come_back_as_text(vocabularies):
    tags = [f"(S[dcl]\\NP{i})/NP" for i in range(1363)]
    row = with_labels(task("ccg"), tags)
    setup = Setup(vocabularies["text2text"], {row.name: row}, 256)
    formulation("text2text").check(setup)
    cuts = [slice(start, start + 130) for start in range(0, 1363, 130)]  # longer than the sentinels
    examples = [
        Example(str(i), str(i), words=tuple(f"word{i}" for i in range(1363))[cut], tags=tuple(tags[cut]))
        for i, cut in enumerate(cuts)
    ]
    features = formulation("text2text").encode(setup, row.name, examples, True)
    place = {token: i for i, token in enumerate(tagging.tag_tokens(setup, row))}
    assert len(place) == 1363
    said = [[[float(i == place[token]) for i in range(1363)] for token in f.labels[1:]] for f in features]
    record, _ = score_language(
        row, "en", examples, formulation("text2text").decode(setup, row.name, examples, features, said), "here"
    )
    assert record["pos_accuracy"] == 100.0
