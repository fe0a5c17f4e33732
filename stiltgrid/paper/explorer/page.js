// The explorer. It filters, sorts and shows what the analysis found, and computes no statistics. All texts reach the page
// as text nodes, never as HTML: predictions are made by models and may hold anything.
"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const R = DATA.rows, TOTAL = R.model.length, ROW = 33, AXES = ["model", "intermediate", "target", "language"];
const PRINTED = 3000; // rows on paper at most
const byId = (id) => document.getElementById(id);
const MINUS = "\u2212", DASH = "\u2014";

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// names

const languageNames = typeof Intl.DisplayNames === "function" ? new Intl.DisplayNames(["en"], {type: "language"}) : null;
function languageName(code) {
  try {
    return languageNames.of(code);
  } catch {
    return code; // a code that the browser does not know
  }
}
const title = (axis, k) => (axis === "language" ? languageName(DATA.axes.language[k]) : DATA.titles[axis][k]);
const metrics = (row) => DATA.metrics[DATA.axes.target[R.target[row]]];
const nameOf = (row) => AXES.map((axis) => DATA.axes[axis][R[axis][row]]).join("/");
const numberOf = new Map();
for (let row = 0; row < TOTAL; row++) numberOf.set(nameOf(row), row);

function points(value, signed) {
  if (value === null || value === undefined) return DASH;
  const text = Math.abs(value).toFixed(2);
  if (Number(text) === 0) return "0.00";
  return (value < 0 ? MINUS : signed ? "+" : "") + text;
}
const interval = (low, high, signed) => (low === null ? DASH : `${points(low, signed)} to ${points(high, signed)}`);
const probability = (p) => (p === null ? DASH : p < 0.0005 ? "p < 0.001" : `p = ${p.toFixed(3)}`);

// columns: label, what it is sorted by, text of a row; extra ones are left out on a narrow screen

const seedsText = (row) => `${R.have[row]}/${R.of[row]}`;
const COLUMNS = [
  {key: "model", label: "Model", width: 14},
  {key: "intermediate", label: "Intermediate", width: 12},
  {key: "target", label: "Target", width: 10},
  {key: "language", label: "Language", width: 10},
  {key: "metric", label: "Metric", width: 13, extra: true, text: (row) => metrics(row).score},
  {key: "score", label: "Score", width: 7, number: true, text: (row) => points(R.score[row])},
  {key: "low", label: `${DATA.confidence} interval of the score`, short: `Score, ${DATA.confidence}`, width: 12, number: true, extra: true,
    text: (row) => interval(R.low[row], R.high[row])},
  {key: "gain", label: "Gain", width: 8, number: true, text: (row) => points(R.gain[row], true)},
  {key: "gain_low", label: `${DATA.confidence} interval of the gain`, short: `Gain, ${DATA.confidence}`, width: 14, number: true, extra: true,
    text: (row) => interval(R.gain_low[row], R.gain_high[row], true)},
  {key: "have", label: "Seeds", width: 7, number: true, extra: true, text: seedsText},
  {key: "status", label: "Status", width: 9, extra: true, text: (row) => DATA.statuses[R.status[row]]},
];
for (const column of COLUMNS) if (AXES.includes(column.key)) column.text = (row) => title(column.key, R[column.key][row]);
const strongest = R.gain.reduce((most, gain) => Math.max(most, Math.abs(gain ?? 0)), 0);

function shade(cell, gain) {
  if (!gain || !strongest) return;
  cell.style.backgroundColor = `rgba(var(--${gain > 0 ? "up" : "down"}), ${(0.6 * Math.abs(gain)) / strongest})`;
}

// state, and the address that holds it

const state = {filters: {}, sort: null, descending: false, open: null};
let order = [], active = 0;

function write() {
  const found = new URLSearchParams();
  for (const axis of AXES) if (state.filters[axis]) found.set(axis, [...state.filters[axis]].map((k) => DATA.axes[axis][k]).join(","));
  if (state.sort) found.set("sort", (state.descending ? "-" : "") + state.sort);
  if (state.open !== null) found.set("cell", nameOf(state.open));
  const text = found.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
  if (`#${text}` === location.hash || (!text && !location.hash)) return;
  try {
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  } catch {
    // shown inside another page, such as Snakemake's report: no address of its own
  }
}

function read() {
  const found = new URLSearchParams(location.hash.slice(1));
  for (const axis of AXES) {
    const names = (found.get(axis) ?? "").split(",").map((name) => DATA.axes[axis].indexOf(name)).filter((k) => k >= 0);
    state.filters[axis] = names.length ? new Set(names) : null;
  }
  const sort = found.get("sort") ?? "";
  state.descending = sort.startsWith("-");
  const key = sort.replace(/^-/, "");
  state.sort = COLUMNS.some((column) => column.key === key) ? key : null;
  const row = numberOf.get(found.get("cell") ?? "");
  state.open = row === undefined ? null : row;
}

