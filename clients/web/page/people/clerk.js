// The page of clerks and operators.

import { alertsView, counterView } from "./counter.js";
import { caseView, casesView } from "./clerk-cases.js";
import { appealsView, employersView, excusesView, reviewsView, sanctionsView, timesheetsView } from "./queues.js";
import { deskView } from "./desk.js";
import { rulesView } from "./rules.js";
import { start } from "./shell.js";
import { t } from "./ui.js";

start({
  name: () => t("Kuaizhao · Desk", "快招 · 工作台"),
  home: "/desk",
  tabs: [
    ["/desk", () => t("Queues", "待办")],
    ["/cases", () => t("Cases", "案件")],
    ["/counter", () => t("Counter", "柜台")],
    ["/rules", () => t("Rules", "规则")],
    ["/alerts", () => t("Alerts", "提醒")],
  ],
  views: {
    desk: deskView, reviews: reviewsView, employers: employersView, appeals: appealsView, sanctions: sanctionsView, excuses: excusesView, timesheets: timesheetsView,
    cases: casesView, case: caseView, counter: counterView, rules: rulesView, alerts: alertsView,
  },
});
