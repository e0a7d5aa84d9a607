// Signing in: by a code that is sent to the phone, for a clerk by name and password.

import { keep, kept } from "../locale.js";
import { post, signIn } from "./api.js";
import { el, field, form, heading, note, t, tell } from "./ui.js";

const PHONE = "kuaizhao-phone";

const TITLES = {
  worker: () => t("Find work", "找零工"),
  employer: () => t("Hire people", "招零工"),
  clerk: () => t("Clerk's desk", "工作人员"),
};

export function signInView(role, done) {
  if (role === "clerk") return byPassword(done);
  const holder = el("div", {});
  const askPhone = () => {
    const phone = field({ name: "phone", label: t("Mobile number", "手机号"), type: "tel", autocomplete: "tel", inputMode: "tel", required: true, value: kept(PHONE) ?? "", hint: t("A code of six digits is sent to it.", "我们会发送六位验证码。") });
    holder.replaceChildren(form([phone], t("Send the code", "获取验证码"), async ({ phone: typed }) => {
      const number = international(typed);
      await post("identity/codes", { phone: number });
      keep(PHONE, typed);
      askCode(number);
    }));
  };
  const askCode = (phone) => {
    const code = field({ name: "code", label: t("Code", "验证码"), inputMode: "numeric", autocomplete: "one-time-code", pattern: "[0-9]{6}", maxLength: 6, required: true, hint: t(`Sent to ${phone}`, `已发送至 ${phone}`) });
    const other = el("button", { type: "button", onclick: askPhone }, t("Another number", "换个号码"));
    holder.replaceChildren(form([code], t("Sign in", "登录"), async ({ code: typed }) => {
      await signIn({ grant_type: "phone_code", phone, code: typed, role });
      tell(t("You are signed in.", "已登录。"));
      done();
    }, other));
    code.input.focus();
  };
  askPhone();
  return [heading(TITLES[role]()), note(t("Free for workers: nobody may ask you for a deposit or a fee.", "求职免费：任何人不得收取押金或费用。")), holder];
}

/** A number as E.164; without a country it is one of China's. */
const international = (typed) => {
  const digits = typed.replace(/[^\d+]/g, "");
  return digits.startsWith("+") ? digits : `+86${digits}`;
};

function byPassword(done) {
  const fields = [
    field({ name: "username", label: t("Name", "用户名"), autocomplete: "username", required: true }),
    field({ name: "password", label: t("Password", "密码"), type: "password", autocomplete: "current-password", required: true }),
  ];
  return [heading(TITLES.clerk()), form(fields, t("Sign in", "登录"), async (values) => {
    await signIn({ grant_type: "password", ...values });
    done();
  })];
}
