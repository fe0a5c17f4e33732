"""The explorer: which examples it shows, what it holds, and what a person does with it in a browser."""

import json
import math

import pandas as pd
import pytest
from browser import chromium, missing
from test_collect import small_grid

from stiltgrid.analysis.results import COLUMNS as CONTRASTS
from stiltgrid.analysis.results import NUMBERS
from stiltgrid.collect import COLUMNS as SCORES
from stiltgrid.diagnostics import DIAGNOSTICS
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, write_examples
from stiltgrid.grid import Cell, Grid, Run
from stiltgrid.paper.explorer.chains import Chain, settings
from stiltgrid.paper.explorer.examples import (
    RIGHT,
    WRONG,
    Examples,
    Shown,
    candidates,
    choose,
    described,
    gather,
    read_candidates,
)
from stiltgrid.paper.explorer.page import embedded, page
from stiltgrid.paper.explorer.payload import payload, places
from stiltgrid.paper.findings import Findings
from stiltgrid.predictions import Prediction, write_predictions
from stiltgrid.recipes import training_recipe
from stiltgrid.tasks.registry import task

EVIL = "</script><script>document.title='broken into'</script><img src=x onerror=\"document.title='broken into'\">"
ARABIC = "ذهب إلى السوق"
XNLI = task("xglue/xnli")


# examples


def test_candidates_are_chosen_by_id_and_seed_not_by_place():
    ids = [str(k) for k in range(500)]
    chosen = candidates(ids, number=20)
    assert len(set(chosen)) == 20
    backwards = ids[::-1]
    assert [backwards[k] for k in candidates(backwards, number=20)] == [ids[k] for k in chosen]
    assert candidates(ids, seed=1, number=20) != chosen
    assert candidates(["only"]) == [0]


def test_some_right_and_some_wrong_in_the_order_of_the_rule():
    gold = [(k, Example(str(k), "g", {"premise": "p", "hypothesis": "h"}, label="neutral")) for k in range(12)]
    said = [Prediction(str(k), label="neutral" if k % 3 else "entailment") for k in range(12)]
    shown = choose(XNLI, "en", gold, said)
    assert [s.example for s in shown if s.right] == [1, 2, 4][:RIGHT]
    assert [s.example for s in shown if not s.right] == [0, 3, 6][:WRONG]
    assert [s.example for s in shown] == sorted(s.example for s in shown)


def test_written_answers_are_judged_by_the_tasks_rules_and_texts_not_at_all():
    mlqa, ntg = task("xglue/mlqa"), task("xglue/ntg")
    span = [(0, Example("0", "g", {"context": "in the house", "question": "q"}, references=("house",), starts=(7,)))]
    assert choose(mlqa, "en", span, [Prediction("0", text="The House.")]) == [Shown(0, "The House.", True)]
    assert choose(mlqa, "en", span, [Prediction("0", text="")]) == [Shown(0, "", False)]
    title = [(0, Example("0", "g", {"body": "b"}, references=("A title",)))]
    assert choose(ntg, "en", title, [Prediction("0", text="A title")]) == [Shown(0, "A title", None)]
    words = [(0, Example("0", "g", words=("a", "b"), tags=("DET", "NOUN")))]
    tagged = choose(task("xglue/pos"), "en", words, [Prediction("0", tags=("DET", "VERB"))])
    assert tagged == [Shown(0, ["DET", "VERB"], False)]


def test_a_withheld_answer_is_shown_as_none_and_choices_are_texts():
    squad, csqa = task("intermediate/squad_v2"), task("intermediate/csqa")
    fields = {"context": "in the house", "question": "q"}
    none = [(0, Example("0", "g", fields, references=(), starts=()))]
    said = Prediction("0", text="house", no_answer=2.0)
    assert choose(squad, "en", none, [said]) == [Shown(0, "", True)]
    assert described(none[0][1])["gold"] == []
    choice = Example("0", "g", {"question": "q"}, label="1", choices=("bread", "stone"))
    assert dict(described(choice)["fields"])["choice 1"] == "stone"
    assert choose(csqa, "en", [(0, choice)], [Prediction("0", label="1")]) == [Shown(0, "1", True)]


