// Whom an employer has placed: confirmed, at work, their hours, their pay, and what is said of each other.

import { money } from "../locale.js";
import { all, find, get, post } from "./api.js";
import { choices, label } from "./labels.js";
import { ratingPart } from "./ratings.js";
import { again } from "./shell.js";
import { badge, button, duration, el, empty, field, form, heading, link, paged, rows, section, span, sureButton, t, tell, timeOf, when } from "./ui.js";

/** A worker as an employer knows them: the end of their id. */
const who = (one) => t(`Worker ${one.worker_id.slice(-6)}`, `劳动者 ${one.worker_id.slice(-6)}`);

const card = (one, title) => el("article", { class: "card" },
  el("h2", {}, el("a", { href: `#/placement/${one.placement_id}`, class: "stretch" }, title ? `${one.terms.title} · ${who(one)}` : who(one))),
  el("p", { class: "when" }, span(one.terms.period)),
  el("p", { class: "badges" }, badge(label("placement", one.status), one.status === "placed" ? "good" : "")),
  confirmPart(one));

function confirmPart(one) {
  if (one.status !== "awaiting-confirmation") return "";
  return el("p", { class: "acts" }, button(t("Confirm", "确认录用"), async () => { await post(`matching/placements/${one.placement_id}/confirm`); tell(t("Confirmed.", "已确认。")); again(); }, "primary"),
    el("span", { class: "soft" }, t(`until ${when(one.confirm_by)}`, `请在 ${when(one.confirm_by)} 前`)));
}

/** The people placed in a gig. */
export async function placedPart(gig_id) {
  const items = await all(`matching/gigs/${gig_id}/placements`).catch((error) => { if (error.status === 404) return []; throw error; });
  return el("section", {}, el("h2", {}, t("People", "人员")), items.length ? el("ol", { class: "list" }, ...items.map((one) => el("li", {}, card(one)))) : empty(t("Nobody is placed yet.", "暂无录用人员。")));
}

export async function peopleView() {
  return [heading(t("People", "人员")), await paged("matching/placements", {}, (one) => card(one, true), empty(t("Nobody is placed yet.", "暂无录用人员。")))];
}
peopleView.live = ["placement-made", "placement-cancelled", "shift-started", "shift-missed"];

export async function personView([id]) {
  const one = await get(`matching/placements/${id}`);
  const [shift, agreement] = await Promise.all([find(`rights/shifts/${id}`), find(`rights/agreements/${id}`)]);
  const stands = ["placed", "held", "awaiting-confirmation"].includes(one.status);
  return [
    heading(`${one.terms.title} · ${who(one)}`, badge(label("placement", one.status), one.status === "placed" ? "good" : "")),
    section("", el("p", { class: "when" }, span(one.terms.period)), confirmPart(one), rows([
      [t("At the work site", "到岗"), shift && `${label("shift", shift.status)}${shift.started_at ? ` ${when(shift.started_at)} (${label("proof", shift.proof.method)})` : ""}`],
      [t("Worked", "工时"), shift?.minutes != null && duration(shift.minutes)],
      [t("Agreement", "协议"), agreement && label("agreement", agreement.status)],
      [t("Injury insurance", "工伤保险"), agreement && label("insurance", agreement.insurance.status)],
    ])),
    shift?.status === "planned" && one.status === "placed" ? herePart(id) : "",
    shift?.status === "ended" ? await ratingPart(id, "employer") : "",
    stands && (!shift || shift.status === "planned") ? cancelPart(one) : "",
  ];
}
personView.live = ["placement-made", "placement-cancelled", "shift-started"];

function herePart(id) {
  return section(t("Is the worker here, without a phone that works?", "劳动者已到场但无法签到？"),
    el("p", { class: "acts" }, button(t("They are here and begin", "确认到岗开工"), async () => { await post(`rights/shifts/${id}/present`); again(); })),
    el("details", {}, el("summary", {}, t("Vouch for them, with a reason", "说明原因并担保")), form([
      field({ name: "reason", label: t("Reason", "原因"), type: "select", options: choices("override") }),
      field({ name: "note", label: t("In your words", "说明"), maxLength: 500 }),
    ], t("Start the shift", "开工"), async (values) => { await post(`rights/shifts/${id}/override`, values); again(); })));
}

