// When a worker may be offered work, and what: the calendar and the filters of one's own.

import { get, patch, put } from "./api.js";
import { WEEKDAYS } from "./labels.js";
import { go } from "./shell.js";
import { skills, trades } from "./terms.js";
import { badge, button, dayOf, el, field, form, heading, link, note, section, t, tell } from "./ui.js";

const DAY_MS = 86_400_000;
const WEEKS = 4;
const short = (hours) => hours.map(({ begin, end }) => `${begin.slice(0, 5)}–${end.slice(0, 5)}`);
const weekdayOf = (date) => new Date(`${date}T12:00:00Z`).getUTCDay() || 7;

export async function availabilityView() {
  let plan = await get("workers/me/availability");
  const grid = el("div", {});
  const editor = el("div", { "aria-live": "polite" });

  const save = async (next) => {
    plan = await put("workers/me/availability", next);
    tell(t("Saved. Offers keep to it from now on.", "已保存，即时生效。"));
    drawAll();
  };
  const weekHours = (weekday) => plan.weekly.filter((each) => each.weekday === weekday).map(({ begin, end }) => ({ begin, end }));
  /** What holds on a date: its hours, whether it is an exception, and whether any hours do. */
  const on = (date) => {
    const own = plan.dates.find((each) => each.date === date);
    if (own) return { own: true, hours: own.hours };
    return plan.weekly.length ? { hours: weekHours(weekdayOf(date)) } : { always: true, hours: [] };
  };
  const words = ({ always, hours }) => (always ? t("any time", "全天") : hours.length ? short(hours).join(" ") : t("not at all", "不接单"));

  function drawGrid() {
    const today = dayOf();
    const first = new Date(`${today}T12:00:00Z`).getTime() - (weekdayOf(today) - 1) * DAY_MS;
    const cell = (i) => {
      const date = new Date(first + i * DAY_MS).toISOString().slice(0, 10);
      const holds = on(date);
      const day = Number(date.slice(8));
      const press = el("button", {
        type: "button", disabled: date < today, class: `day ${holds.own ? "own" : ""} ${!holds.always && !holds.hours.length ? "off" : ""}`,
        "aria-label": `${date}: ${words(holds)}`, onclick: () => editDate(date),
      }, el("b", {}, day === 1 || i === 0 ? t(`${day}/${Number(date.slice(5, 7))}`, `${Number(date.slice(5, 7))}/${day}`) : String(day)),
        el("span", { class: "mark" }, holds.always ? "●" : holds.hours.length ? "◐" : "–"));
      if (date === today) press.setAttribute("aria-current", "date");
      return press;
    };
    grid.replaceChildren(
      el("div", { class: "calendar head", "aria-hidden": "true" }, ...WEEKDAYS.map((name) => el("span", {}, t(name[0], name[1].slice(1))))),
      el("div", { class: "calendar" }, ...Array.from({ length: WEEKS * 7 }, (_, i) => cell(i))),
      el("p", { class: "soft" }, t("● any time  ◐ some hours  – not at all. Choose a day to change it.", "● 全天　◐ 部分时段　– 不接单。点选日期可修改。")));
  }

  function editDate(date) {
    const holds = on(date);
    const way = field({ name: "way", label: `${date} ${t(...WEEKDAYS[weekdayOf(date) - 1])}`, type: "radios", value: !holds.own ? "week" : holds.hours.length ? "hours" : "off", options: [
      ["week", t("As every week", "同每周安排")], ["off", t("Not at all", "当天不接单")], ["hours", t("From … to …", "指定时段")],
    ] });
    const [from, until] = spanFields(holds.hours[0]);
    const others = plan.dates.filter((each) => each.date !== date && each.date >= dayOf());
    editor.replaceChildren(section("", form([way, from, until], t("Save this day", "保存当天"), ({ way: chosen, begin, end }) => save({
      weekly: plan.weekly, dates: [...others, ...(chosen === "week" ? [] : [{ date, hours: chosen === "off" ? [] : [{ begin, end }] }])],
    }), el("button", { type: "button", onclick: () => editor.replaceChildren() }, t("Close", "关闭")))));
    way.input.focus();
  }

  function drawWeek() {
    const days = WEEKDAYS.map((name, i) => {
      const hours = weekHours(i + 1);
      const open = field({ name: "open", label: t(...name), type: "check", value: !plan.weekly.length || hours.length > 0 });
      const [from, until] = spanFields(hours[0] ?? { begin: "00:00", end: "00:00" });
      return { weekday: i + 1, more: hours.slice(1), open, from, until };
    });
    const row = (day) => el("div", { class: "weekday" }, day.open.node, day.from.node, day.until.node, day.more.length ? badge(t(`and ${short(day.more).join(", ")}`, `另有 ${short(day.more).join("、")}`)) : "");
    const keep = () => save({
      dates: plan.dates.filter((each) => each.date >= dayOf()),
      weekly: days.filter((day) => day.open.read()).flatMap((day) => [{ begin: day.from.read(), end: day.until.read() }, ...day.more].map((hours) => ({ weekday: day.weekday, ...hours }))),
    });
    return el("details", {}, el("summary", {}, t("Every week", "每周安排")),
      note(t("Hours in which a whole shift may lie. 00:00 to 00:00 is the whole day; an end before the beginning is on the day after.", "整个班次须在时段内。00:00 至 00:00 表示全天；结束早于开始表示到次日。")),
      ...days.map(row), el("p", { class: "acts" }, button(t("Save the week", "保存每周安排"), keep, "primary"), button(t("Any time", "任何时间都可以"), () => save({ weekly: [], dates: [] }))));
  }

  const week = el("div", {});
  function drawAll() {
    drawGrid();
    editor.replaceChildren();
    week.replaceChildren(drawWeek());
  }
  drawAll();
  return [heading(t("My days", "我的时间"), link("/wishes", t("My wishes", "我的要求"), "press")), grid, editor, week];
}

