// A worker's shifts: from the placement over the check-in at the work site to the pay.

import { all, find, get, getOrKept, post } from "./api.js";
import { choices, label } from "./labels.js";
import { dismiss, record, waiting } from "./offline.js";
import { ratingPart } from "./ratings.js";
import { canScan, scan } from "./scan.js";
import { again } from "./shell.js";
import { gigCard, gigTerms } from "./terms.js";
import { money } from "../locale.js";
import { badge, button, dayOf, download, duration, el, empty, field, form, heading, link, note, rows, section, sureButton, t, tell, timeOf, to, when, whereAmI } from "./ui.js";

const STANDS = ["placed", "held", "awaiting-confirmation"];

/** What this device has seen last, where there is no signal. */
const placements = () => getOrKept("matching/placements", { limit: 100 });
const shiftOf = (id) => getOrKept(`rights/shifts/${id}`);

const keptNote = (answer) => answer.keptAt && el("p", { class: "warn" }, t(`No signal: as of ${when(answer.keptAt)}.`, `无网络：内容截至 ${when(answer.keptAt)}。`));

export async function workView() {
  const answer = await placements();
  const ahead = answer.items.filter((one) => STANDS.includes(one.status) && new Date(one.terms.period.end) > Date.now());
  const behind = answer.items.filter((one) => !ahead.includes(one));
  for (const one of ahead.slice(0, 5)) shiftOf(one.placement_id).catch(() => {}); // so that this phone has them at the site
  ahead.sort((a, b) => a.terms.period.start.localeCompare(b.terms.period.start));
  const card = (one) => el("li", {}, gigCard(one.terms, { to: `/placement/${one.placement_id}`, district: one.district, foot: [
    el("p", {}, badge(label("placement", one.status), one.status === "placed" ? "good" : ""), mustAttend(one) ? badge(t("Say that you will come", "请确认到岗"), "warn") : ""),
  ] }));
  return [
    heading(t("My work", "我的活"), link("/pay", t("Hours and pay", "工时与工资"), "press")),
    keptNote(answer), ...unsent(),
    ahead.length ? el("ol", { class: "list" }, ...ahead.map(card)) : empty(t("No shift ahead.", "暂无待上岗的班次。")),
    behind.length ? el("details", {}, el("summary", {}, t(`Earlier (${behind.length})`, `以往（${behind.length}）`)), el("ol", { class: "list" }, ...behind.map(card))) : null,
  ].filter(Boolean);
}
workView.live = ["placement-made", "placement-cancelled", "attendance-asked", "shift-missed"];

const mustAttend = (one) => one.attend_by && !one.attending_at && one.status === "placed" && new Date(one.attend_by) > Date.now();

/** What was entered without a signal, and waits or was refused. */
function unsent(placement_id) {
  return waiting().filter((each) => !placement_id || each.placement_id === placement_id).map((each) => el("p", { class: each.refused ? "fault" : "warn" },
    each.what === "start" ? t(`Start at ${when(each.at)}`, `${when(each.at)} 的开工`) : t(`End at ${when(each.at)}`, `${when(each.at)} 的收工`), ": ",
    each.refused ?? t("kept on this phone, sent as soon as there is a signal.", "已保存在本机，有网络后自动补传。"), " ",
    each.refused ? button(t("I have seen it", "知道了"), () => { dismiss(each.key); again(); }) : ""));
}

// --- one shift ------------------------------------------------------------------------------------------------------

