// The detail of a cell, and the start of the page. Comes after table.js, in one script with it.

const plainTable = (head, rows, numbers = []) =>
  make("div", {className: "wide"}, make("table", {className: "plain"},
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", {scope: "col"}, text)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value, k) =>
      make("td", {className: numbers.includes(k) ? "number" : ""}, value instanceof Node ? value : String(value))))))));

function figure(label, value, range, note) {
  return make("div", {className: "figure"}, label, make("b", {}, value), make("div", {}, range), make("div", {className: "soft"}, note));
}

function strip(row, values) {
  const all = [...values, R.low[row], R.high[row], R.score[row]].filter((value) => value !== null);
  const low = Math.min(...all), high = Math.max(...all), room = (high - low || 1) * 0.08;
  const at = (value) => 20 + (560 * (value - low + room)) / (high - low + 2 * room || 1);
  const NS = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(NS, "svg");
  const add = (tag, attributes, text = "") => {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.textContent = text;
    svg.append(node);
  };
  svg.setAttribute("viewBox", "0 0 600 46");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `mean ${points(R.score[row])}, interval ${interval(R.low[row], R.high[row])}, seeds ${values.map((v) => points(v)).join(", ")}`);
  add("line", {x1: 20, x2: 580, y1: 20, y2: 20});
  if (R.low[row] !== null) add("line", {x1: at(R.low[row]), x2: at(R.high[row]), y1: 20, y2: 20, class: "range"});
  for (const value of values) add("circle", {cx: at(value), cy: 20, r: 5});
  if (R.score[row] !== null) add("circle", {cx: at(R.score[row]), cy: 20, r: 4, class: "mean"});
  add("text", {x: at(low), y: 42, "text-anchor": low === high ? "middle" : "start"}, points(low));
  if (low !== high) add("text", {x: at(high), y: 42, "text-anchor": "end"}, points(high));
  return svg;
}

const share = (value) => (value === null ? DASH : `${value.toFixed(1)} %`);
const short = (hash) => (hash ? make("code", {title: hash}, hash.slice(0, 12)) : DASH);

function settingsTable(number) {
  const rows = DATA.settings[number].map(([name, value]) => [name.replaceAll("_", " "), value]);
  return rows.length ? plainTable(["setting", "value"], rows) : make("p", {className: "soft"}, "none");
}

function exampleBox(k, code) {
  const example = DATA.texts[DATA.examples.text[k]], said = DATA.said[DATA.examples.said[k]], right = DATA.examples.right[k];
  const verdict = right === null ? null : make("span", {className: right ? "right" : "wrong"}, right ? "\u2713 right" : "\u2717 wrong");
  const list = make("dl", {});
  if (example.words) {
    const words = example.words.map((word, at) => make("span", {}, make("span", {lang: code, dir: "auto"}, word),
      make("small", {title: "gold"}, example.tags[at]),
      make("small", {className: said[at] === example.tags[at] ? "" : "wrong", title: "predicted"}, said[at] === example.tags[at] ? "" : `\u2717 ${said[at]}`)));
    list.append(make("dt", {}, "words, gold tags, wrong tags"), make("dd", {dir: "auto", lang: code}, make("div", {className: "words"}, ...words)));
  } else {
    for (const [name, text] of example.fields) list.append(make("dt", {}, name.replaceAll("_", " ")), make("dd", {lang: code, dir: "auto"}, text));
    list.append(make("dt", {}, "gold"), make("dd", {lang: code, dir: "auto"}, example.gold.join(" | ") || "(no answer)"));
    // a model may answer in any language
    list.append(make("dt", {}, "predicted"), make("dd", {dir: "auto", className: right === null ? "" : right ? "right" : "wrong"}, said || "(empty)"));
  }
  return make("article", {className: "example"}, make("h4", {}, `example ${example.id}`, verdict), list);
}

