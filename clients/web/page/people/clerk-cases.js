// The cases of a clerk's districts, with their clocks, and where each may go next.

import { get, post } from "./api.js";
import { districtName } from "../locale.js";
import { caseFacts } from "./cases.js";
import { choices, label } from "./labels.js";
import { again, go } from "./shell.js";
import { badge, button, download, el, empty, field, form, heading, link, paged, section, t, tell, to, when } from "./ui.js";

/** Where a case may go from where it is, as services/rights/clocks.py has it. */
const NEXT = {
  open: ["accepted", "declined", "closed"], accepted: ["mediation", "referred", "closed"], declined: ["closed"], mediation: ["settled", "referred", "closed"],
  settled: ["referred", "closed"], referred: ["taken-up", "accepted", "closed"], "taken-up": ["closed"], closed: [],
};

const nextLimit = (one) => one.limits.filter((limit) => !limit.met_at).sort((a, b) => a.due_at.localeCompare(b.due_at))[0];

export async function casesView(_, asked) {
  const state = asked.get("state") ?? "", escalated = asked.get("escalated") ?? "";
  const draw = (one) => {
    const limit = nextLimit(one);
    return el("article", { class: "card" },
      el("h2", {}, el("a", { href: `#/case/${one.case_id}`, class: "stretch" }, `${label("case", one.kind)} · ${one.receipt}`)),
      el("p", { class: "badges" }, badge(label("caseState", one.state)), one.escalated ? badge(t("a time limit has passed", "已超期"), "bad") : ""),
      limit ? el("p", { class: limit.passed_at ? "fault" : "warn" }, `${label("limit", limit.name)}: ${when(limit.due_at)}`) : "",
      el("p", { class: "soft" }, `${districtName(one.district)} · ${when(one.opened_at)}`));
  };
  const filter = form([
    field({ name: "state", label: t("State", "状态"), type: "select", value: state, options: [["", t("All that are not closed", "全部未结")], ...choices("caseState")] }),
    field({ name: "escalated", label: t("Only past a time limit", "只看超期"), type: "check", value: escalated === "true" }),
  ], t("Show", "查看"), (values) => go(to("/cases", values)));
  return [heading(t("Cases", "案件")), filter, await paged("rights/cases", { state, escalated }, draw, empty(t("No cases.", "暂无案件。")))];
}

export async function caseView([id]) {
  const one = await get(`rights/cases/${id}`);
  const path = `rights/cases/${id}`;
  const open = one.limits.filter((limit) => !limit.met_at);
  return [
    heading(`${label("case", one.kind)} · ${one.receipt}`), ...caseFacts(one),
    open.length ? section(t("Clocks", "时限处理"), ...open.map((limit) => el("p", { class: "acts" }, el("b", {}, label("limit", limit.name)),
      button(t("It was done", "已完成"), async () => { await post(`${path}/limits/${limit.name}/met`); again(); }),
      limit.extended ? "" : button(t("Extend, once", "依法延长一次"), async () => { await post(`${path}/limits/${limit.name}/extend`); again(); })))) : "",
    NEXT[one.state].length ? section(t("Next", "下一步"), ...NEXT[one.state].map((next) => el("details", {}, el("summary", {}, label("caseState", next)), stepForm(path, next)))) : "",
    one.placement_id ? el("p", { class: "acts" }, button(t("Evidence as a file", "下载证据包"), () => download(`rights/placements/${one.placement_id}/evidence`, `evidence-${one.receipt}.json`))) : "",
    link("/cases", t("All cases", "全部案件")),
  ];
}

const stepForm = (path, next) => form([
  next === "referred" && field({ name: "referred_to", label: t("To", "转交至"), type: "select", options: choices("authority") }),
  next === "closed" && field({ name: "outcome", label: t("Outcome", "结果"), type: "select", options: choices("outcome") }),
  field({ name: "note", label: t("Note, which the worker reads", "说明（劳动者可见）"), type: "area", rows: 3, maxLength: 4000 }),
].filter(Boolean), label("caseState", next), async (values) => { await post(`${path}/steps`, { to: next, ...values }); tell(t("Entered.", "已记录。")); again(); });