export async function placementView([id]) {
  const listed = await placements();
  const one = listed.items.find((each) => each.placement_id === id) ?? await get(`matching/placements/${id}`);
  const shift = await shiftOf(id).catch((error) => { if (error.status === 404) return null; throw error; });
  const there = !listed.keptAt;
  const [agreement, sheet, pay] = there ? await Promise.all([shift && find(`rights/agreements/${id}`), shift?.minutes ? find(`rights/timesheets/${id}`) : null, shift?.ended_at || one.compensation_fen ? payOfPlacement(id) : null]) : [];
  return [
    heading(one.terms.title, badge(label("placement", one.status), one.status === "placed" ? "good" : "")),
    keptNote(listed), ...unsent(id),
    mustAttend(one) && attendPart(one),
    shift && one.status === "placed" && shiftPart(one, shift),
    section("", gigTerms(one.terms, one.district)),
    agreement && agreementPart(id, agreement),
    sheet && sheetPart(sheet),
    pay && payPart(pay),
    there && shift?.status === "ended" && await ratingPart(id, "worker"),
    there && section(t("Something is wrong?", "遇到问题？"), el("div", { class: "acts" },
      link(to("/open-case", { placement: id }), t("Ask the rights desk", "申请维权"), "press"),
      STANDS.includes(one.status) && (!shift || shift.status === "planned") ? button(t("Cancel this shift", "取消班次"), () => cancelling(one)) : "")),
    el("div", { id: "cancelling" }),
  ].filter(Boolean);
}
placementView.live = ["placement-cancelled", "agreement-made", "shift-started", "shift-missed", "timesheet-disputed", "timesheet-settled", "pay-due", "pay-corrected", "pay-contested", "cover-refused"];

const payOfPlacement = async (id) => (await all("rights/pay")).find((each) => each.placement_id === id) ?? null;

function attendPart(one) {
  const early = new Date(one.attend_from) > Date.now();
  return section(t("Will you come?", "您会到岗吗？"),
    el("p", {}, early
      ? t(`Say so between ${when(one.attend_from)} and ${when(one.attend_by)}, or the place is given to somebody else.`, `请在 ${when(one.attend_from)} 至 ${when(one.attend_by)} 之间确认，否则名额将另行安排。`)
      : t(`Say so until ${when(one.attend_by)}, or the place is given to somebody else.`, `请在 ${when(one.attend_by)} 前确认，否则名额将另行安排。`)),
    early ? "" : button(t("Yes, I will come", "是，我会到岗"), async () => { await post(`matching/placements/${one.placement_id}/attend`); again(); }, "primary"));
}

function shiftPart(one, shift) {
  const id = one.placement_id;
  const queued = waiting().filter((each) => each.placement_id === id && !each.refused).map((each) => each.what);
  const parts = [];
  if (shift.status === "planned" && !queued.includes("start")) parts.push(...startPart(one));
  else if ((shift.status === "started" || queued.includes("start")) && !queued.includes("end")) parts.push(endPart(one, shift));
  else if (shift.status === "ended" && one.terms.pay.unit === "piece" && shift.pieces == null) parts.push(endPart(one, shift, t("How many pieces did you make?", "您完成了多少件？")));
  return section(t("At the work site", "到岗与收工"),
    rows([
      [t("State", "状态"), el("span", {}, badge(label("shift", shift.status), shift.status === "started" ? "good" : ""), shift.late_synced || shift.end_late_synced ? badge(t("sent later", "离线补传")) : "")],
      [t("Started", "开工"), shift.started_at && `${when(shift.started_at)} (${label("proof", shift.proof.method)})`],
      [t("Ended", "收工"), shift.ended_at && when(shift.ended_at)],
      [t("Worked", "工时"), shift.minutes != null && duration(shift.minutes)],
    ]),
    shift.refused.length ? el("details", {}, el("summary", {}, t("Check-ins that were not taken", "未被接受的签到")), el("ul", {}, ...shift.refused.map((each) => el("li", {}, `${when(each.came_at)}: ${each.code}${each.distance_m != null ? ` (${each.distance_m} m)` : ""}`)))) : "",
    ...parts);
}

