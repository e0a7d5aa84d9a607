// Messages to a person, and how they wish to be told: for workers and employers.

import { districtName, language } from "../locale.js";
import { get, put, remove, role } from "./api.js";
import { choices, label } from "./labels.js";
import { again, allRead } from "./shell.js";
import { badge, button, el, empty, field, form, heading, link, note, paged, section, stations, t, tell, when } from "./ui.js";

const OUTWARD = {
  worker: ["offer-made", "placement-made", "placement-cancelled", "attendance-asked", "excuse-decided", "agreement-made", "cover-refused", "shift-missed", "timesheet-disputed", "pay-due", "pay-corrected", "pay-overdue", "case-opened", "case-closed", "sanction-set", "sanction-lifted", "alert-raised", "notice-posted"],
  employer: ["placement-made", "placement-cancelled", "excuse-decided", "agreement-made", "cover-refused", "shift-missed", "pay-due", "pay-corrected", "pay-overdue", "pay-contested", "sanction-set", "sanction-lifted", "review-decided", "employer-verified", "employer-verification-ending", "employer-suspended"],
};
const URGENT = ["offer-made", "placement-made", "placement-cancelled", "attendance-asked", "shift-missed", "alert-raised", "notice-posted"];

const target = ({ refs }) =>
  refs.case_id ? role === "worker" && `/case/${refs.case_id}` : refs.placement_id ? `/placement/${refs.placement_id}` : refs.offer_id ? "/offers" : refs.gig_id ? `/gig/${refs.gig_id}` : null;

export async function noticesView() {
  const alerts = await get("notify/alerts");
  const draw = (message) => el("article", { class: "card message" },
    el("p", {}, message.text), el("p", { class: "soft" }, when(message.at), " ", target(message) ? link(target(message), t("Open", "查看")) : ""));
  const made = [
    heading(t("Notices", "消息"), link("/preferences", t("How I am told", "通知方式"), "press")),
    ...alerts.map((alert) => el("section", { class: "card alert" }, el("h2", {}, label("alert", alert.kind)), el("p", {}, alert[language]), el("p", { class: "soft" }, `${districtName(alert.district)} · ${t(`until ${when(alert.until)}`, `至 ${when(alert.until)}`)}`))),
    await paged("notify/messages", {}, draw, empty(t("No messages.", "暂无消息。"))),
  ];
  allRead();
  return made;
}
noticesView.live = [...OUTWARD.worker, ...OUTWARD.employer];

export async function preferencesView() {
  const [contacts, wishes, groups, listed] = await Promise.all([get("notify/contacts"), get("notify/preferences"), role === "worker" ? get("notify/groups") : [], stations()]);
  return [heading(t("How I am told", "通知方式")), contactPart(contacts), wishesPart(wishes), role === "worker" ? groupsPart(groups, listed) : ""];
}

function contactPart(contacts) {
  const kinds = ["sms", "voice", "email"];
  return section(t("Where", "联系方式"),
    el("ul", { class: "plain" }, ...contacts.map((one) => el("li", {}, `${label("channel", one.channel)} ${one.address} `, button(t("Withdraw", "撤销"), async () => { await remove(`notify/contacts/${one.channel}`); again(); })))),
    form([
      field({ name: "channel", label: t("By", "方式"), type: "select", options: choices("channel", kinds) }),
      field({ name: "address", label: t("Number or address", "号码或地址"), required: true, autocomplete: "tel", hint: t("A mobile number as +86…, or an e-mail address.", "手机号（如 +86…）或邮箱。") }),
      field({ name: "consent", label: t("I agree to be told of my work this way", "同意以此方式接收工作通知"), type: "check", required: true }),
    ], t("Add", "添加"), async (values) => { await put("notify/contact", { ...values, language }); tell(t("Saved.", "已保存。")); again(); }));
}

function wishesPart(wishes) {
  const how = (kind) => (wishes.digest.includes(kind) ? "digest" : wishes.channels[kind]?.length === 0 ? "app" : "usual");
  const ways = (kind) => [["usual", t("at once", "立即")], ...(URGENT.includes(kind) ? [] : [["digest", t("once a day", "每天汇总")]]), ["app", t("only here", "仅站内")]];
  const kinds = OUTWARD[role].map((kind) => field({ name: `kind.${kind}`, label: label("kind", kind), type: "select", value: how(kind), options: ways(kind) }));
  const fields = [
    field({ name: "quiet_from", label: t("Quiet from", "免打扰开始"), type: "time", value: wishes.quiet_from }),
    field({ name: "quiet_until", label: t("Quiet until", "免打扰结束"), type: "time", value: wishes.quiet_until }),
    { node: note(t("Offers, and what cannot wait, come at any hour. Empty: as the market's rules say. The same hour twice: no quiet hours.", "邀约等紧急消息不受免打扰限制。留空按市场规定；两个时间相同表示不设免打扰。")) },
    { node: el("details", {}, el("summary", {}, t("By kind", "按类别")), el("div", { class: "grid" }, ...kinds.map((each) => each.node))), fields: kinds },
  ];
  return section(t("When", "时间"), form(fields, t("Save", "保存"), async ({ kind, quiet_from, quiet_until }) => {
    const { channels, digest: _, ...rest } = wishes;
    const kept = Object.fromEntries(Object.entries(channels).filter(([code, by]) => by.length && kind[code] === "usual"));
    await put("notify/preferences", {
      ...rest, quiet_from: quiet_from ?? null, quiet_until: quiet_until ?? null,
      channels: { ...kept, ...Object.fromEntries(Object.keys(kind).filter((code) => kind[code] === "app").map((code) => [code, []])) },
      digest: Object.keys(kind).filter((code) => kind[code] === "digest"),
    });
    tell(t("Saved.", "已保存。"));
    again();
  }));
}

function groupsPart(groups, listed) {
  const row = (station) => {
    const inside = groups.includes(station.id);
    const path = `notify/groups/${station.id}/membership`;
    return el("li", {}, `${station[language]} · ${districtName(station.district)} `, inside ? badge(t("member", "已加入"), "good") : "",
      button(inside ? t("Leave", "退出") : t("Join", "加入"), async () => { await (inside ? remove(path) : put(path)); again(); }));
  };
  const sorted = [...listed].sort((a, b) => groups.includes(b.id) - groups.includes(a.id));
  return section(t("Groups of stations", "驿站群"), note(t("Hear of a station's urgent gigs.", "接收驿站的紧急用工消息。")), el("details", {}, el("summary", {}, t("All stations", "全部驿站")), el("ul", { class: "plain" }, ...sorted.map(row))));
}
