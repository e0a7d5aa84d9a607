// The frame of a page of people: signing in, tabs, and one view at a time by the address after the #.

import { byId, el } from "../dom.js";
import { language, loadNames, paint, switchLanguage } from "../locale.js";
import { NoAnswer, follow, me, role } from "./api.js";
import { signInView } from "./sign-in.js";
import { button, heading, sentence, t, tell } from "./ui.js";

let page; // {name, tabs, views, home}
let turn = 0; // of two views asked for one after the other, the later is shown
let shown = null; // the view on the screen
let onward = true; // the last move was by a link, not back
const heights = new Map();
let unread = 0;

/**
 * Start a page. `views`: by the first part of the address, (rest of the path, query) → node, perhaps later. `tabs`:
 * [address, () => text]…. A view's function may have `live`, the kinds of messages at which it is drawn anew.
 */
export function start(given) {
  page = given;
  byId("language").addEventListener("click", () => { switchLanguage(); draw(); });
  document.addEventListener("click", (event) => { onward ||= !!event.target.closest?.("a[href^='#/']"); });
  addEventListener("hashchange", (event) => {
    heights.set(new URL(event.oldURL).hash, scrollY);
    draw();
  });
  byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("main").focus(); });
  addEventListener("signed-out", draw);
  addEventListener("online", showAway);
  addEventListener("offline", showAway);
  if (history.scrollRestoration) history.scrollRestoration = "manual";
  loadNames().then(draw);
  follow(hear);
  page.begin?.();
}

export function go(path) {
  onward = true;
  if (location.hash === `#${path}`) draw();
  else location.hash = path;
}

/** Draw the view on the screen anew. */
export const again = () => draw({ still: true });

const kinds = new Set();
function hear(message) {
  const key = `${message.sequence}`;
  const fresh = Date.now() - new Date(message.at) < 60_000;
  if (kinds.has(key) || !fresh) return;
  kinds.add(key);
  tell(message.text);
  unread += 1;
  showTabs();
  if (shown?.live?.includes(message.kind) && !document.activeElement?.closest("form, dialog")) again();
}

export const allRead = () => { unread = 0; showTabs(); };

function showAway() {
  byId("away").hidden = navigator.onLine;
  byId("away").textContent = navigator.onLine ? "" : t("No signal. What you see may be old.", "当前无网络，显示的内容可能不是最新。");
}

function showTabs() {
  const at = location.hash.slice(1).split("?")[0];
  byId("tabs").setAttribute("aria-label", t("Pages", "页面"));
  byId("tabs").hidden = !me();
  byId("tabs").replaceChildren(...page.tabs.map(([path, text]) => {
    const tab = el("a", { href: `#${path}` }, text());
    if (path === "/notices" && unread) tab.append(el("span", { class: "count" }, el("span", { class: "unseen" }, t("unread: ", "未读：")), String(unread)));
    if (at === path || (at || page.home).startsWith(`${path}/`) || (!at && path === page.home)) tab.setAttribute("aria-current", "page");
    return tab;
  }));
}

async function draw({ still = false } = {}) {
  const mine = ++turn;
  paint();
  const back = !onward, hash = location.hash;
  onward = false;
  byId("skip").textContent = t("Skip to the content", "跳到正文");
  byId("name").textContent = page.name();
  byId("language").textContent = language === "zh" ? "EN" : "中文";
  byId("language").setAttribute("aria-label", t("切换到中文", "Switch to English"));
  showAway();
  showTabs();
  const main = byId("main");
  main.setAttribute("aria-busy", "true");
  const [path, query = ""] = (hash.slice(1) || page.home).split("?");
  const [, name, ...rest] = path.split("/");
  const view = me() || page.open?.includes(name) ? page.views[name] : () => signInView(role, draw);
  let made;
  try {
    made = await (view ?? notThere)(rest.map(decodeURIComponent), new URLSearchParams(query));
  } catch (error) {
    made = trouble(error);
  }
  if (mine !== turn) return;
  shown = view;
  main.replaceChildren(...[made].flat());
  main.setAttribute("aria-busy", "false");
  const title = main.querySelector("h1");
  document.title = `${title?.textContent ?? ""} · ${page.name()}`;
  if (still) return;
  scrollTo(0, back ? heights.get(hash) ?? 0 : 0);
  if (!back && mine > 2) title?.focus({ preventScroll: true });
}

const notThere = () => [heading(t("There is no such page", "没有这个页面")), el("p", {}, el("a", { href: `#${page.home}` }, t("Go to the start", "返回首页")))];

const trouble = (error) => {
  if (!(error instanceof NoAnswer) && !error.status) console.error(error);
  return [heading(t("This could not be shown", "暂时无法显示")), el("p", { class: "fault", role: "alert" }, sentence(error)), button(t("Try again", "重试"), () => draw())];
};
