// A business: what is registered of it, whether it was verified, and what was held against it.

import { districtName } from "../locale.js";
import { all, find, post, put, signOut } from "./api.js";
import { label } from "./labels.js";
import { again, go } from "./shell.js";
import { districts } from "./terms.js";
import { badge, button, el, field, form, heading, link, rows, section, t, tell, when } from "./ui.js";

export async function employerMeView() {
  const [ours, sanctions] = await Promise.all([find("posting/employers/me"), all("rights/sanctions")]);
  if (!ours) return [heading(t("Our business", "我们单位")), section("", el("p", {}, t("Register your business first. A clerk checks it against its licence.", "请先登记单位，由工作人员核验营业执照。")), link("/register", t("Register", "登记单位"), "press primary")), el("p", { class: "acts" }, button(t("Sign out", "退出登录"), signOut))];
  return [
    heading(ours.name, badge(label("employer", ours.status), { verified: "good", rejected: "bad" }[ours.status] ?? "warn")),
    section("", rows([
      [t("Credit code", "统一社会信用代码"), ours.credit_code], [t("Licence", "执照号"), ours.licence_no], [t("District", "区县"), districtName(ours.district)],
      [t("Contact", "联系人"), ours.contact_name], [t("Verified until", "核验有效期至"), ours.verified_until && when(ours.verified_until)], [t("Reason", "原因"), ours.reason],
    ]), el("p", { class: "acts" }, link("/register", t("Change", "修改"), "press"))),
    ...sanctions.filter((one) => one.in_force).map(sanctionPart),
    el("ul", { class: "menu" }, el("li", {}, link("/preferences", t("How we are told", "通知方式")))),
    el("p", { class: "acts" }, button(t("Sign out", "退出登录"), signOut)),
  ];
}

employerMeView.live = ["employer-verified", "employer-suspended", "sanction-set", "sanction-lifted"];

function sanctionPart(one) {
  return section(label("sanction", one.kind),
    rows([[t("Reason", "原因"), one.reason], [t("Since", "自"), when(one.since)], [t("Until", "至"), one.until && when(one.until)], [t("Appeal", "申诉"), one.appeal && `${label("appeal", one.appeal.state)} ${one.appeal.reason ?? ""}`]]),
    one.appeal ? "" : form([field({ name: "text", label: t("Why it is wrong", "申诉理由"), type: "area", required: true, minLength: 4, maxLength: 1000 })], t("Appeal", "提交申诉"), async (values) => { await post(`rights/sanctions/${one.sanction_id}/appeal`, values); again(); }));
}

export async function registerView() {
  const ours = await find("posting/employers/me");
  return [heading(t("Our business", "登记单位")), form([
    field({ name: "name", label: t("Name as on the licence", "单位名称（与执照一致）"), required: true, value: ours?.name }),
    field({ name: "credit_code", label: t("Unified social credit code", "统一社会信用代码"), required: true, maxLength: 18, value: ours?.credit_code }),
    field({ name: "licence_no", label: t("Number of the licence", "执照号"), required: true, value: ours?.licence_no }),
    field({ name: "district", label: t("District", "区县"), type: "select", options: districts(), value: ours?.district }),
    field({ name: "contact_name", label: t("Contact", "联系人"), required: true, value: ours?.contact_name }),
  ], t("Send for checking", "提交核验"), async (values) => {
    await put("posting/employers/me", values);
    tell(t("A clerk checks it now.", "已提交，等待核验。"));
    go("/me");
  })];
}
