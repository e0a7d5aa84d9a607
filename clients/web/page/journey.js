// One journey as a waterfall: each step with its service, when it began and how long it took. Long spells before a
// person's next act are drawn as narrow breaks with their true length written on them; the market's own time is to scale.

import { byId, el, write } from "./dom.js";
import { count } from "./locale.js";
import { say, serviceClass, serviceName, timeOfDay, took } from "./words.js";

const HOLD_MS = 12_000; // a journey stays on show this long, so that people can read it
const BREAK_PERCENT = 6;

let shown = null;
let shownAt = 0;
let chosen = false; // somebody asked for this one
let gone = false;

export async function askJourney() {
  if (chosen || (shown && Date.now() - shownAt < HOLD_MS)) return;
  const answer = await ask("/live/journey");
  if (answer?.journey && !chosen) put(answer.journey);
  else if (!shown) showJourney();
}

/** Show the trace of an event, and stay with it. */
export async function openTrace(id) {
  chosen = true;
  gone = false;
  const trace = await ask(`/live/traces/${id}?folded=true`);
  if (trace) put(trace);
  else { gone = true; showJourney(); }
  document.querySelector(".journey").scrollIntoView({ block: "nearest", behavior: "smooth" });
}

export function backToLatest() {
  chosen = false;
  gone = false;
  shownAt = 0;
  showJourney();
  askJourney();
}

