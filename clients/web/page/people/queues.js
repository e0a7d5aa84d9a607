// The queues of a clerk: reviews of posts, employers to verify, appeals, excuses, disputed hours, sanctions.

import { districtName, money } from "../locale.js";
import { all, post } from "./api.js";
import { choices, label } from "./labels.js";
import { again } from "./shell.js";
import { districts, gigTerms } from "./terms.js";
import { badge, duration, el, empty, field, form, heading, link, note, paged, rows, section, sureButton, t, tell, when } from "./ui.js";

const nothing = () => empty(t("Nothing waits.", "无待办。"));
const reason = (more = {}) => field({ name: "reason", label: t("Reason, which they are told", "理由（将告知对方）"), type: "area", rows: 2, required: true, minLength: 4, maxLength: 500, ...more });

/** Yes at once, or no with a reason. */
const yesOrNo = (yes, no, decide) => el("div", {},
  el("p", { class: "acts" }, sureButton(yes, t("Sure?", "确定？"), () => decide({ yes: true }), "primary")),
  el("details", {}, el("summary", {}, no), form([reason()], no, (values) => decide({ yes: false, ...values }))));

const done = (text) => { tell(text); again(); };

// --- posts ----------------------------------------------------------------------------------------------------------

export async function reviewsView() {
  const draw = (one) => section("",
    el("h2", {}, one.terms.title, " ", one.amends ? badge(t("a change", "修改")) : "", one.round > 1 ? badge(t("appeal", "申诉"), "warn") : ""),
    el("p", { class: "soft" }, `${districtName(one.district)} · ${one.terms.employer_name} · ${when(one.asked_at)}`),
    el("ul", {}, ...one.findings.map((each) => el("li", {}, `${label("finding", each.kind)}${each.certain ? "" : "?"} `, el("mark", {}, each.words)))),
    one.appeal ? el("p", {}, el("b", {}, t("They say: ", "对方说明：")), one.appeal) : "",
    el("details", {}, el("summary", {}, t("The whole post", "岗位全文")), gigTerms(one.terms, one.district)),
    yesOrNo(t("Publish", "通过并发布"), t("Do not publish", "不予发布"), async ({ yes, reason: why }) => {
      await post(`posting/reviews/${one.review_id}/decision`, { approved: yes, ...(yes ? {} : { reason: why }), round: one.round });
      done(yes ? t("Published.", "已发布。") : t("Refused; the employer is told.", "已退回，并通知单位。"));
    }));
  return [heading(t("Posts to review", "岗位审核")), await paged("posting/reviews", {}, draw, nothing())];
}

// --- employers ------------------------------------------------------------------------------------------------------

export async function employersView() {
  const draw = (one) => section(one.name,
    rows([[t("Credit code", "统一社会信用代码"), one.credit_code], [t("Licence", "执照号"), one.licence_no], [t("District", "区县"), districtName(one.district)], [t("Contact", "联系人"), one.contact_name]]),
    yesOrNo(t("The licence agrees: verify", "与执照一致，通过"), t("Refuse", "不通过"), async ({ yes, reason: why }) => {
      await post(`posting/employers/${one.employer_id}/verification`, { approved: yes, ...(yes ? {} : { reason: why }), revision: one.revision });
      done(yes ? t("Verified.", "已通过。") : t("Refused.", "已退回。"));
    }));
  return [heading(t("Employers to verify", "单位核验")), note(t("Compare each with its licence.", "请逐项与营业执照核对。")), await paged("posting/employers", {}, draw, nothing())];
}

// --- appeals --------------------------------------------------------------------------------------------------------

const appealForm = (path, what) => form([
  field({ name: "upheld", label: t("The appeal is", "申诉"), type: "radios", required: true, options: [["yes", t("right: it is over", "成立，立即解除")], ["no", t("wrong: it stays", "不成立，维持")]] }), reason(),
], t("Decide", "作出决定"), async ({ upheld, reason: why }) => { await post(path, { upheld: upheld === "yes", reason: why }); done(t(`${what} decided.`, "已决定。")); });

export async function appealsView() {
  const draw = (one) => section(t(`Worker ${one.worker_id.slice(-6)}`, `劳动者 ${one.worker_id.slice(-6)}`),
    rows([[t("Ban", "暂停原因"), `${one.reason}: ${one.note}`], [t("Until", "至"), one.until ? when(one.until) : t("for good", "长期")], [t("They say", "申诉理由"), one.appeal.text]]),
    appealForm(`workers/${one.worker_id}/ban/appeal/decision`, t("Appeal", "申诉")));
  return [heading(t("Appeals against bans", "候工暂停申诉")), await paged("workers/bans/appeals", {}, draw, nothing())];
}

