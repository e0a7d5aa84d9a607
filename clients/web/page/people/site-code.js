// A work site's check-in code on a screen at its door: a QR code that changes by itself, and its digits below.

import { svg } from "../dom.js";
import { NoAnswer, get } from "./api.js";
import { qr } from "./qr.js";
import { el, t, tell } from "./ui.js";

export async function siteView([gig_id]) {
  const gig = await get(`posting/gigs/${gig_id}`);
  const picture = el("div", {}), digits = el("p", { class: "code" }), state = el("p", { role: "status" });
  const screen = el("div", { class: "site" }, el("h1", { tabIndex: -1 }, t(`Check in: ${gig.title}`, `扫码签到：${gig.title}`)), picture, digits, state,
    el("p", { class: "acts" },
      el("button", { type: "button", onclick: () => screen.requestFullscreen?.().catch(() => tell(t("This browser has no full screen.", "此浏览器不支持全屏。"))) }, t("Full screen", "全屏")),
      el("button", { type: "button", onclick: () => history.back() }, t("Close", "关闭"))));

  let good = 0;
  async function show() {
    let next = 2_000;
    try {
      const code = await get(`rights/gigs/${gig_id}/code`);
      picture.replaceChildren(drawn(code.qr));
      digits.textContent = code.code;
      state.textContent = t("Changes by itself every 30 seconds.", "每 30 秒自动更新。");
      good = new Date(code.good_until);
      next = Math.max(1_000, new Date(code.next_at) - Date.now() + 200);
    } catch (error) {
      state.textContent = error instanceof NoAnswer ? t("No signal; trying again.", "无网络，正在重试。") : error.message;
      if (Date.now() > good) { picture.replaceChildren(); digits.textContent = ""; } // a code that is no longer good misleads
      if (!(error instanceof NoAnswer)) return;
    }
    setTimeout(() => screen.isConnected && show(), next);
  }
  await show();
  navigator.wakeLock?.request("screen").catch(() => {});
  return screen;
}

function drawn(text) {
  const modules = qr(text);
  const size = modules.length, quiet = 4;
  const path = modules.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + quiet} ${y + quiet}h1v1h-1z` : ""))).join("");
  return svg("svg", { viewBox: `0 0 ${size + 2 * quiet} ${size + 2 * quiet}`, role: "img", "aria-label": t("QR code of this work site", "本工作场所的二维码"), "shape-rendering": "crispEdges" },
    svg("rect", { width: "100%", height: "100%", fill: "#fff" }), svg("path", { d: path, fill: "#000" }));
}
