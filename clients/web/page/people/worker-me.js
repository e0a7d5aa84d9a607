// A worker's own data: waiting for work, registration, and what is kept.

import { districtName, language } from "../locale.js";
import { find, get, post, signOut } from "./api.js";
import { label } from "./labels.js";
import { reaches } from "./days.js";
import { again, go } from "./shell.js";
import { districts, skills } from "./terms.js";
import { badge, button, el, field, form, heading, link, note, rows, section, stations, t, tell, when, whereAmI } from "./ui.js";

export async function meView() {
  const [mine, ban] = await Promise.all([find("workers/me"), find("workers/me/ban")]);
  const pages = [["/wait", t("Wait for work", "签到候工")], ["/days", t("My days", "我的时间")], ["/wishes", t("My wishes", "我的要求")], ["/pay", t("Hours and pay", "工时与工资")], ["/cases", t("Rights desk", "维权")], ["/preferences", t("How I am told", "通知方式")]];
  return [
    heading(mine?.name ?? t("Me", "我的")),
    ban && banPart(ban),
    mine ? section("", rows([
      [t("Identity number", "身份证号"), mine.id_number],
      [t("District", "区县"), districtName(mine.district)],
      [t("Certificates", "证书"), mine.certificates.map((each) => `${label("certificate", each.code)}${each.checked ? " ✓" : t(" (bring it to the counter)", "（请到柜台核验）")}`).join(t(", ", "、"))],
      [t("Registered", "登记时间"), when(mine.registered_at)],
    ])) : section("", el("p", {}, t("You are not registered yet.", "您尚未登记。")), link("/register", t("Register", "实名登记"), "press primary")),
    el("ul", { class: "menu" }, ...pages.map(([to, text]) => el("li", {}, link(to, text)))),
    el("p", { class: "acts" }, button(t("Sign out", "退出登录"), signOut)),
  ].filter(Boolean);
}

function banPart(ban) {
  const over = ban.until && new Date(ban.until) < Date.now();
  if (over) return null;
  return section(t("You may not wait for work now", "您被暂停候工"),
    el("p", {}, ban.note), ban.until && note(t(`Until ${when(ban.until)}`, `截止 ${when(ban.until)}`)),
    ban.appeal ? el("p", {}, t("Your appeal: ", "您的申诉："), label("appeal", ban.appeal.state), " ", ban.appeal.reason ?? "") : "",
    ban.appeal && ban.appeal.state !== "waiting" ? "" : form([field({ name: "text", label: t("Why it is wrong", "申诉理由"), type: "area", required: true, minLength: 4, maxLength: 1000, value: ban.appeal?.text })], t("Appeal", "提交申诉"), async (values) => { await post("workers/me/ban/appeal", values); again(); }));
}

// --- waiting for work -----------------------------------------------------------------------------------------------

export async function waitView() {
  const [mine, now, listed] = await Promise.all([find("workers/me"), find("workers/me/check-in"), stations()]);
  if (!mine) return [heading(t("Wait for work", "签到候工")), section("", el("p", {}, t("Register under your real name first.", "请先实名登记。")), link("/register", t("Register", "实名登记"), "press primary"))];
  const station = listed.find((each) => each.id === now?.station_id);
  const waits = now && section(t("You are waiting for work", "您正在候工"),
    rows([[t("Districts", "区县"), now.districts.map(districtName).join(t(", ", "、"))], [t("At", "地点"), station?.[language]], [t("Until", "至"), when(now.until)]]),
    note(t("You are told at once when something fits.", "有合适岗位会立即通知您。")),
    el("p", { class: "acts" }, link("/offers", t("To my offers", "查看邀约"), "press primary"), button(t("Wait no longer", "结束候工"), async () => { await post(`workers/check-ins/${now.checkin_id}/end`); tell(t("You no longer wait.", "已结束候工。")); again(); })));
  const from = field({ name: "from", label: t("I am at", "我在"), type: "select", options: [["me", t("where this phone is", "手机当前位置")], ...listed.map((each) => [each.id, `${each[language]} · ${districtName(each.district)}`])] });
  const where = field({ name: "districts", label: t("Districts where I would work", "愿意工作的区县"), type: "checks", value: now?.districts ?? [mine.district], options: districts() });
  const until = field({ name: "until", label: t("Until (the end of the day, if empty)", "候工至（留空为当天结束）"), type: "datetime-local" });
  const made = form([from, until, where], now ? t("Wait anew", "重新签到") : t("Wait for work", "签到候工"), async ({ from: at, ...rest }) => {
    await post("workers/check-ins", { ...rest, ...(at === "me" ? { position: await whereAmI() } : { station_id: at }) });
    tell(t("You are waiting for work.", "签到成功，正在候工。"));
    again();
  });
  return [heading(t("Wait for work", "签到候工")), waits || "", now ? el("details", {}, el("summary", {}, t("Change it", "修改")), made) : section("", made)];
}
waitView.live = ["placement-made"];

// --- registration ---------------------------------------------------------------------------------------------------

/** The fields of a registration, for the person or for a clerk at the counter. */
export function registrationFields(paper) {
  return [
    field({ name: "name", label: t("Name as on the identity card", "姓名（与身份证一致）"), required: true, autocomplete: "off" }),
    field({ name: "id_number", label: t("Identity number", "身份证号"), required: true, autocomplete: "off", maxLength: 18, inputMode: "text" }),
    field({ name: "floor_fen_per_hour", label: t("Least pay per hour (yuan)", "每小时最低（元）"), type: "yuan" }),
    field({ name: "reach_m", label: t("How far at most", "最远距离"), type: "select", value: "5000", options: reaches() }),
    field({ name: "skills", label: t("Skills", "技能"), type: "checks", options: skills() }),
    field({ name: "hardship", label: t("In difficulty to find work (helps you, is never shown to an employer)", "就业困难情形（用于帮扶，不向单位显示）"), type: "checks", options: paper.hardship.map((each) => [each.code, each.label]) }),
    { node: el("details", { class: "consent" }, el("summary", {}, t("What you agree to", "同意书")), el("p", {}, paper.consent.text)) },
    field({ name: "consent", label: t("I agree that my data is kept for this", "本人已阅读并同意"), type: "check", required: true }),
  ];
}

export const registration = (district, { reach_m, ...values }) => ({ ...values, district, reach_m: Number(reach_m) });

export async function registerView(_, asked) {
  const district = asked.get("district");
  if (!district) {
    return [heading(t("Register", "实名登记")), form([field({ name: "district", label: t("Your district", "所在区县"), type: "select", options: districts(), required: true })], t("Go on", "下一步"), (values) => go(`/register?district=${values.district}`))];
  }
  const paper = await get("workers/registration-form", { district });
  return [heading(t("Register", "实名登记"), badge(districtName(district))), form(registrationFields(paper), t("Register", "提交登记"), async (values) => {
    await post("workers/registration", registration(district, values));
    tell(t("You are registered.", "登记成功。"));
    go("/wait");
  })];
}
