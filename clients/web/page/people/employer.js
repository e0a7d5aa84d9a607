// The page of employers.

import { noticesView, preferencesView } from "./notices.js";
import { employerMeView, registerView } from "./employer-me.js";
import { hoursView, peopleView, personView } from "./people.js";
import { gigsView, gigView, postView } from "./gigs.js";
import { siteView } from "./site-code.js";
import { start } from "./shell.js";
import { t } from "./ui.js";

start({
  name: () => t("Kuaizhao · Hire", "快招 · 招工"),
  home: "/gigs",
  tabs: [
    ["/gigs", () => t("Gigs", "岗位")],
    ["/people", () => t("People", "人员")],
    ["/hours", () => t("Hours, pay", "工时工资")],
    ["/notices", () => t("Notices", "消息")],
    ["/me", () => t("Us", "单位")],
  ],
  views: {
    gigs: gigsView, gig: gigView, post: postView, site: siteView, people: peopleView, placement: personView, hours: hoursView,
    notices: noticesView, preferences: preferencesView, me: employerMeView, register: registerView,
  },
});