// filter and sort

function ranks(texts) {
  const sorted = [...new Set(texts)].sort((a, b) => a.localeCompare(b));
  const place = new Map(sorted.map((text, k) => [text, k]));
  return texts.map((text) => place.get(text));
}
const RANKS = Object.fromEntries(AXES.map((axis) => [axis, ranks(DATA.axes[axis].map((_, k) => title(axis, k)))]));
const STATUS_RANKS = ranks(DATA.statuses);
const METRIC_RANKS = ranks(DATA.axes.target.map((name) => DATA.metrics[name].score));

function keys(sort) {
  if (AXES.includes(sort)) return R[sort].map((k) => RANKS[sort][k]);
  if (sort === "status") return R.status.map((k) => STATUS_RANKS[k]);
  if (sort === "metric") return R.target.map((k) => METRIC_RANKS[k]);
  return R[sort];
}

function arrange() {
  const kept = order.length ? order[active] : null;
  const chosen = AXES.filter((axis) => state.filters[axis]);
  order = [];
  for (let row = 0; row < TOTAL; row++) if (chosen.every((axis) => state.filters[axis].has(R[axis][row]))) order.push(row);
  if (state.sort) {
    const key = keys(state.sort), sign = state.descending ? -1 : 1;
    order.sort((a, b) => {
      // rows without a number come last, whichever way the order runs
      if (key[a] === null || key[b] === null) return (key[a] === null) - (key[b] === null) || a - b;
      return sign * (key[a] - key[b]) || a - b;
    });
  }
  active = Math.max(0, kept === null ? 0 : order.indexOf(kept));
  byId("count").textContent = `${order.length.toLocaleString("en")} of ${TOTAL.toLocaleString("en")} cells`;
  byId("grid").setAttribute("aria-rowcount", order.length + 1);
  for (const cell of byId("head").children) {
    const own = cell.dataset.key === state.sort;
    cell.setAttribute("aria-sort", !own ? "none" : state.descending ? "descending" : "ascending");
    cell.querySelector(".arrow").textContent = !own ? "" : state.descending ? " \u25BC" : " \u25B2";
  }
  for (const axis of AXES) showFilter(axis);
  write();
  draw(true);
}

// the table: only the rows in sight are in the page

const scroll = byId("scroll"), body = byId("body");
let drawn = "", printing = false;

function tableRow(place) {
  const row = order[place];
  const line = make("tr", {id: `row-${row}`, "aria-rowindex": place + 2, className: place === active ? "active" : ""});
  line.dataset.place = place;
  for (const column of COLUMNS) {
    const text = column.text(row);
    const cell = make("td", {className: [column.number ? "number" : "", column.extra ? "extra" : ""].join(" ").trim()}, text);
    if (column.key === "gain") shade(cell, R.gain[row]);
    if (column.key === "status") {
      cell.classList.add(`status-${text}`);
      cell.title = DATA.reasons[R.reason[row]] || text;
    } else if (!column.number) cell.title = column.key === "language" ? DATA.axes.language[R.language[row]] : text;
    line.append(cell);
  }
  return line;
}

function spacer(rows) {
  const cell = make("td", {colSpan: COLUMNS.length});
  cell.style.height = `${rows * ROW}px`;
  return make("tr", {className: "spacer", "aria-hidden": "true"}, cell);
}

function draw(afresh = false) {
  const first = printing ? 0 : Math.max(0, Math.floor(scroll.scrollTop / ROW) - 10);
  const many = printing ? PRINTED : Math.ceil(scroll.clientHeight / ROW) + 20;
  const last = Math.min(order.length, first + many);
  const range = `${first}-${last}-${active}`;
  if (!afresh && range === drawn) return;
  drawn = range;
  const lines = [];
  if (first > 0) lines.push(spacer(first));
  for (let place = first; place < last; place++) lines.push(tableRow(place));
  if (last < order.length && !printing) lines.push(spacer(order.length - last));
  if (last < order.length && printing) {
    lines.push(make("tr", {}, make("td", {colSpan: COLUMNS.length}, `\u2026 and ${order.length - last} more: filter first`)));
  }
  if (!order.length) lines.push(make("tr", {}, make("td", {colSpan: COLUMNS.length}, "No cell has all of these: clear a filter.")));
  body.replaceChildren(...lines);
  const shown = order.length && active >= first && active < last;
  if (shown) byId("grid").setAttribute("aria-activedescendant", `row-${order[active]}`);
  else byId("grid").removeAttribute("aria-activedescendant");
}

function reveal() {
  const head = byId("head").offsetHeight, top = active * ROW, room = scroll.clientHeight - head;
  if (top < scroll.scrollTop) scroll.scrollTop = top;
  else if (top + ROW > scroll.scrollTop + room) scroll.scrollTop = top + ROW - room;
}

