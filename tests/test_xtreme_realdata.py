"""Gold there and back through XTREME's submission forms on real rows of its nine tasks: each language scores 100."""

import pytest

from stiltgrid.artifacts import write_text
from stiltgrid.predictions import Prediction
from stiltgrid.readers import read_source
from stiltgrid.submission import scoring
from stiltgrid.submission.forms import FORMS
from stiltgrid.submission.leaderboard import file_of
from stiltgrid.tasks.registry import task

pytestmark = pytest.mark.realdata

# task -> split, languages that the sample has, folder of the task's files in the sample by its name in XTREME's layout
HAVE = {
    "xnli": ("dev", None, {"xnli": "xnli/xtreme"}),
    "pawsx": ("dev", None, {"pawsx": "pawsx/xtreme"}),
    "udpos": ("dev", {"ar", "de", "en", "fi", "hi", "ja", "ko", "ta", "vi", "zh"}, {"udpos": "udpos_xtreme"}),
    "panx": ("dev", {"ar", "de", "en", "hi", "ka", "my", "sw", "yo", "zh"}, {"panx": "panx"}),
    "xquad": ("test", None, {"xquad": "xquad"}),
    "mlqa": ("dev", None, {"mlqa": "mlqa"}),
    "bucc2018": ("dev", {"zh"}, {"bucc2018": "bucc2018"}),
    "tatoeba": ("test", None, {"tatoeba": "tatoeba"}),
}


def perfect(examples):
    """The gold rows as predictions."""
    return [Prediction(e.id, label=e.label, tags=e.tags, text=(e.references or ("",))[0]) for e in examples]


@pytest.mark.parametrize("name", HAVE)
def test_gold_scores_100_in_every_language(real_data, tmp_path, name):
    split, languages, folders = HAVE[name]
    for below, there in folders.items():
        (tmp_path / "gold").mkdir(exist_ok=True)
        (tmp_path / "gold" / below).symlink_to(real_data / "data" / there)
    row = task(f"xtreme/{name}")
    for language in row.languages:
        if languages is None or language in languages:
            examples, _ = read_source(row, None, tmp_path / "gold", split, language)
            text = FORMS[row.submission.form].write(perfect(examples))
            write_text(tmp_path / "said" / file_of(row, language, split), text)
    report = scoring.score_submission(tmp_path / "said", tmp_path / "gold", tasks=[name], split=split, suite="xtreme")
    done = report.having("done")
    assert not report.having("refused") and {e.language for e in done} == (languages or set(row.languages))
    for entry in done:
        # an answer that is nothing but an article has no token: by the rules an exact match, and F1 0
        least = 99.5 if row.kind == "span" else 100
        assert all(value == 100 or (value >= least and "f1" in name) for name, value in entry.metrics.items()), entry


@pytest.mark.parametrize("language", ["en", "ko", "sw"])
def test_gold_of_tydiqa_scores_100(real_data, language):
    """XTREME blanks the answers of TyDiQA's dev rows: its training rows stand in for them."""
    from stiltgrid.score import score_language

    row = task("xtreme/tydiqa")
    examples, _ = read_source(row, None, real_data / "data", "train", language)
    record, _ = score_language(row, language, examples, perfect(examples), "gold")
    assert record["squad_exact"] == 100 and record["squad_f1"] > 99.5
    assert len(examples) == {"en": 1000, "ko": 800, "sw": 2755}[language]


def test_the_answers_that_xtreme_blanked_are_refused(real_data):
    from stiltgrid.errors import StiltgridError

    files = {"test": "tydiqa/tydiqa-goldp-v1.1-dev_ANSWERS_BLANKED_BY_XTREME/tydiqa.goldp.{lang}.dev.json"}
    with pytest.raises(StiltgridError, match="answer '' is not at answer_start 0"):
        read_source(task("xtreme/tydiqa"), None, real_data / "data", "test", "ar", files=files)
