// The page of workers.

import { start } from "./shell.js";
import { availabilityView, wishesView } from "./days.js";
import { caseView, casesView, openCaseView } from "./cases.js";
import { meView, registerView, waitView } from "./worker-me.js";
import { noticesView, preferencesView } from "./notices.js";
import { offersView } from "./offers.js";
import { payView, placementView, workView } from "./work.js";
import { gigView, searchView } from "./search.js";
import { keepSyncing } from "./offline.js";
import { t } from "./ui.js";

start({
  name: () => t("Kuaizhao · Work", "快招 · 找活"),
  home: "/find",
  open: ["find", "gig"],
  tabs: [
    ["/find", () => t("Find", "找活")],
    ["/offers", () => t("Offers", "邀约")],
    ["/work", () => t("My work", "我的活")],
    ["/notices", () => t("Notices", "消息")],
    ["/me", () => t("Me", "我的")],
  ],
  views: {
    find: searchView, gig: gigView, offers: offersView, work: workView, placement: placementView, pay: payView,
    cases: casesView, case: caseView, "open-case": openCaseView, days: availabilityView, wishes: wishesView,
    wait: waitView, register: registerView, notices: noticesView, preferences: preferencesView, me: meView,
  },
  begin: keepSyncing,
});

navigator.serviceWorker?.register(address("/offline.js"), { scope: "/worker" }).catch(() => {});

/** The address of a script as the page's policy wants it (Trusted Types). */
function address(path) {
  return globalThis.trustedTypes ? trustedTypes.createPolicy("kuaizhao", { createScriptURL: () => path }).createScriptURL(path) : path;
}
