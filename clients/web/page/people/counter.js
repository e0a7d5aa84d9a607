// The counter: a person is registered and checked in by a clerk; and alerts to people near a place.

import { districtName, language } from "../locale.js";
import { find, get, post, put, remove } from "./api.js";
import { choices, label } from "./labels.js";
import { again, go } from "./shell.js";
import { districts } from "./terms.js";
import { badge, el, empty, field, form, heading, note, rows, section, stations, sureButton, t, tell, to, when } from "./ui.js";
import { registration, registrationFields } from "./worker-me.js";

/** In turn: the phone, the registration, and then what can be done for the person. The account stands in the address. */
export async function counterView(_, asked) {
  const account = asked.get("account"), district = asked.get("district");
  if (!account) return [heading(t("Somebody is at the counter", "柜台办理")), note(t("Ask for the phone number. It finds the person, or makes an account for them.", "请询问手机号，可查找已有账户或新建账户。")), form([
    field({ name: "phone", label: t("Mobile number", "手机号"), type: "tel", required: true, inputMode: "tel", autocomplete: "off" }),
    field({ name: "district", label: t("District", "区县"), type: "select", options: districts() }),
  ], t("Go on", "下一步"), async ({ phone, district: chosen }) => {
    const digits = phone.replace(/[^\d+]/g, "");
    const { account_id } = await post("identity/accounts", { phone: digits.startsWith("+") ? digits : `+86${digits}` });
    go(to("/counter", { account: account_id, district: chosen }));
  })];
  const known = await find(`workers/${account}/certificates`);
  const end = el("a", { href: "#/counter", class: "press" }, t("Done: the next person", "办结：下一位"));
  if (!known) {
    const paper = await get("workers/registration-form", { district });
    return [heading(t("Register this person", "登记"), end), note(t("Read the consent to them, or let them read it.", "请向本人宣读同意书，或由本人阅读。")), form(registrationFields(paper), t("Register", "提交登记"), async (values) => {
      await post("workers/registration", { account_id: account, ...registration(district, values) });
      tell(t("Registered.", "登记成功。"));
      again();
    })];
  }
  return [heading(t("This person is registered", "该人员已登记"), end), checkInPart(account, district, await stations()), certificatesPart(account, known.certificates), casePart(account, district), banPart(account)];
}

const checkInPart = (worker_id, district, listed) => section(t("Wait for work", "签到候工"), form([
  field({ name: "station_id", label: t("At the station", "所在驿站"), type: "select", options: listed.filter((each) => each.district === district).map((each) => [each.id, each[language]]) }),
  field({ name: "until", label: t("Until (the end of the day, if empty)", "候工至（留空为当天结束）"), type: "datetime-local" }),
], t("Check in", "签到"), async (values) => { const made = await post("workers/check-ins", { worker_id, districts: [district], ...values }); tell(t(`Waits until ${when(made.until)}.`, `候工至 ${when(made.until)}。`)); }));

const certificatesPart = (worker_id, certificates) => section(t("Certificates", "证书核验"),
  certificates.length ? "" : empty(t("None declared.", "未申报证书。")),
  ...certificates.map((one) => el("div", {}, el("p", {}, label("certificate", one.code), " ", one.checked ? badge(t("seen", "已核验"), "good") : badge(t("not seen yet", "待核验"), "warn"), one.valid_until ? ` ${one.valid_until}` : ""),
    form([field({ name: "valid_until", label: t("Last day on the paper", "证书有效期至"), type: "date", value: one.valid_until })], t("I have seen the paper", "已核验原件"), async (values) => { await post(`workers/${worker_id}/certificates/${one.code}/check`, { approved: true, ...values }); again(); }))));

const casePart = (worker_id, district) => section("", el("details", {}, el("summary", {}, t("Open a case for them", "代为提交维权申请")), form([
  field({ name: "kind", label: t("About", "事由"), type: "select", options: choices("case") }),
  field({ name: "what_happened", label: t("What happened", "情况说明"), type: "area", required: true, minLength: 2, maxLength: 4000 }),
], t("Open the case", "提交"), async (values) => { const made = await post("rights/cases", { worker_id, district, ...values }); tell(t(`Receipt ${made.receipt}`, `受理编号 ${made.receipt}`)); go(`/case/${made.case_id}`); })));

const banPart = (worker_id) => section("", el("details", {}, el("summary", {}, t("Keep them from waiting for work", "暂停候工")), form([
  field({ name: "reason", label: t("Reason, as a code such as no-show", "原因代码，如 no-show"), required: true, pattern: "[a-z][a-z0-9-]*" }),
  field({ name: "note", label: t("What happened", "情况说明"), type: "area", required: true, minLength: 4, maxLength: 500 }),
  field({ name: "until", label: t("Until (open, if empty)", "至（留空为无期限）"), type: "datetime-local" }),
], t("Set it", "作出"), async (values) => { await put(`workers/${worker_id}/ban`, values); tell(t("Set.", "已作出。")); again(); }),
sureButton(t("Lift a ban", "解除暂停"), t("Sure?", "确定？"), async () => { await remove(`workers/${worker_id}/ban`); tell(t("Lifted.", "已解除。")); })));

// --- alerts ---------------------------------------------------------------------------------------------------------

export async function alertsView() {
  const [alerts, listed] = await Promise.all([get("notify/alerts"), stations()]);
  const at = (id) => listed.find((each) => each.id === id);
  return [
    heading(t("Alerts", "安全提醒")),
    section(t("Warn people near a place", "向附近人员发出提醒"), note(t("Public: name no private person.", "内容公开，请勿涉及个人。")), form([
      field({ name: "kind", label: t("About", "类别"), type: "radios", value: "safety", options: choices("alert") }),
      field({ name: "station", label: t("Around", "中心地点"), type: "select", options: listed.map((each) => [each.id, `${each[language]} · ${districtName(each.district)}`]) }),
      field({ name: "radius_m", label: t("Within", "范围"), type: "select", value: "3000", options: [500, 1000, 3000, 5000, 10000, 50000].map((m) => [String(m), t(`${m / 1000} km`, `${m / 1000} 公里`)]) }),
      field({ name: "zh", label: "中文", type: "area", rows: 3, required: true, minLength: 2, maxLength: 300, lang: "zh-CN" }),
      field({ name: "en", label: "English", type: "area", rows: 3, required: true, minLength: 2, maxLength: 300, lang: "en" }),
      field({ name: "until", label: t("Until (at most a week)", "有效至（最多一周）"), type: "datetime-local", required: true }),
    ], t("Send", "发布"), async ({ station, radius_m, ...values }) => {
      const { lat, lon, district } = at(station);
      await post("notify/alerts", { ...values, lat, lon, district, radius_m: Number(radius_m) });
      tell(t("Sent.", "已发布。"));
      again();
    })),
    ...alerts.map((one) => section(label("alert", one.kind), el("p", {}, one[language]), rows([[t("Where", "地点"), `${districtName(one.district)}, ${one.radius_m} m`], [t("Until", "至"), when(one.until)]]))),
  ];
}