async function ask(path) {
  try {
    const answer = await fetch(path, { signal: AbortSignal.timeout(4000), cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

function put(trace) {
  const same = shown && shown.trace_id === trace.trace_id && shown.span_count === trace.span_count;
  shown = trace;
  shownAt = Date.now();
  if (!same || chosen) showJourney();
}

export function showJourney() {
  const there = shown && !gone;
  byId("journey-latest").hidden = !chosen;
  write(byId("journey-empty"), gone ? say("journey-gone") : shown ? "" : say("journey-wait"));
  write(byId("journey-aside"), there ? say("journey-aside", {
    time: timeOfDay(new Date(shown.started_at)), services: shown.services.length, spans: count(shown.span_count), took: took(shown.duration_us / 1000),
  }) : "");
  byId("journey-path").replaceChildren(...(there ? path() : []));
  byId("journey").replaceChildren(...(there ? [waterfall()] : []));
  fade();
}

/** Fade the last visible row where there is more below. */
export function fade() {
  const box = byId("journey");
  box.classList.toggle("more", box.scrollTop + box.clientHeight < box.scrollHeight - 4);
}

/** An open stream or a long wait is no work: it spans most of the journey. */
const waits = (span) => shown.duration_us > 1_000_000 && span.duration_us > shown.duration_us * 0.4;

/** The services in the order in which they first had something to do. */
function services() {
  const work = shown.spans.filter((span) => !waits(span)).sort((a, b) => a.start_us - b.start_us);
  return [...new Set([...work.map((span) => span.service), ...shown.services])];
}

const path = () => services().flatMap((service, i) => [
  i ? el("span", { class: "arrow", "aria-hidden": "true" }, "→") : null,
  el("span", {}, el("span", { class: `dot ${serviceClass(service)}` }), serviceName(service)),
]).filter(Boolean);

/** The rows to draw. A message and who took it up are one row: its `wire_us` is when the message was sent. */
function steps() {
  const sent = []; // messages on the way down to the row at hand
  return shown.spans.flatMap((span, i) => {
    while (sent.length && sent.at(-1).depth >= span.depth) sent.pop();
    const next = shown.spans[i + 1];
    if (span.kind === "producer" && next?.kind === "consumer" && next.depth === span.depth + 1) {
      sent.push(span);
      return [];
    }
    const wire_us = sent.at(-1)?.depth === span.depth - 1 ? sent.at(-1).start_us : undefined;
    return [{ ...span, depth: span.depth - sent.length, wire_us }];
  });
}

function waterfall() {
  const axis = axisOf(shown.spans, shown.duration_us);
  const gaps = () => axis.breaks.map((b) => el("span", { class: "gap", style: { left: `${b.left}%`, width: `${b.width}%` } }));
  return el("div", { class: "fall" },
    el("div", { class: "axis", "aria-hidden": "true" }, el("div"), el("div", {},
      ...axis.ticks.map((t) => el("span", { class: `tick ${t.place}`, style: { left: `${t.left}%` } }, took(t.us / 1000))),
      ...axis.breaks.map((b) => el("span", { class: "gap", style: { left: `${b.left + b.width / 2}%` } }, `⋯ ${took(b.us / 1000)}`))), el("div")),
    ...steps().map((span) => {
      const left = axis.at(span.start_us), end = axis.at(span.start_us + span.duration_us), until = axis.at(span.until_us);
      return el("div", { class: `step ${serviceClass(span.service)} ${span.failed ? "failed" : ""} ${waits(span) ? "waits" : ""}`, title: span.name },
        el("div", { class: "what" },
          ...Array.from({ length: Math.min(span.depth, 8) }, () => el("span", { class: "indent" })),
          el("span", { class: "dot" }), el("b", {}, serviceName(span.service)), el("code", {}, plain(span.name)),
          span.count > 1 ? el("span", { class: "times" }, `×${count(span.count)}`) : null),
        el("div", { class: "lane", "aria-hidden": "true" }, ...gaps(),
          span.wire_us === undefined ? null : el("span", { class: "wire", style: { left: `${axis.at(span.wire_us)}%`, width: `${left - axis.at(span.wire_us)}%` } }),
          until > end ? el("span", { class: "tail", style: { left: `${left}%`, width: `${until - left}%` } }) : null,
          el("span", { class: "bar", style: { left: `min(${left}%, 100% - 3px)`, width: `${end - left}%` } })),
        el("div", { class: "took" }, span.failed ? `${say("failed")} ` : "", took(span.duration_us / 1000)));
    }));
}

/** A span's name without what the service beside it already says: "process matching.offer-made.v1" is "⇠ offer-made". */
function plain(name) {
  const [verb, type] = name.split(" ");
  const event = type?.match(/^[a-z]+\.([a-z-]+)\.v\d+$/)?.[1];
  if (event && verb === "publish") return `⇢ ${event}`;
  if (event && verb === "process") return `⇠ ${event}`;
  return name;
}

/** Where a moment of the journey is drawn, in percent, with long idle spells cut to breaks. */
function axisOf(spans, total) {
  const work = spans.filter((s) => !waits(s)).map((s) => [s.start_us, Math.max(s.start_us + s.duration_us, s.count > 1 ? s.until_us : 0)]).sort((a, b) => a[0] - b[0]);
  const idle = [];
  let end = 0;
  for (const [from, to] of work) {
    if (from > end) idle.push([end, from]);
    end = Math.max(end, to);
  }
  if (end < total) idle.push([end, total]);
  const busy = total - idle.reduce((sum, [from, to]) => sum + to - from, 0);
  const acts = new Set(spans.filter((s) => s.depth === 0).map((s) => s.start_us));
  const cuts = idle.filter(([from, to]) => (acts.has(to) || to === total) && to - from > 250_000 && to - from > busy * 0.15).slice(0, 6);
  const cutTime = cuts.reduce((sum, [from, to]) => sum + to - from, 0);
  const perUs = (100 - BREAK_PERCENT * cuts.length) / Math.max(1, total - cutTime);
  const at = (us) => {
    let left = us * perUs;
    for (const [from, to] of cuts) {
      if (us >= to) left += BREAK_PERCENT - (to - from) * perUs;
      else if (us > from) left += ((us - from) / (to - from)) * BREAK_PERCENT - (us - from) * perUs;
    }
    return Math.min(100, left);
  };
  const breaks = cuts.map(([from, to]) => ({ left: at(from), width: BREAK_PERCENT, us: to - from }));
  const marks = cuts.length ? [0, total] : [0, 0.25, 0.5, 0.75, 1].map((part) => part * total);
  const ticks = marks.map((us, i) => ({ us, left: at(us), place: i === 0 ? "first" : i === marks.length - 1 ? "last" : "" }));
  return { at, breaks, ticks };
}
