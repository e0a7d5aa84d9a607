// What the pages of people are made of: words in both languages, times, buttons, lists and forms.

import { el } from "../dom.js";
import { language } from "../locale.js";
import { NoAnswer, call, get } from "./api.js";

export { el };

/** A text in the language that is shown. */
export const t = (en, zh) => (language === "zh" ? zh : en);

// --- times ----------------------------------------------------------------------------------------------------------

export const ZONE = "Asia/Shanghai";
const OFFSET = "+08:00"; // of the zone, which has no summer time
const DAY_MS = 86_400_000;

const clock = new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, hour: "2-digit", minute: "2-digit" });
const isoDay = new Intl.DateTimeFormat("en-CA", { timeZone: ZONE, year: "numeric", month: "2-digit", day: "2-digit" });
const longDay = (day) => new Intl.DateTimeFormat(t("en-GB", "zh-CN"), { timeZone: ZONE, month: "short", day: "numeric", weekday: "short" }).format(day);

/** The region's day of a moment, as 2026-11-27. */
export const dayOf = (moment = new Date()) => isoDay.format(new Date(moment));
export const timeOf = (moment) => clock.format(new Date(moment));

/** Today, tomorrow, or the day by its name. */
export function dayName(moment) {
  const day = dayOf(moment);
  if (day === dayOf()) return t("Today", "今天");
  if (day === dayOf(Date.now() + DAY_MS)) return t("Tomorrow", "明天");
  return longDay(new Date(moment));
}

export const when = (moment) => `${dayName(moment)} ${timeOf(moment)}`;

export function span({ start, end }) {
  const over = dayOf(end) !== dayOf(start) ? t(" next day", "（次日）") : "";
  return `${when(start)}–${timeOf(end)}${over}`;
}

export function duration(minutes) {
  const hours = Math.floor(minutes / 60), rest = minutes % 60;
  return [hours && t(`${hours} h`, `${hours} 小时`), (rest || !hours) && t(`${rest} min`, `${rest} 分钟`)].filter(Boolean).join(" ");
}

export const distance = (m) => (m < 1000 ? t(`${m} m`, `${m} 米`) : t(`${(m / 1000).toFixed(1)} km`, `${(m / 1000).toFixed(1)} 公里`));

/** What a datetime-local field says, as a moment in the region's time; and the other way round. */
export const fromLocal = (text) => (text ? new Date(`${text}:00${OFFSET}`).toISOString() : undefined);
export const toLocal = (moment) => (moment ? `${dayOf(moment)}T${timeOf(moment)}` : "");

/** A text that says how long is left until a moment, ticking; "over" afterwards. */
export function countdown(moment, over) {
  const left = el("b", { class: "countdown", "data-until": moment, "data-over": over });
  tick(left);
  return left;
}

function tick(node) {
  const s = Math.round((new Date(node.dataset.until) - Date.now()) / 1000);
  const text = s <= 0 ? node.dataset.over : s < 3600 ? `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}` : duration(Math.floor(s / 60));
  if (node.textContent !== text) node.textContent = text;
}
setInterval(() => document.querySelectorAll("[data-until]").forEach(tick), 1000);

// --- parts ----------------------------------------------------------------------------------------------------------

export const heading = (text, ...aside) => el("header", { class: "head" }, el("h1", { tabIndex: -1 }, text), ...aside);
export const link = (to, text, kind = "") => el("a", { href: `#${to}`, class: kind }, text);
export const note = (text) => el("p", { class: "note" }, text);
export const empty = (text) => el("p", { class: "empty" }, text);
export const badge = (text, kind = "") => el("span", { class: `badge ${kind}` }, text);
export const section = (title, ...parts) => el("section", { class: "card" }, title && el("h2", {}, title), ...parts);
export const rows = (pairs) => el("dl", { class: "facts" }, ...pairs.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));

/** Say something to the person, on the screen and to a screen reader. */
export function tell(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { said.textContent = ""; }, 6000);
}