function startPart(one) {
  const done = (shift) => {
    tell(shift ? t("You have started. Have a good shift.", "开工成功。") : t("No signal: kept on this phone, and sent later.", "无网络：已保存在本机，稍后自动补传。"));
    again();
  };
  const start = async (proof) => done(await record(one.placement_id, "start", proof));
  const code = field({ name: "code", label: t("Six digits below the QR code", "二维码下方六位数字"), inputMode: "numeric", pattern: "[0-9]{6}", maxLength: 6, required: true, autocomplete: "off" });
  return [
    canScan() ? el("p", { class: "acts" }, button(t("Scan the QR code", "扫描二维码签到"), async () => { const seen = await scan(); if (seen) await start(seen); }, "primary")) : "",
    form([code], t("Start with the code", "用签到码开工"), start),
    el("p", { class: "acts" }, button(t("Start with my position", "用定位开工"), async () => start({ position: await whereAmI() }))),
  ];
}

function endPart(one, shift, question) {
  const piece = one.terms.pay.unit === "piece";
  const end = async (values) => {
    const ended = await record(one.placement_id, "end", values);
    tell(ended ? t("Your shift has ended.", "已收工。") : t("No signal: kept on this phone, and sent later.", "无网络：已保存在本机，稍后自动补传。"));
    again();
  };
  if (piece) return form([field({ name: "pieces", label: question ?? t("Pieces made", "完成件数"), type: "number", min: 0, step: 1, required: true, inputMode: "numeric" })], t("End work", "收工"), end);
  return sureButton(t("End work", "收工"), t(`End now, at ${timeOf(Date.now())}?`, `现在（${timeOf(Date.now())}）收工吗？`), () => end({}), "primary");
}

function agreementPart(id, agreement) {
  const { insurance } = agreement;
  const name = `agreement-${dayOf(agreement.made_at)}`;
  const as = (format) => download(`rights/agreements/${id}/document?format=${format}&lang=${t("en", "zh")}`, `${name}.${format}`);
  return section(t("Agreement and insurance", "协议与保险"),
    rows([
      [t("Agreement", "协议"), el("span", {}, badge(label("agreement", agreement.status), agreement.status === "in-force" ? "good" : ""), ` ${when(agreement.made_at)}`)],
      [t("Injury insurance", "工伤保险"), el("span", {}, badge(label("insurance", insurance.status), insurance.status === "active" ? "good" : "warn"), ` ${insurance.policy_id ?? ""}`)],
      [t("Fingerprint", "校验值"), el("code", {}, agreement.sha256.slice(0, 16))],
    ]),
    el("p", { class: "acts" }, button(t("Keep as PDF", "下载 PDF"), () => as("pdf")), button(t("Keep as a page", "下载网页版"), () => as("html"))));
}

// --- hours and pay --------------------------------------------------------------------------------------------------

export async function payView() {
  const [pays, sheets, listed] = await Promise.all([all("rights/pay"), all("rights/timesheets"), placements()]);
  const titleOf = (id) => listed.items.find((each) => each.placement_id === id)?.terms.title ?? t("Shift", "班次");
  const owed = pays.filter((each) => each.status !== "confirmed").reduce((sum, each) => sum + each.amount_fen, 0);
  return [
    heading(t("Hours and pay", "工时与工资")),
    el("p", { class: "pay large" }, money(owed), el("small", {}, t(" still to come", " 待到账"))),
    ...(pays.length ? pays.map((pay) => payPart(pay, titleOf(pay.placement_id))) : [empty(t("No pay yet.", "暂无工资记录。"))]),
    el("h2", {}, t("Hours", "工时")),
    ...(sheets.length ? sheets.map((sheet) => sheetPart(sheet, titleOf(sheet.placement_id))) : [empty(t("No hours yet.", "暂无工时记录。"))]),
  ];
}
payView.live = ["pay-due", "pay-corrected", "pay-overdue", "pay-contested", "timesheet-disputed", "timesheet-settled"];