function move(to) {
  if (!order.length) return;
  active = Math.min(order.length - 1, Math.max(0, to));
  reveal();
  draw();
}

// filters

function showFilter(axis) {
  const box = byId(`filter-${axis}`), chosen = state.filters[axis];
  const what = !chosen ? "all" : chosen.size === 1 ? title(axis, [...chosen][0]) : `${chosen.size} of ${DATA.axes[axis].length}`;
  box.querySelector("summary").textContent = `${COLUMNS.find((column) => column.key === axis).label}: ${what}`;
  for (const input of box.querySelectorAll("input")) input.checked = Boolean(chosen?.has(Number(input.value)));
}

function buildFilters() {
  for (const axis of AXES) {
    const label = COLUMNS.find((column) => column.key === axis).label;
    const places = DATA.axes[axis].map((_, k) => k).sort((a, b) => (axis === "language" ? RANKS.language[a] - RANKS.language[b] : a - b));
    const choices = places.map((k) => make("label", {}, make("input", {type: "checkbox", value: k, name: axis}), ` ${title(axis, k)}`));
    const box = make("details", {id: `filter-${axis}`, className: "filter"},
      make("summary", {}), make("fieldset", {"aria-label": `${label}: none ticked shows all`}, ...choices));
    box.addEventListener("change", () => {
      const chosen = [...box.querySelectorAll("input:checked")].map((input) => Number(input.value));
      state.filters[axis] = chosen.length ? new Set(chosen) : null;
      scroll.scrollTop = 0;
      arrange();
    });
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !box.open) return;
      box.open = false;
      box.querySelector("summary").focus();
    });
    box.addEventListener("toggle", () => {
      if (!box.open) return;
      for (const other of document.querySelectorAll("details.filter[open]")) if (other !== box) other.open = false;
    });
    byId("filters").append(box);
  }
  document.addEventListener("click", (event) => {
    for (const box of document.querySelectorAll("details.filter[open]")) if (!box.contains(event.target)) box.open = false;
  });
}

// the detail of a cell

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
    list.append(make("dt", {}, "gold"), make("dd", {lang: code, dir: "auto"}, example.gold.join(" | ")));
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
  const baseline = DATA.axes.intermediate[R.intermediate[row]] === DATA.baseline;
  if (R.reason[row] !== null && DATA.reasons[R.reason[row]]) {
    parts.push(make("p", {className: `status-${DATA.statuses[R.status[row]]}`}, `${DATA.statuses[R.status[row]]}: ${DATA.reasons[R.reason[row]]}`));
  }
  parts.push(make("div", {className: "figures"},
    figure(`Score: ${about.score}`, points(R.score[row]), `${DATA.confidence} interval ${interval(R.low[row], R.high[row])}`,
      `${about.split} split, ${code === about.source ? "the training language" : `trained on ${languageName(about.source)}`}`),
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

// head, keyboard, mouse, print

function buildHead() {
  for (const column of COLUMNS) {
    const button = make("button", {type: "button", title: `sort by ${column.label}`}, column.short ?? column.label, make("span", {className: "arrow", "aria-hidden": "true"}));
    if (column.short) button.setAttribute("aria-label", column.label);
    const cell = make("th", {scope: "col", className: [column.number ? "number" : "", column.extra ? "extra" : ""].join(" ").trim()}, button);
    cell.dataset.key = column.key;
    cell.style.setProperty("--width", `${column.width}%`);
    button.addEventListener("click", () => {
      // numbers first from the top: ascending, descending, then the grid's own order
      const down = Boolean(column.number);
      if (state.sort !== column.key) [state.sort, state.descending] = [column.key, down];
      else if (state.descending === down) state.descending = !down;
      else [state.sort, state.descending] = [null, false];
      scroll.scrollTop = 0;
      arrange();
    });
    byId("head").append(cell);
  }
}

byId("grid").addEventListener("keydown", (event) => {
  if (event.target !== byId("grid")) return; // a button of the head
  const page = Math.max(1, Math.floor(scroll.clientHeight / ROW) - 2);
  const to = {ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: order.length - 1}[event.key];
  if (to !== undefined) move(to);
  else if ((event.key === "Enter" || event.key === " ") && order.length) open(order[active]);
  else return;
  event.preventDefault();
});
body.addEventListener("click", (event) => {
  const line = event.target.closest("tr[data-place]");
  if (line) open(order[Number(line.dataset.place)]);
});
byId("clear").addEventListener("click", () => {
  for (const axis of AXES) state.filters[axis] = null;
  arrange();
});
let waiting = false;
scroll.addEventListener("scroll", () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
});
new ResizeObserver(() => draw()).observe(scroll);
addEventListener("beforeprint", () => {
  printing = true;
  draw(true);
});
addEventListener("afterprint", () => {
  printing = false;
  draw(true);
});
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
