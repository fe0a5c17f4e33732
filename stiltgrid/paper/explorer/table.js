// The explorer's table. It filters, sorts and shows what the analysis found, and computes no statistics. All texts reach the page
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
  {key: "intermediate", label: "Intermediate", width: 12.5},
  {key: "target", label: "Target", width: 9},
  {key: "language", label: "Language", width: 10},
  {key: "metric", label: "Metric", width: 12, extra: true, text: (row) => metrics(row).score},
  {key: "score", label: "Score", width: 7, number: true, text: (row) => points(R.score[row])},
  {key: "low", label: `${DATA.confidence} interval of the score`, short: `Score, ${DATA.confidence}`, width: 14, number: true, extra: true,
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