function payPart(pay, title = t("Pay", "工资")) {
  const path = `rights/pay/${pay.placement_id}`;
  return section(title,
    el("p", { class: "pay" }, money(pay.amount_fen), el("small", {}, ` ${label("owed", pay.reason)}`)),
    el("p", { class: "badges" }, badge(label("pay", pay.status), { confirmed: "good", contested: "bad" }[pay.status]), pay.overdue ? badge(t("overdue", "逾期"), "bad") : "", el("span", { class: "soft" }, t(`due ${when(pay.due_at)}`, `应于 ${when(pay.due_at)} 前支付`))),
    pay.status === "confirmed" ? "" : el("div", { class: "acts" },
      sureButton(t("It has arrived", "已到账"), t("Has all of it arrived?", "确认全额到账？"), async () => { await post(`${path}/confirm`); again(); }, "primary"),
      pay.status === "paid" ? button(t("It has not arrived", "未到账"), async () => { await post(`${path}/contest`); again(); }) : "",
      pay.overdue ? link(to("/open-case", { placement: pay.placement_id, kind: "arrears" }), t("Ask the rights desk", "申请维权"), "press") : ""));
}

function sheetPart(sheet, title = t("Hours", "工时")) {
  const minutes = sheet.settled_minutes ?? sheet.minutes;
  return section(title,
    el("p", {}, el("b", {}, duration(minutes)), el("span", { class: "soft" }, ` ${when(sheet.started_at)}–${timeOf(sheet.ended_at)}`), " ", badge(label("sheet", sheet.status), sheet.status === "disputed" ? "warn" : "")),
    sheet.status === "open" ? note(t(`The employer may answer until ${when(sheet.answer_by)}; then your hours stand.`, `单位须在 ${when(sheet.answer_by)} 前答复，逾期按记录确认。`)) : "",
    sheet.grounds ? note(sheet.grounds) : "",
    sheet.status === "disputed" ? el("div", {},
      el("p", {}, t(`The employer says ${duration(sheet.claimed_minutes)}: ${label("disputed", sheet.reason)}. `, `单位主张 ${duration(sheet.claimed_minutes)}：${label("disputed", sheet.reason)}。`), sheet.note ?? ""),
      el("div", { class: "acts" },
        sureButton(t(`I agree to ${duration(sheet.claimed_minutes)}`, `同意 ${duration(sheet.claimed_minutes)}`), t("Your pay follows from it.", "工资将按此计算。"), async () => { await post(`rights/timesheets/${sheet.placement_id}/agree`); again(); }),
        link(to("/open-case", { placement: sheet.placement_id, kind: "other" }), t("I do not agree: a clerk decides", "不同意，请工作人员裁定"), "press"))) : "");
}

// --- cancelling -----------------------------------------------------------------------------------------------------

async function cancelling(one) {
  const cost = await get(`matching/placements/${one.placement_id}/cancellation`);
  const holder = document.getElementById("cancelling");
  const fields = cost.late ? [field({ name: "excuse", label: t("Reason, if there is one that excuses it", "理由（如有正当理由）"), type: "select", options: [["", t("None", "无")], ...choices("excuse", cost.excuses)] })] : [];
  const back = el("button", { type: "button", onclick: () => holder.replaceChildren() }, t("Keep the shift", "保留班次"));
  holder.replaceChildren(section(t("Cancel this shift?", "取消该班次？"),
    el("p", {}, cost.late ? t("It is late: it counts as a late cancellation unless a clerk accepts your reason.", "已属临时取消，除非工作人员认可您的理由，否则将被记录。") : t(`It is in time until ${when(cost.in_time_until)}, and has no consequence.`, `${when(cost.in_time_until)} 前取消不受影响。`)),
    form(fields, t("Cancel the shift", "确认取消"), async (values) => { await post(`matching/placements/${one.placement_id}/cancel`, values); tell(t("Cancelled.", "已取消。")); again(); }, back)));
  holder.querySelector("h2").scrollIntoView();
  back.focus();
}