def test_a_long_context_is_cut_around_its_answer():
    text = "x" * 2000 + "needle" + "y" * 2000
    about = described(Example("0", "g", {"context": text, "question": "q"}, references=("needle",), starts=(2000,)))
    shown = dict(about["fields"])["context"]
    assert "needle" in shown and len(shown) < 700 and shown[0] == shown[-1] == "…"


def test_examples_are_read_from_the_files_and_must_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = small_grid(models={"m": {"source": "demo:base", "family": "heads"}}, intermediates={"none": {}}, seeds=1)
    cell = Cell("m", "none", "xnli", "de", 1)
    gold = [Example(str(k), "g", {"premise": f"p{k}", "hypothesis": "h"}, label="neutral") for k in range(80)]
    path = grid.paths.data(grid.evaluation("xnli", "de"))
    write_examples(path, gold, {})
    write_predictions(grid.paths.prediction(cell), [Prediction(e.id, label="neutral") for e in gold], {"key": "k"})
    frame = pd.DataFrame([{**cell._asdict(), "status": "done"}])
    found = gather(grid, frame)
    shown = found.shown["m", "none", "xnli", "de"]
    assert [s.right for s in shown] == [True] * RIGHT
    assert [s.example for s in shown] == candidates([e.id for e in gold])[:RIGHT]
    assert found.texts["xnli", "de"][shown[0].example]["gold"] == ["neutral"]
    others = [Prediction(f"other {e.id}", label="neutral") for e in gold]
    write_predictions(grid.paths.prediction(cell), others, {"key": "k"})
    with pytest.raises(StiltgridError, match=r"none/xnli/seed1/de\.parquet: row \d+ has id 'other"):
        gather(grid, frame)
    with pytest.raises(StiltgridError, match="no such file"):
        read_candidates(tmp_path / "nothing.parquet")


# the page's data


def contrasts(grid: Grid) -> pd.DataFrame:
    """A score and a gain for every place, with values that tell where they come from."""
    rows = []
    for number, (model, arm, target, language) in enumerate(places(grid)):
        blank = dict.fromkeys(CONTRASTS, "") | dict.fromkeys((*NUMBERS, "logit", "logit_low", "logit_high"), math.nan)
        where = {"model": model, "intermediate": arm, "target": target, "language": language}
        same = {"status": "estimated", "seed_status": "measured", "wilson": False, "marked": False}
        value = 20.0 + number % 60
        rows.append(blank | where | same | {"kind": "score", "value": value, "low": value - 1, "high": value + 2})
        if arm != "none":
            gain = number % 17 - 8.0
            about = {"kind": "gain", "value": gain, "low": gain - 1, "high": gain + 1, "p": 0.04}
            rows.append(blank | where | same | about)
    return pd.DataFrame(rows, columns=list(CONTRASTS))


def scores(grid: Grid) -> pd.DataFrame:
    rows = []
    for cell in grid.cells(with_excluded=True):
        excluded = grid.excluded.get(cell[:3])
        about = dict.fromkeys(SCORES, "") | cell._asdict() | {"task": grid.tasks[cell.target].name, "main": True}
        about |= dict.fromkeys(DIAGNOSTICS, 1.5) | {"collapsed": False, "metric": grid.tasks[cell.target].metrics[0]}
        about |= {"status": "excluded" if excluded else "done", "reason": excluded or ""}
        about |= {"value": math.nan if excluded else 50.0 + cell.seed, "n": 10, "examples": 10}
        rows.append(about)
    return pd.DataFrame(rows, columns=list(SCORES)).astype(SCORES)


def chains(grid: Grid) -> dict[Run, Chain]:
    found = {}
    for run in grid.runs:
        recipe = settings(training_recipe(grid, *run))
        found[run] = Chain(f"{hash(run[:3]) % 10**9:064d}", recipe, recipe, "b" * 64, "some/model", "c" * 40, (), False)
    return found


def shown(grid: Grid) -> Examples:
    text = {0: {"id": "1", "fields": [["premise", ARABIC], ["hypothesis", EVIL]], "gold": ["neutral"]}}
    text[1] = {"id": "2", "words": ["ein", "Haus"], "tags": ["DET", "NOUN"]}
    texts = {(target, language): text for _, _, target, language in places(grid)}
    each = [Shown(0, EVIL, False), Shown(1, ["DET", "VERB"], False)]
    return Examples(texts, dict.fromkeys(places(grid), each), dict.fromkeys(places(grid), 1))