export async function sanctionsView(_, asked) {
  const appealed = asked.get("appealed") === "true";
  const draw = (one) => section(`${label("sanction", one.kind)} · ${districtName(one.district)}`,
    rows([[t("Employer", "单位"), one.party_id], [t("Reason", "原因"), one.reason], [t("Since", "自"), when(one.since)], [t("Until", "至"), one.until && when(one.until)], [t("Case", "案件"), one.case_id && link(`/case/${one.case_id}`, t("Open", "查看"))], [t("They say", "申诉理由"), one.appeal?.text]]),
    badge(one.in_force ? t("in force", "生效中") : t("over", "已结束"), one.in_force ? "warn" : ""), one.automatic ? badge(t("by a rule", "系统自动")) : "",
    one.appeal?.state === "waiting" ? appealForm(`rights/sanctions/${one.sanction_id}/appeal/decision`, t("Appeal", "申诉"))
      : one.in_force ? el("details", {}, el("summary", {}, t("Lift it", "解除")), form([reason()], t("Lift it", "解除"), async (values) => { await post(`rights/sanctions/${one.sanction_id}/lift`, values); done(t("Lifted.", "已解除。")); })) : "");
  const set = el("details", { class: "card" }, el("summary", {}, t("Set a sanction on an employer", "对单位作出处理")), form([
    field({ name: "employer_id", label: t("Employer's id", "单位编号"), required: true }),
    field({ name: "district", label: t("District", "区县"), type: "select", options: districts() }),
    field({ name: "kind", label: t("What", "措施"), type: "radios", value: "block", options: choices("sanction") }),
    field({ name: "reason", label: t("Reason, as a code such as unpaid-wages", "原因代码，如 unpaid-wages"), required: true, pattern: "[a-z][a-z0-9-]*" }),
    field({ name: "until", label: t("Until (open, if empty)", "至（留空为无期限）"), type: "datetime-local" }),
  ], t("Set it", "作出"), async (values) => { await post("rights/sanctions", values); done(t("Set.", "已作出。")); }));
  return [heading(appealed ? t("Appeals against sanctions", "处理措施申诉") : t("Sanctions", "处理措施")), appealed ? "" : set, await paged("rights/sanctions", { appealed }, draw, nothing())];
}

// --- excuses and hours ----------------------------------------------------------------------------------------------

export async function excusesView() {
  const draw = (one) => section(one.terms.title,
    rows([[t("Cancelled by", "取消方"), one.cancelled_by === "worker" ? t("the worker", "劳动者") : t("the employer", "单位")], [t("At", "时间"), when(one.cancelled_at)], [t("Shift", "班次"), when(one.terms.period.start)], [t("Excuse", "理由"), label("excuse", one.excuse)], [t("Owed otherwise", "否则应补偿"), one.compensation_fen ? money(one.compensation_fen) : null], [t("Decide until", "决定期限"), one.excuse_until && when(one.excuse_until)]]),
    el("p", { class: "acts" }, ...[[true, t("Accept", "认可")], [false, t("Do not accept", "不认可")]].map(([accepted, text]) => sureButton(text, t("Sure?", "确定？"), async () => { await post(`matching/placements/${one.placement_id}/excuse`, { accepted }); done(t("Decided.", "已决定。")); }, accepted ? "primary" : ""))));
  return [heading(t("Excuses for late cancellations", "临时取消理由")), await paged("matching/excuses", {}, draw, nothing())];
}

/** Timesheets that a clerk has to decide: the disputed ones among the newest of the clerk's districts. */
export const disputedSheets = async () => ({ items: (await all("rights/timesheets")).filter((one) => one.status === "disputed"), next: null });

export async function timesheetsView() {
  const { items } = await disputedSheets();
  const draw = (one) => section(t(`Recorded ${duration(one.minutes)}, the employer says ${duration(one.claimed_minutes)}`, `记录 ${duration(one.minutes)}，单位主张 ${duration(one.claimed_minutes)}`),
    rows([[t("Shift", "班次"), `${when(one.started_at)} – ${when(one.ended_at)}`], [t("Reason", "原因"), label("disputed", one.reason)], [t("In their words", "说明"), one.note]]),
    form([field({ name: "minutes", label: t("Minutes that count", "认定分钟数"), type: "number", min: 0, step: 1, required: true, value: one.minutes }), field({ name: "grounds", label: t("On what grounds", "依据"), type: "area", rows: 2, required: true, minLength: 2, maxLength: 500 })],
      t("Decide", "作出决定"), async (values) => { await post(`rights/timesheets/${one.placement_id}/decide`, values); done(t("Decided.", "已决定。")); }));
  return [heading(t("Disputed hours", "工时异议")), ...(items.length ? items.map(draw) : [nothing()])];
}