function cancelPart(one) {
  const holder = el("div", {});
  holder.append(button(t("Cancel this placement", "取消录用"), async () => {
    const cost = await get(`matching/placements/${one.placement_id}/cancellation`);
    const back = el("button", { type: "button", onclick: again }, t("Keep it", "保留"));
    holder.replaceChildren(section(t("Cancel?", "取消录用？"),
      el("p", {}, cost.late ? t(`It is late: you owe ${money(cost.compensation_fen)} unless a clerk accepts your reason.`, `属临时取消，应补偿 ${money(cost.compensation_fen)}，除非工作人员认可您的理由。`) : t("It is in time, and costs nothing.", "在规定时间内取消，无需补偿。")),
      form(cost.late ? [field({ name: "excuse", label: t("Reason", "理由"), type: "select", options: [["", t("None", "无")], ...choices("excuse", cost.excuses)] })] : [], t("Cancel the placement", "确认取消"), async (values) => { await post(`matching/placements/${one.placement_id}/cancel`, values); again(); }, back)));
  }));
  return holder;
}

// --- hours and pay --------------------------------------------------------------------------------------------------

export async function hoursView() {
  const [sheets, pays, placed] = await Promise.all([all("rights/timesheets"), all("rights/pay"), all("matching/placements")]);
  const titleOf = (each) => placed.find((one) => one.placement_id === each.placement_id)?.terms.title ?? t("Shift", "班次");
  const todo = (list, statuses) => [...list].sort((a, b) => statuses.includes(b.status) - statuses.includes(a.status));
  return [
    heading(t("Hours and pay", "工时与工资")),
    el("h2", {}, t("Hours", "工时")), ...(sheets.length ? todo(sheets, ["open"]).map((one) => sheetPart(one, titleOf(one))) : [empty(t("No hours yet.", "暂无工时单。"))]),
    el("h2", {}, t("Pay", "工资")), ...(pays.length ? todo(pays, ["due", "contested"]).map((one) => payPart(one, titleOf(one))) : [empty(t("Nothing to pay yet.", "暂无应付工资。"))]),
  ];
}
hoursView.live = ["pay-due", "pay-corrected", "pay-overdue", "pay-contested", "pay-confirmed", "timesheet-settled"];

function sheetPart(one, title) {
  const path = `rights/timesheets/${one.placement_id}`;
  const most = one.minutes;
  return section(`${title} · ${who(one)}`,
    el("p", {}, el("b", {}, duration(one.settled_minutes ?? one.minutes)), el("span", { class: "soft" }, ` ${when(one.started_at)}–${timeOf(one.ended_at)}`), " ", badge(label("sheet", one.status))),
    one.status !== "open" ? "" : el("div", {},
      el("p", { class: "soft" }, t(`Answer until ${when(one.answer_by)}; then it stands.`, `请在 ${when(one.answer_by)} 前答复，逾期视为确认。`)),
      el("p", { class: "acts" }, button(t("That is right", "确认无误"), async () => { await post(`${path}/approve`); again(); }, "primary")),
      el("details", {}, el("summary", {}, t("It is not right", "有异议")), form([
        field({ name: "minutes", label: t("Minutes worked", "实际分钟数"), type: "number", min: 0, step: 1, required: true, value: most }),
        field({ name: "reason", label: t("Reason", "原因"), type: "select", options: choices("disputed") }),
        field({ name: "note", label: t("In your words", "说明"), maxLength: 500 }),
      ], t("Dispute", "提出异议"), async (values) => { await post(`${path}/dispute`, values); again(); }))));
}

function payPart(one, title) {
  return section(`${title} · ${who(one)}`,
    el("p", { class: "pay" }, money(one.amount_fen), el("small", {}, ` ${label("owed", one.reason)}`)),
    el("p", { class: "badges" }, badge(label("pay", one.status), { confirmed: "good", contested: "bad" }[one.status]), one.overdue ? badge(t("overdue", "逾期"), "bad") : "", el("span", { class: "soft" }, t(`due ${when(one.due_at)}`, `应于 ${when(one.due_at)} 前支付`))),
    ["due", "contested"].includes(one.status) ? el("p", { class: "acts" }, sureButton(t("Mark as paid", "标记已支付"), t(`Have you paid ${money(one.amount_fen)}?`, `确认已支付 ${money(one.amount_fen)}？`), async () => { await post(`rights/pay/${one.placement_id}/paid`); again(); }, "primary")) : "");
}