def data(grid: Grid) -> dict:
    findings = Findings(grid, contrasts(grid), {"status": "refused", "reason": ""})
    return payload(grid, scores(grid), findings, chains(grid), shown(grid))


def test_rows_hold_what_the_analysis_found_and_nothing_else():
    grid = small_grid()
    found = data(grid)
    rows, estimates = found["rows"], contrasts(grid)
    assert len(rows["model"]) == len(list(places(grid))) == 2 * 3 * 7
    for number, (model, arm, target, language) in enumerate(places(grid)):
        here = [found["axes"][axis][rows[axis][number]] for axis in ("model", "intermediate", "target", "language")]
        assert here == [model, arm, target, language]
        own = estimates[(estimates["model"] == model) & (estimates["intermediate"] == arm)]
        own = own[(own["target"] == target) & (own["language"] == language)].set_index("kind")
        assert (rows["score"][number], rows["low"][number]) == tuple(own.loc["score", ["value", "low"]])
        assert rows["gain"][number] == (None if arm == "none" else own.loc["gain", "value"])
    first = slice(rows["seed"][0], rows["seed"][1])
    assert found["seeds"]["seed"][first] == [1, 2]
    assert found["seeds"]["values"][first] == [[51.0], [52.0]]
    excluded = [k for k, target in enumerate(rows["target"]) if found["axes"]["target"][target] == "ntg"]
    assert {found["statuses"][rows["status"][k]] for k in excluded} == {"excluded"}
    assert "heads" in found["reasons"][rows["reason"][excluded[0]]]
    json.dumps(found, allow_nan=False)


def test_no_text_ends_the_script_and_equal_data_give_equal_bytes():
    text = embedded({"said": EVIL, "line": "a\u2028b"})
    assert "<" not in text and "\u2028" not in text
    assert json.loads(text) == {"said": EVIL, "line": "a\u2028b"}
    found = data(small_grid(title="A <b>title</b>"))
    html = page(found)
    assert html == page(data(small_grid(title="A <b>title</b>")))
    assert html.count("</script>") == 2 and "<h1>A &lt;b&gt;title&lt;/b&gt;</h1>" in html
    assert "default-src &#39;none&#39;" in html  # the browser refuses it any network
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded(math.nan)


# in a browser