const spanFields = (hours) => [
  field({ name: "begin", label: t("From", "从"), type: "time", value: hours?.begin?.slice(0, 5) ?? "08:00" }),
  field({ name: "end", label: t("To", "至"), type: "time", value: hours?.end?.slice(0, 5) ?? "18:00" }),
];

// --- wishes ---------------------------------------------------------------------------------------------------------

export async function wishesView() {
  const mine = await get("workers/me");
  const fields = [
    field({ name: "floor_fen_per_hour", label: t("Least pay per hour (yuan)", "每小时最低（元）"), type: "yuan", value: mine.floor_fen_per_hour, hint: t("Nothing that pays less is offered.", "低于此数的岗位不会派给您。") }),
    field({ name: "reach_m", label: t("How far at most", "最远距离"), type: "select", value: String(mine.reach_m), options: reaches(mine.reach_m) }),
    field({ name: "only_with_meals", label: t("Only with meals", "只要包餐"), type: "check", value: mine.only_with_meals }),
    field({ name: "only_with_lodging", label: t("Only with lodging", "只要包住"), type: "check", value: mine.only_with_lodging }),
    field({ name: "no_night", label: t("No night work", "不上夜班"), type: "check", value: mine.no_night }),
    field({ name: "accepts_automatically", label: t("Accept at once what fits", "合适的自动接受"), type: "check", value: mine.accepts_automatically, hint: t("Then an offer is a placement. You can still cancel in time.", "派单即录用，仍可按时取消。") }),
    field({ name: "skills", label: t("What I can do", "我会的技能"), type: "checks", value: mine.skills, options: skills() }),
    more("trades_wanted", t("Only these trades", "只做这些工种"), mine),
    more("trades_unwanted", t("Never these trades", "不做这些工种"), mine),
  ];
  const others = mine.skills.filter((code) => !skills().some(([known]) => known === code));
  return [heading(t("My wishes", "我的要求"), link("/days", t("My days", "我的时间"), "press")), form(fields, t("Save", "保存"), async ({ reach_m, floor_fen_per_hour = 0, skills: chosen, ...rest }) => {
    await patch("workers/me", { ...rest, floor_fen_per_hour, reach_m: Number(reach_m), skills: [...chosen, ...others] });
    tell(t("Saved. Offers keep to it from now on.", "已保存，即时生效。"));
    go("/me");
  })];
}

/** Trades in a fold, since they are many. */
function more(name, label, mine) {
  const inside = field({ name, label, type: "checks", value: mine[name], options: trades() });
  return { node: el("details", { open: mine[name].length > 0 }, el("summary", {}, label), inside.node), fields: [inside] };
}

export const reaches = (now = 5_000) => [...new Set([1_000, 3_000, 5_000, 8_000, 15_000, 30_000, now])].sort((a, b) => a - b).map((m) => [String(m), t(`${m / 1000} km`, `${m / 1000} 公里`)]);
