// The districts and their totals, from GET /api/matching/board, asked for every two seconds.

import { byId, el, svg, write } from "./dom.js";
import { count, districtName, language, names } from "./locale.js";
import { age, say, seconds, timeOfDay } from "./words.js";

const GOAL_MS = 3000; // an offer within three seconds (FEATURES F1)
const OLD_AFTER_MS = 8000;
const REMEMBER_MS = 5 * 60_000;
const BUCKET_MS = 10_000;

let board = null; // the last answer
let movedAt = null; // when its `at` last changed, by this browser's clock
let trouble = null; // why the last question failed
const openedAt = Date.now();
const history = new Map(); // district or "all" -> [[time, placements]…]
const rows = new Map();

export async function askBoard() {
  try {
    const answer = await fetch("/api/matching/board", { signal: AbortSignal.timeout(4000), cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const news = await answer.json();
    if (news.at !== board?.at) movedAt = Date.now();
    board = news;
    trouble = null;
    remember();
  } catch (error) {
    trouble = /^\d{3}$/.test(error.message) ? `HTTP ${error.message}` : say("no-answer");
  }
  showBoard();
}

/** What the figures are worth: connecting, live, stale or away. */
function state() {
  const since = movedAt === null ? null : Date.now() - movedAt;
  if (since !== null && since < OLD_AFTER_MS) return ["live", say("live", { age: age(since) })];
  if (since !== null) return ["stale", say("stale", { age: age(since) })];
  return trouble ? ["away", say("away", { why: trouble })] : ["connecting", say("connecting")];
}

export function showState() {
  const [name, text] = state();
  byId("state").dataset.state = name;
  write(byId("state-text"), text);
  document.body.classList.toggle("stale-data", name === "stale");
  write(byId("clock"), timeOfDay(new Date()).slice(0, 5));
}

function remember() {
  const now = Date.now();
  const note = (key, placements) => {
    const kept = history.get(key) ?? [];
    kept.push([now, placements]);
    while (kept.length > 1 && now - kept[1][0] > REMEMBER_MS) kept.shift();
    history.set(key, kept);
  };
  for (const d of board.districts) note(d.district, d.placements);
  note("all", sum("placements"));
}

const sum = (field, districts = board.districts) => districts.reduce((total, d) => total + d[field], 0);

/** How many placements were added between each two notes, never less than none (a counter may start again). */
function added(key) {
  const kept = history.get(key) ?? [];
  return kept.slice(1).map(([time, n], i) => [time, Math.max(0, n - kept[i][1])]);
}

export function showBoard() {
  showState();
  showTotals();
  showDistricts();
}

function showTotals() {
  const figures = board ? totals() : ["waiting", "seats", "offers", "placements", "speed"].map((key) => [key, null, ""]);
  byId("totals").replaceChildren(
    ...figures.map(([key, figure, note, unit, slow]) =>
      el("div", { id: `total-${key}` },
        el("dt", {}, say(key)),
        el("dd", { class: `figure ${figure === null ? "none" : slow ? "slow" : ""}` }, figure ?? "–", unit ? el("small", {}, unit) : null),
        el("dd", { class: "note" }, note))),
  );
}

function totals() {
  const waiting = sum("waiting"), seats = sum("open_seats");
  const timed = board.districts.filter((d) => d.check_in_to_offer_ms.count);
  const slowest = timed.reduce((a, d) => (!a || d.check_in_to_offer_ms.p95 > a.check_in_to_offer_ms.p95 ? d : a), null);
  const minutes = Math.min(5, Math.max(1, Math.round((Date.now() - openedAt) / 60_000)));
  const fresh = added("all").reduce((total, [, n]) => total + n, 0);
  return [
    ["waiting", count(waiting), say("in-districts", { count: board.districts.length })],
    ["seats", count(seats), seats ? say("per-seat", { ratio: (waiting / seats).toFixed(1) }) : say("no-seats")],
    ["offers", count(sum("offers_open")), ""],
    ["placements", count(sum("placements")), say("recent", { count: count(fresh), minutes })],
    slowest
      ? ["speed", seconds(slowest.check_in_to_offer_ms.p95), say("slowest", { district: districtName(slowest.district) }), language === "zh" ? "秒" : "s", slowest.check_in_to_offer_ms.p95 > GOAL_MS]
      : ["speed", null, say("no-speed")],
  ];
}

const COLUMNS = [
  ["short-waiting", "waiting", "waiting"],
  ["short-seats", "open_seats", "seats"],
  ["short-offers", "offers_open", ""],
  ["short-placements", "placements", ""],
];

/** Head and empty rows anew: at the start, in another language, and when a district comes or goes. */
export function layBoard() {
  const table = byId("board-head").parentElement;
  byId("board-head").replaceChildren(
    el("tr", {},
      el("th", { scope: "col" }, say("district")),
      ...COLUMNS.map(([label]) => el("th", { scope: "col" }, say(label))),
      el("th", { scope: "col", class: "trend" }, say("trend")),
      el("th", { scope: "col", class: "speed" },
        el("div", {}, el("span", { class: "scale" }, el("span", {}, "0"), el("span", {}, `${GOAL_MS / 1000} s`)), el("span", {}, say("p50")), el("span", {}, say("p95"))))),
  );
  for (const body of table.querySelectorAll("tbody")) body.remove();
  rows.clear();
  const areas = new Map();
  for (const code of codes()) {
    const area = names.districts.get(code)?.area[language] ?? "";
    if (!areas.has(area)) areas.set(area, []);
    areas.get(area).push(code);
  }
  for (const [area, members] of areas) {
    table.append(el("tbody", {},
      area ? el("tr", { class: "area" }, el("th", { scope: "rowgroup", colSpan: COLUMNS.length + 3 }, area)) : null,
      ...members.map(layRow)));
  }
}

/** The districts we have names for, in their order, and any other the board speaks of. */
function codes() {
  const known = [...names.districts.keys()];
  const said = board ? board.districts.map((d) => d.district) : [];
  return [...known, ...said.filter((code) => !names.districts.has(code))];
}

function layRow(code) {
  const cells = Object.fromEntries(COLUMNS.map(([label, field, bar]) => {
    const number = el("span", {}, "–");
    const fill = bar ? el("i", { style: { width: "0" } }) : null;
    const cell = el("td", { class: `${bar || "plain"} none`, "data-label": say(label) }, number, fill && el("span", { class: "bar" }, fill));
    return [field, { cell, number, fill }];
  }));
  const line = svg("path", { d: "" });
  const parts = {
    span: el("span", { class: "span", hidden: true }), mid: el("span", { class: "mid", hidden: true }),
    goal: el("span", { class: "goal", hidden: true }), p50: el("span", { "data-label": say("p50") }, "–"), p95: el("span", { "data-label": say("p95") }, "–"),
  };
  const speed = el("td", { class: "speed none", "data-label": say("speed") },
    el("div", {}, el("span", { class: "range" }, parts.goal, parts.span, parts.mid), parts.p50, parts.p95));
  const trend = el("td", { class: "trend" },
    svg("svg", { viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("line", { x1: 0, x2: 100, y1: 23, y2: 23 }), line));
  rows.set(code, { cells, line, speed, ...parts });
  return el("tr", { id: `district-${code}` },
    el("th", { scope: "row" }, districtName(code)), ...Object.values(cells).map((c) => c.cell), trend, speed);
}

function showDistricts() {
  if (codes().some((code) => !rows.has(code)) || rows.size > codes().length) layBoard();
  if (!board) return;
  const most = Object.fromEntries(COLUMNS.map(([, field]) => [field, Math.max(1, ...board.districts.map((d) => d[field]))]));
  const said = new Map(board.districts.map((d) => [d.district, d]));
  for (const [code, row] of rows) {
    const d = said.get(code);
    for (const [field, { cell, number, fill }] of Object.entries(row.cells)) {
      write(number, d ? count(d[field]) : "–");
      cell.classList.toggle("none", !d || d[field] === 0);
      if (fill) fill.style.width = `${d ? (100 * d[field]) / most[field] : 0}%`;
    }
    row.line.setAttribute("d", d ? trendOf(code) : "");
    showSpeed(row, d?.check_in_to_offer_ms);
  }
}

function showSpeed(row, times) {
  const known = !!times?.count;
  row.speed.classList.toggle("none", !known);
  for (const part of [row.span, row.mid, row.goal]) part.hidden = !known;
  write(row.p50, known ? seconds(times.p50) : "–");
  write(row.p95, known ? seconds(times.p95) : "–");
  row.p95.classList.toggle("slow", known && times.p95 > GOAL_MS);
  if (!known) return;
  const at = (ms) => `${Math.min(100, (100 * ms) / GOAL_MS)}%`;
  row.mid.style.left = at(times.p50);
  row.span.style.left = at(times.p50);
  row.span.style.width = `calc(${at(times.p95)} - ${at(times.p50)})`;
  row.goal.style.left = "100%";
}

/** Placements of the last five minutes in steps of ten seconds, as the path of a line 100 wide and 24 high. */
function trendOf(code) {
  const steps = REMEMBER_MS / BUCKET_MS, now = Math.floor(Date.now() / BUCKET_MS);
  const known = history.get(code);
  const from = Math.max(0, steps - 1 - (now - Math.floor(known[0][0] / BUCKET_MS)));
  const heights = new Array(steps).fill(0);
  for (const [time, n] of added(code)) {
    const i = steps - 1 - (now - Math.floor(time / BUCKET_MS));
    if (i >= 0) heights[i] += n;
  }
  const top = Math.max(3, ...heights);
  const points = heights.slice(from).map((n, i) => `${((from + i) * 100) / (steps - 1)} ${23 - (21 * n) / top}`);
  return points.length > 1 ? `M${points.join("L")}` : "";
}