export const sentence = (error) =>
  error instanceof NoAnswer ? t("No answer. Is there a signal? Try again.", "没有收到应答，请检查网络后重试。") : error.message;

/** A button that does something which takes a while; what goes wrong is said beside it. */
export function button(text, act, kind = "") {
  const said = el("span", { class: "fault", role: "alert" });
  const press = el("button", { type: "button", class: kind }, text);
  press.addEventListener("click", async () => {
    press.disabled = true;
    said.textContent = "";
    try {
      await act();
    } catch (error) {
      said.textContent = sentence(error);
    } finally {
      press.disabled = false;
    }
  });
  return el("span", { class: "act" }, press, said);
}

/** A button that asks once more before it does what cannot be taken back. */
export function sureButton(text, question, act, kind = "") {
  const holder = el("span", { class: "act" });
  const ask = () => {
    const no = el("button", { type: "button" }, t("No, go back", "不，返回"));
    no.addEventListener("click", rest);
    holder.replaceChildren(el("span", { class: "ask" }, question), button(t("Yes", "确定"), act, "primary"), no);
    no.focus();
  };
  function rest() {
    const press = el("button", { type: "button", class: kind, onclick: ask }, text);
    holder.replaceChildren(press);
    if (document.activeElement === document.body) press.focus();
  }
  holder.replaceChildren(el("button", { type: "button", class: kind, onclick: ask }, text));
  return holder;
}

/** A list that shows a page at a time; `draw` makes an item's node. The pages keep to the order of the first. */
export async function paged(path, query, draw, none) {
  const list = el("ol", { class: "list" });
  const more = el("p", { class: "more" });
  const take = async (after) => {
    const page = await get(path, { limit: 20, ...query, after });
    const nodes = page.items.map((item) => el("li", {}, draw(item)));
    list.append(...nodes);
    more.replaceChildren(...(page.next ? [button(t("Show more", "显示更多"), () => take(page.next))] : []));
    if (after && nodes[0]) { nodes[0].tabIndex = -1; nodes[0].focus(); }
    if (!list.children.length) more.replaceChildren(none);
  };
  await take(null);
  return el("div", {}, list, more);
}

