// The latest events, from the event stream /live/events. The list holds still while a pointer or the focus is in it.

import { byId, el, write } from "./dom.js";
import { districtName } from "./locale.js";
import { say, serviceClass, serviceName, tell, timeOfDay } from "./words.js";

const SHOWN = 40;
const FRESH_MS = 5000;
const AGAIN_MS = 3000;

let events = []; // the newest first
let held = []; // what came while the list is held
let holding = false;
let broker = "connecting";
let connected = false;
let skipped = 0;
let open = () => {};

export function followEvents(openTrace) {
  open = openTrace;
  connect();
  const list = byId("events");
  const hold = (on) => { holding = on; if (!on) release(); };
  list.addEventListener("pointerenter", (e) => e.pointerType === "mouse" && hold(true));
  list.addEventListener("pointerleave", () => hold(list.matches(":focus-within")));
  list.addEventListener("focusin", () => hold(true));
  list.addEventListener("focusout", (e) => hold(list.contains(e.relatedTarget)));
}

function connect() {
  const source = new EventSource("/live/events");
  source.addEventListener("open", () => { connected = true; showAside(); });
  source.addEventListener("status", (message) => { broker = JSON.parse(message.data).broker; showAside(); });
  source.addEventListener("skipped", (message) => { skipped += JSON.parse(message.data).count; showAside(); });
  source.addEventListener("market", (message) => take(JSON.parse(message.data)));
  source.addEventListener("error", () => {
    connected = false;
    showAside();
    // A broken connection is made again by the browser; an answer such as 503 ends it, and we begin anew.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
  });
}

function take(event) {
  if (events.some((e) => e.id === event.id) || held.some((e) => e.id === event.id)) return;
  if (holding) {
    held = [event, ...held].slice(0, SHOWN);
    showAside();
    return;
  }
  add([event]);
}

function release() {
  if (held.length) add(held);
  held = [];
  showAside();
}

function add(news) {
  const list = byId("events");
  for (const event of news.toReversed()) {
    const alike = events[0] && same(event, events[0]);
    const next = { ...event, times: alike ? events[0].times + 1 : 1 };
    if (alike) { events.shift(); list.firstElementChild.remove(); }
    events = [next, ...events].slice(0, SHOWN);
    list.prepend(line(next, Date.now() - new Date(event.time) < FRESH_MS));
  }
  while (list.children.length > SHOWN) list.lastElementChild.remove();
  showAside();
}

/** Events that read alike, one right after the other, are one line with a number. */
const same = (a, b) => a.type === b.type && a.district === b.district && JSON.stringify(a.summary) === JSON.stringify(b.summary);

/** The list anew, in another language. */
export function showEvents() {
  byId("events").replaceChildren(...events.map((event) => line(event, false)));
  showAside();
}

function line(event, fresh) {
  const said = tell(event);
  const parts = [
    el("time", { dateTime: event.time }, timeOfDay(new Date(event.time))),
    el("span", { class: `dot ${serviceClass(event.service)}`, title: serviceName(event.service) }),
    el("span", { class: "what" }, said.strong ? el("b", {}, said.title) : said.title,
      said.details ? el("span", { class: "more" }, said.details) : null,
      event.times > 1 ? el("span", { class: "times" }, `×${event.times}`) : null),
    el("span", { class: "where" }, event.district ? districtName(event.district) : ""),
  ];
  return el("li", { class: `${fresh ? "fresh" : ""} ${said.quiet ? "quiet" : ""}` },
    event.trace_id
      ? el("button", { type: "button", onclick: () => open(event.trace_id) }, ...parts)
      : el("div", { class: "row" }, ...parts));
}

function showAside() {
  const aside = byId("events-aside");
  const trouble = !connected ? "events-lost" : broker === "away" ? "events-away" : null;
  const text = trouble
    ? say(trouble)
    : held.length ? say("events-held", { count: held.length })
    : skipped ? say("events-skipped", { count: skipped })
    : events.length ? say("events-open") : "";
  const starting = !connected && !events.length && broker === "connecting";
  write(aside, starting ? say("connecting") : text);
  aside.classList.toggle("warn", !!trouble && !starting);
  write(byId("events-empty"), events.length || trouble ? "" : say("events-wait"));
}