browsing = pytest.mark.skipif(bool(missing()), reason=missing() or "a browser is there")
MANY = {
    "grid": "many",
    "seeds": 1,
    "models": {f"model{k}": {"source": "demo:base", "family": "heads"} for k in range(4)},
    "intermediates": {"none": {}} | {f"arm{k}": {"tasks": ["mnli"]} for k in range(19)},
    "targets": {f"target{k}": {"task": "xglue/xnli"} for k in range(18)},
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def opened(browser, tmp_path):
    """The page of the small grid, opened; no message on the console is part of each test."""
    path = tmp_path / "explorer.html"
    path.write_text(page(data(small_grid())), encoding="utf-8")

    def go(address: str = ""):
        browser.get("about:blank")
        browser.get(f"{path.as_uri()}{address}")
        return browser

    yield go
    assert browser.get_log("browser") == []
    assert "broken into" not in browser.title


def texts(browser, selector: str) -> list[str]:
    return [node.text for node in browser.find_elements("css selector", selector)]


def focused(browser):
    return browser.switch_to.active_element


@browsing
def test_filters_and_sorting_by_mouse_show_the_right_rows_and_stand_in_the_address(opened):
    browser = opened()
    assert texts(browser, "#count") == ["42 of 42 cells"]
    box = browser.find_element("id", "filter-language")
    box.find_element("css selector", "summary").click()
    box.find_element("css selector", "input[value='0']").click()  # German, the first of the task's order here
    code = browser.execute_script("return DATA.axes.language[0]")
    assert browser.current_url.endswith(f"#language={code}")
    number = int(texts(browser, "#count")[0].split()[0])
    assert number == len(texts(browser, "#body tr[data-place]")) < 42
    browser.find_element("css selector", "th[data-key=score] button").click()
    values = [float(text) for text in texts(browser, "#body td:nth-child(6)") if text != "—"]
    assert values == sorted(values, reverse=True) and len(values) > 3
    head = browser.find_element("css selector", "th[data-key=score]")
    assert head.get_attribute("aria-sort") == "descending"
    assert browser.current_url.endswith(f"#language={code}&sort=-score")
    browser.find_element("css selector", "th[data-key=score] button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    browser.find_element("id", "clear").click()
    assert texts(browser, "#count") == ["42 of 42 cells"]


@browsing
def test_a_cell_opens_with_all_it_rests_on_and_texts_stay_texts(opened):
    browser = opened()
    browser.find_element("css selector", "#body tr[data-place='3']").click()
    dialog = browser.find_element("id", "detail")
    text = dialog.text
    for part in ("95 % interval", "Seeds", "Diagnostics", "Recipe", "learning rate", "Example predictions", "gold"):
        assert part in text, part
    assert EVIL in text and "✗ wrong" in text and "✗ VERB" in text
    arabic = next(n for n in dialog.find_elements("css selector", "dd") if n.text == ARABIC)
    assert arabic.get_attribute("dir") == "auto" and arabic.get_attribute("lang")
    assert "&cell=" in browser.current_url or "#cell=" in browser.current_url


@browsing
def test_everything_is_done_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened()
    grid = browser.find_element("id", "grid")
    assert grid.get_attribute("role") == "grid" and grid.get_attribute("aria-rowcount") == "43"
    for _ in range(30):
        focused(browser).send_keys(Keys.TAB)
        if focused(browser).get_attribute("id") == "grid":
            break
    assert focused(browser).get_attribute("id") == "grid"
    grid.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP)
    active = browser.find_element("id", grid.get_attribute("aria-activedescendant"))
    assert active.get_attribute("aria-rowindex") == "3" and "active" in active.get_attribute("class")
    outline = browser.execute_script("return getComputedStyle(arguments[0].children[1]).boxShadow", active)
    assert outline != "none"
    grid.send_keys(Keys.END)
    assert grid.get_attribute("aria-activedescendant") == "row-41"
    grid.send_keys(Keys.HOME, Keys.ENTER)
    assert browser.find_element("id", "detail").get_attribute("open")
    assert focused(browser).get_attribute("id") == "close"
    title = browser.find_element("id", "detail-title").text
    focused(browser).send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element("id", "detail-title").text != title
    focused(browser).send_keys(Keys.ESCAPE)
    assert not browser.find_element("id", "detail").get_attribute("open")
    assert focused(browser).get_attribute("id") == "grid"
    assert grid.get_attribute("aria-activedescendant") == "row-1"


@browsing
def test_an_address_opens_filters_order_and_cell(opened):
    browser = opened("#model=large&intermediate=mnli,qqp&sort=-gain&cell=large/mnli/xnli/de")
    assert texts(browser, "#count") == ["14 of 42 cells"]
    assert "MNLI → XNLI, German" in browser.find_element("id", "detail-title").text
    assert [box.text for box in browser.find_elements("css selector", "summary")][:2] == [
        "Model: large",
        "Intermediate: 2 of 3",
    ]
    still_open = browser.execute_async_script(
        "const done = arguments[0]; addEventListener('hashchange', () => done(dialog.open), {once: true});"
        "location.hash = '#model=nobody&cell=no/such/cell/here'"
    )
    assert still_open is False
    assert texts(browser, "#count") == ["42 of 42 cells"]


@browsing
def test_on_paper_all_rows_are_there(opened):
    browser = opened()
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert len(browser.find_elements("css selector", "#body tr[data-place]")) == 42
    browser.execute_script("dispatchEvent(new Event('afterprint'))")


@browsing
def test_twenty_thousand_cells_are_one_small_page_that_shows_few_of_them_at_once(browser, tmp_path):
    from stiltgrid.config import validate

    grid = Grid(validate(MANY))
    path = tmp_path / "many.html"
    path.write_text(page(data(grid)), encoding="utf-8")
    assert path.stat().st_size < 12e6
    browser.get(path.as_uri())
    assert texts(browser, "#count") == ["21,600 of 21,600 cells"]
    assert 10 < len(browser.find_elements("css selector", "#body tr")) < 100
    browser.execute_script("scroll.scrollTop = 300000; draw()")
    shown = browser.find_elements("css selector", "#body tr[data-place]")
    assert 9000 < int(shown[0].get_attribute("aria-rowindex")) < 9100
    browser.execute_script("document.querySelector('th[data-key=gain] button').click()")
    assert browser.find_element("css selector", "#body td:nth-child(8)").text == "+8.00"
    assert browser.get_log("browser") == []