/** Give the person a file that only they may read. */
export async function download(path, name) {
  const address = URL.createObjectURL(await call("GET", path, undefined, { as: "blob" }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Where this device is, as {lat, lon}. */
export function whereAmI() {
  return new Promise((found, failed) => {
    const no = () => failed(new Error(t("Your position is not known. Allow it in the browser, or choose a station.", "无法获取位置。请在浏览器中允许定位，或选择一个驿站。")));
    if (!navigator.geolocation) return no();
    navigator.geolocation.getCurrentPosition(({ coords }) => found({ lat: coords.latitude, lon: coords.longitude }), no, { enableHighAccuracy: true, timeout: 15_000, maximumAge: 30_000 });
  });
}

// --- forms ----------------------------------------------------------------------------------------------------------

let ids = 0;

/**
 * A field with its label. `type` is an input's, or select, area, yuan (kept as fen), check (one box), checks or radios
 * (`options`: [value, text]…). `name` may be a path, as in pay.amount_fen.
 */
export function field({ name, label, type = "text", value, hint, options = [], required = false, ...more }) {
  const id = `field-${++ids}`;
  const fault = el("p", { class: "fault", id: `${id}-fault` });
  const about = { id, name, required, "aria-describedby": `${hint ? `${id}-hint ` : ""}${id}-fault` };
  const below = [hint && el("p", { class: "hint", id: `${id}-hint` }, hint), fault];
  let node, read, input;

  if (type === "checks" || type === "radios") {
    const one = type === "radios";
    const chosen = one ? [value] : value ?? [];
    const boxes = options.map(([code, text]) => el("label", { class: "box" },
      el("input", { type: one ? "radio" : "checkbox", name: one ? id : name, value: code, checked: chosen.includes(code), ...more }), el("span", {}, text)));
    node = el("fieldset", { class: "field", "aria-describedby": about["aria-describedby"] }, el("legend", {}, label), el("div", { class: "boxes" }, ...boxes), ...below);
    input = boxes[0]?.firstChild;
    read = () => {
      const picked = boxes.map((box) => box.firstChild).filter((box) => box.checked).map((box) => box.value);
      return one ? picked[0] : picked;
    };
  } else if (type === "check") {
    input = el("input", { ...about, type: "checkbox", checked: !!value, ...more });
    node = el("div", { class: "field" }, el("label", { class: "box" }, input, el("span", {}, label)), ...below);
    read = () => input.checked;
  } else {
    const mark = required ? el("span", { class: "must", "aria-hidden": "true" }, " *") : null;
    if (type === "select") input = el("select", { ...about, ...more }, ...options.map(([code, text]) => el("option", { value: code, selected: code === value }, text)));
    else if (type === "area") input = el("textarea", { ...about, rows: 4, value: value ?? "", ...more });
    else if (type === "yuan") input = el("input", { ...about, type: "number", min: 0, step: "0.01", inputMode: "decimal", value: value == null ? "" : value / 100, ...more });
    else input = el("input", { ...about, type, value: value ?? "", ...more });
    node = el("div", { class: "field" }, el("label", { htmlFor: id }, label, mark), input, ...below);
    read = () => {
      if (input.value === "") return undefined;
      if (type === "yuan") return Math.round(Number(input.value) * 100);
      if (type === "number") return Number(input.value);
      if (type === "datetime-local") return fromLocal(input.value);
      return input.value;
    };
  }
  const fail = (text) => {
    fault.textContent = text;
    input?.setAttribute("aria-invalid", String(!!text));
  };
  return { name, node, input, read, fail };
}

/** What the fields say, as one object; a path makes an object within it, and what is empty is left out. */
export function valuesOf(fields) {
  const values = {};
  for (const each of fields) {
    const value = each.read();
    if (value === undefined) continue;
    const path = each.name.split(".");
    const last = path.pop();
    path.reduce((at, part) => (at[part] ??= {}), values)[last] = value;
  }
  return values;
}

/** A form that hands its values to `submit`, and shows what is refused at its field. A part may be a {node, fields}. */
export function form(fields, text, submit, ...extra) {
  const said = el("p", { class: "fault", role: "alert" });
  const press = el("button", { type: "submit", class: "primary" }, text);
  const made = el("form", { class: "form" }, ...fields.map((each) => each.node), said, el("div", { class: "acts" }, press, ...extra));
  const own = fields.flatMap((each) => each.fields ?? each).filter((each) => each.read);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    press.disabled = true;
    said.textContent = "";
    for (const each of own) each.fail("");
    try {
      await submit(valuesOf(own));
    } catch (error) {
      showFaults(error, own, said);
    } finally {
      press.disabled = false;
    }
  });
  return made;
}

/** Put each fault at its field, and the rest into `said`; the first field that has one gets the focus. */
export function showFaults(error, fields, said) {
  const rest = [];
  let first = null;
  for (const fault of error.errors ?? []) {
    const at = fields.find((each) => fault.field === each.name || fault.field.startsWith(`${each.name}.`)) ?? fields.find((each) => each.name.startsWith(`${fault.field}.`));
    if (at) at.fail(fault.detail);
    else rest.push(`${fault.field}: ${fault.detail}`);
    first ??= at?.input;
  }
  said.textContent = [sentence(error), ...rest].join(" ");
  first?.focus();
}

/** The address of a view with these values in its query. */
export const to = (path, query) => `${path}?${new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== false && value !== ""))}`;

let listed = null;

/** The stations of all districts, asked for once. */
export async function stations() {
  listed ??= get("workers/stations").catch((error) => { listed = null; throw error; });
  return (await listed).items;
}
