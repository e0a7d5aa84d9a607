// What waits for a clerk, each queue with how much and since when.

import { get, rights, signOut } from "./api.js";
import { button, el, heading, t, when } from "./ui.js";
import { disputedSheets } from "./queues.js";

const MOST = 100;

export const QUEUES = [
  { to: "/reviews", title: () => t("Posts to review", "岗位审核"), ask: () => get("posting/reviews", { limit: MOST }), since: (one) => one.asked_at },
  { to: "/employers", title: () => t("Employers to verify", "单位核验"), ask: () => get("posting/employers", { limit: MOST }) },
  { to: "/cases?escalated=true", title: () => t("Cases past a time limit", "超期案件"), ask: () => get("rights/cases", { limit: MOST, escalated: true }), since: (one) => one.opened_at },
  { to: "/cases?state=open", title: () => t("New cases", "新案件"), ask: () => get("rights/cases", { limit: MOST, state: "open" }), since: (one) => one.opened_at },
  { to: "/appeals", title: () => t("Appeals against bans", "候工暂停申诉"), ask: () => get("workers/bans/appeals", { limit: MOST }), since: (one) => one.appeal.at },
  { to: "/sanctions?appealed=true", title: () => t("Appeals against sanctions", "处理措施申诉"), ask: () => get("rights/sanctions", { limit: MOST, appealed: true }), since: (one) => one.appeal.at },
  { to: "/excuses", title: () => t("Excuses for late cancellations", "临时取消理由"), ask: () => get("matching/excuses", { limit: MOST }), since: (one) => one.cancelled_at },
  { to: "/timesheets", title: () => t("Disputed hours", "工时异议"), ask: disputedSheets, since: (one) => one.answered_at },
];

export async function deskView() {
  const waiting = await Promise.all(QUEUES.map((queue) => queue.ask()));
  return [
    heading(t("What waits", "待办事项")),
    el("div", { class: "queues" }, ...QUEUES.map(({ to, title, since }, i) => {
      const { items, next } = waiting[i];
      const oldest = since && items.map(since).sort()[0];
      return el("article", { class: "card" },
        el("h2", {}, el("a", { href: `#${to}`, class: "stretch" }, title())),
        el("p", { class: "figure" }, `${items.length}${next ? "+" : ""}`),
        el("p", { class: "soft" }, oldest ? t(`the oldest since ${when(oldest)}`, `最早：${when(oldest)}`) : items.length ? "" : t("nothing waits", "无待办")));
    })),
    el("ul", { class: "menu" }, el("li", {}, el("a", { href: "#/sanctions" }, t("All sanctions, and to set one", "处理措施（查看与作出）")))),
    el("p", { class: "acts" }, button(t("Sign out", "退出登录"), signOut), el("span", { class: "soft" }, rights() === "operator" ? t("operator", "运营人员") : t("clerk", "工作人员"))),
  ];
}