function content(row) {
  const about = metrics(row), code = DATA.axes.language[R.language[row]];
  const from = R.seed[row], to = R.seed[row + 1];
  const seeds = [...Array(to - from).keys()].map((k) => from + k);
  const done = seeds.filter((k) => DATA.seeds.values[k].some((value) => value !== null));
  const parts = [];
  const trained = about.kind === "retrieval" ? "not trained on" : code === about.source ? "the training language"
    : `trained on ${languageName(about.source)}`;
  const baseline = DATA.axes.intermediate[R.intermediate[row]] === DATA.baseline;
  if (R.reason[row] !== null && DATA.reasons[R.reason[row]]) {
    parts.push(make("p", {className: `status-${DATA.statuses[R.status[row]]}`}, `${DATA.statuses[R.status[row]]}: ${DATA.reasons[R.reason[row]]}`));
  }
  parts.push(make("div", {className: "figures"},
    figure(`Score: ${about.score}`, points(R.score[row]), `${DATA.confidence} interval ${interval(R.low[row], R.high[row])}`,
      `${about.split} split, ${trained}`),
    baseline ? null : figure("Gain over the row without an intermediate task", points(R.gain[row], true),
      `${DATA.confidence} interval ${interval(R.gain_low[row], R.gain_high[row], true)}`, R.p[row] === null ? "" : probability(R.p[row]))));
  if (DATA.notes[R.note[row]]) parts.push(make("p", {className: "soft"}, `${DATA.notes[R.note[row]]}.`));
  if (done.length) {
    // a target's first metric is its score unless the config says otherwise: the strip shows that one
    const main = done.map((k) => DATA.seeds.values[k][0]).filter((value) => value !== null);
    if (about.score === about.all[0] && main.length) parts.push(strip(row, main));
    parts.push(make("h3", {}, "Seeds"));
    parts.push(plainTable(["seed", ...about.all, "examples", "recipe", "commit"], seeds.map((k) => {
      const run = DATA.seeds.run[k];
      const commit = run === null ? "" : DATA.run_texts[DATA.runs.commit[run]];
      const collapsed = run !== null && DATA.runs.collapsed[run] ? " (learned nothing)" : "";
      return [`${DATA.seeds.seed[k]}${collapsed}`, ...DATA.seeds.values[k].map((value) => points(value)), DATA.seeds.examples[k] ?? DASH,
        run === null ? DASH : short(DATA.runs.hash[run]), commit ? make("code", {title: commit}, commit.slice(0, 10) + (commit.includes(" ") ? "*" : "")) : DASH];
    }), [...about.all.keys()].map((k) => k + 1).concat(about.all.length + 1)));
    parts.push(make("h3", {}, "Diagnostics"));
    const known = DATA.diagnostics.map((about, d) => [about, done.map((k) => DATA.shares[DATA.seeds.shares[k]][d])])
      .filter(([, values]) => values.some((value) => value !== null));
    parts.push(known.length ? plainTable(["share of outputs", ...done.map((k) => `seed ${DATA.seeds.seed[k]}`), ""],
      known.map(([[name, meaning], values]) => [name, ...values.map(share), make("span", {className: "soft"}, meaning)]),
      done.map((_, k) => k + 1)) : make("p", {className: "soft"}, "none applies"));
  }
  const run = seeds.map((k) => DATA.seeds.run[k]).find((k) => k !== null);
  if (run !== undefined) {
    parts.push(make("h3", {}, "Recipe"));
    parts.push(make("p", {}, "Pretrained: ", make("code", {}, DATA.run_texts[DATA.runs.source[run]] || DASH),
      ". Recipe hash: ", make("code", {}, DATA.runs.hash[run] || DASH)));
    parts.push(make("details", {open: true}, make("summary", {}, "Target task"), settingsTable(DATA.runs.settings[run])));
    if (DATA.runs.before_hash[run]) parts.push(make("details", {}, make("summary", {}, "Intermediate task"),
      make("p", {}, "Recipe hash: ", make("code", {}, DATA.runs.before_hash[run])), settingsTable(DATA.runs.before[run])));
    parts.push(make("details", {}, make("summary", {}, "What the training did"), settingsTable(DATA.runs.trained[run])));
  }
  const examples = [...Array(R.example[row + 1] - R.example[row]).keys()].map((k) => R.example[row] + k);
  if (examples.length) {
    parts.push(make("h3", {}, "Example predictions"));
    parts.push(make("p", {className: "soft"}, `Of seed ${R.shown_seed[row]}, chosen by a seeded rule, not by hand; long texts are cut.`));
    parts.push(...examples.map((k) => exampleBox(k, code)));
  }
  return parts.filter((part) => part !== null);
}

const dialog = byId("detail");
function open(row) {
  state.open = row;
  const place = order.indexOf(row);
  if (place >= 0) move(place);
  byId("detail-title").textContent = `${title("model", R.model[row])}, ${title("intermediate", R.intermediate[row])} \u2192 `
    + `${title("target", R.target[row])}, ${title("language", R.language[row])}`;
  byId("content").replaceChildren(...content(row));
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place >= order.length - 1;
  if (!dialog.open) {
    dialog.showModal();
    byId("close").focus();
  }
  dialog.scrollTop = 0;
  write();
}
function step(by) {
  const place = order.indexOf(state.open) + by;
  if (order.includes(state.open) && place >= 0 && place < order.length) open(order[place]);
}
dialog.addEventListener("close", () => {
  state.open = null;
  write();
  byId("grid").focus({preventScroll: true});
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // the backdrop
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
byId("close").addEventListener("click", () => dialog.close());
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));

function follow() {
  read();
  arrange();
  if (state.open !== null) open(state.open);
  else if (dialog.open) dialog.close();
}
addEventListener("hashchange", follow);
buildHead();
buildFilters();
follow();
