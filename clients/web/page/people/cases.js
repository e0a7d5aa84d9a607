// A worker's cases at the rights desk: opened in three steps, then followed by their clocks.

import { get, getOrKept, post } from "./api.js";
import { choices, label } from "./labels.js";
import { again, go } from "./shell.js";
import { districts } from "./terms.js";
import { badge, dayOf, download, el, empty, field, form, button, heading, link, note, paged, rows, section, sureButton, t, tell, when } from "./ui.js";

export async function casesView() {
  const draw = (one) => el("article", { class: "card" },
    el("h2", {}, link(`/case/${one.case_id}`, label("case", one.kind), "stretch")),
    el("p", {}, badge(label("caseState", one.state), one.state === "closed" ? "" : "good"), ` ${one.receipt}`), el("p", { class: "soft" }, when(one.opened_at)));
  return [
    heading(t("Rights desk", "维权"), link("/open-case", t("Open a case", "提交申请"), "press primary")),
    note(t("It costs nothing. The desk has to answer within five working days.", "免费。五个工作日内必须答复。")),
    await paged("rights/cases", {}, draw, empty(t("No cases.", "暂无案件。"))),
  ];
}

/** What is between the opening of a case and its end, for the worker and for clerks. */
export function caseFacts(one) {
  return [
    section("", rows([
      [t("Receipt", "受理编号"), el("b", {}, one.receipt)],
      [t("About", "事由"), label("case", one.kind)],
      [t("State", "状态"), el("span", {}, badge(label("caseState", one.state)), one.escalated ? badge(t("a time limit has passed", "已超期"), "bad") : "")],
      [t("Passed to", "转交"), one.referred_to && label("authority", one.referred_to)],
      [t("Outcome", "结果"), one.outcome && label("outcome", one.outcome)],
      [t("Opened", "提交时间"), when(one.opened_at)],
      [t("What happened", "情况说明"), one.what_happened],
    ])),
    one.limits.length ? section(t("Time limits", "办理时限"), el("ul", { class: "clocks" }, ...one.limits.map((limit) => el("li", {},
      el("b", {}, label("limit", limit.name)), " ",
      limit.met_at ? badge(t("done", "已完成"), "good") : limit.passed_at ? badge(t("passed", "已超期"), "bad") : badge(t(`until ${when(limit.due_at)}`, `截至 ${when(limit.due_at)}`), "warn"),
      limit.extended ? badge(t("extended", "已延长")) : "", el("p", { class: "soft" }, limit.source))))) : "",
    section(t("What was done", "办理经过"), el("ol", { class: "steps" }, ...one.history.map((step) => el("li", {}, `${when(step.at)} `, el("b", {}, label("caseState", step.what)), step.note ? el("p", {}, step.note) : "")))),
  ];
}

export async function caseView([id]) {
  const one = await get(`rights/cases/${id}`);
  return [
    heading(label("case", one.kind)), ...caseFacts(one),
    el("p", { class: "acts" },
      one.placement_id ? button(t("Keep the evidence as a file", "下载证据包"), () => download(`rights/placements/${one.placement_id}/evidence`, `evidence-${one.receipt}.json`)) : "",
      one.state === "closed" ? "" : sureButton(t("Take the case back", "撤回申请"), t("It is closed then.", "撤回后即结案。"), async () => { await post(`rights/cases/${id}/withdraw`); again(); })),
  ];
}
caseView.live = ["case-opened", "case-closed", "case-escalated"];

const STEPS = 3;

/** Three steps: what it is about, which work, what happened. The answers so far stand in the address. */
export async function openCaseView(_, asked) {
  const said = Object.fromEntries(asked);
  const { kind, placement, district } = said;
  const step = !kind ? 1 : !placement && !district ? 2 : 3;
  const next = (more) => go(`/open-case?${new URLSearchParams({ ...said, ...more })}`);
  const title = (text) => [heading(text, el("span", { class: "soft" }, t(`Step ${step} of ${STEPS}`, `第 ${step} 步，共 ${STEPS} 步`))), el("progress", { max: STEPS, value: step, "aria-hidden": "true" })];
  if (step === 1) {
    return [...title(t("What is it about?", "遇到了什么问题？")), el("ul", { class: "menu" }, ...choices("case").map(([code, text]) => el("li", {}, el("button", { type: "button", onclick: () => next({ kind: code }) }, text))))];
  }
  if (step === 2) {
    const { items } = await getOrKept("matching/placements", { limit: 100 });
    return [...title(t("Which work?", "是哪一次用工？")),
      el("ul", { class: "menu" }, ...items.map((one) => el("li", {}, el("button", { type: "button", onclick: () => next({ placement: one.placement_id }) }, `${one.terms.title} · ${one.terms.employer_name}`, el("span", { class: "soft" }, ` ${when(one.terms.period.start)}`))))),
      section(t("None of these", "都不是"), form([field({ name: "district", label: t("District where it was", "发生在哪个区县"), type: "select", options: districts() })], t("Go on", "下一步"), next))];
  }
  const fields = [
    field({ name: "what_happened", label: t("What happened? Who, when, how much.", "请说明情况：谁、何时、多少钱。"), type: "area", required: true, minLength: 2, maxLength: 4000, rows: 7 }),
    ...(kind === "injury" ? [field({ name: "happened_on", label: t("On which day", "受伤日期"), type: "date", max: dayOf(), value: dayOf(), required: true })] : []),
  ];
  return [...title(t("What happened?", "发生了什么？")), note(label("case", kind)), form(fields, t("Send", "提交"), async (values) => {
    const made = await post("rights/cases", { kind, ...(placement ? { placement_id: placement } : { district }), ...values });
    tell(t(`Your receipt number: ${made.receipt}`, `受理编号：${made.receipt}`));
    go(`/case/${made.case_id}`);
  })];
}
