// Messages on this device (web push): a person signs in by phone once, and their browser is told from then on.
//
// The token is used for this one thing and kept nowhere. To stop, the browser alone gives its subscription back: its
// push service then says that it is gone, and notify forgets it.

import { byId, write } from "./dom.js";
import { language, switchLanguage } from "./locale.js";
import { say } from "./words.js";

const form = byId("device-form");
let state = "asking";
let detail = "";

/** Trusted Types: the one script address of this page that is not in its HTML. */
const worker = globalThis.trustedTypes
  ? trustedTypes.createPolicy("device", { createScriptURL: (url) => url }).createScriptURL("/page/push-worker.js")
  : "/page/push-worker.js";

function show(next, why = "") {
  [state, detail] = [next, why];
  write(byId("device-state"), say(`device-is-${state}`, { why }));
  byId("device-state").dataset.state = state;
  form.hidden = !["off", "code", "failed"].includes(state);
  byId("device-off").hidden = state !== "on";
}

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = `${say("device")} · ${say("name")}`;
  for (const node of document.querySelectorAll("[data-t]")) write(node, say(node.dataset.t));
  byId("language").setAttribute("aria-label", say("other-language-label"));
  show(state, detail);
}

/** What an address of the market answers. Throws its problem in the reader's language (RFC 9457). */
async function ask(path, body, token) {
  const headers = { "accept-language": language, "idempotency-key": crypto.randomUUID() };
  if (body) headers["content-type"] = "application/json";
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(`/api/${path}`, { method: body ? (token ? "PUT" : "POST") : "GET", headers, body: body && JSON.stringify(body) });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.errors?.[0]?.detail ?? said.detail ?? said.error_description ?? String(answer.status));
  return said;
}

const octets = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));

/** What this browser has: a subscription, or none; or why it can have none. */
async function look() {
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) return show("unsupported");
  if (Notification.permission === "denied") return show("denied");
  const registered = await navigator.serviceWorker.getRegistration("/page/");
  show((await registered?.pushManager.getSubscription()) ? "on" : "off");
}

async function begin() {
  if ((await Notification.requestPermission()) !== "granted") return show("denied");
  const { role, phone, code } = Object.fromEntries(new FormData(form));
  const { access_token: token } = await ask("identity/token", { grant_type: "phone_code", phone, code, role });
  const { public_key: key } = await ask("notify/push-key");
  await navigator.serviceWorker.register(worker, { scope: "/page/" });
  const { pushManager } = await navigator.serviceWorker.ready;
  const subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: octets(key) });
  const { endpoint: address, keys } = subscription.toJSON();
  try {
    await ask("notify/contact", { channel: "push", address, keys, language, consent: true }, token);
  } catch (error) {
    await subscription.unsubscribe();
    throw error;
  }
  show("on");
}

async function end() {
  const registered = await navigator.serviceWorker.getRegistration("/page/");
  await (await registered?.pushManager.getSubscription())?.unsubscribe();
  show("off");
}

/** Run a step; what goes wrong in it is shown, and the person may try again. */
const step = (what) => (event) => {
  event.preventDefault();
  what().catch((error) => show("failed", error.message));
};

byId("language").addEventListener("click", () => { switchLanguage(); speak(); });
byId("device-code").addEventListener("click", step(async () => {
  if (!form.elements.phone.reportValidity()) return;
  await ask("identity/codes", { phone: form.elements.phone.value });
  show("code");
}));
form.addEventListener("submit", step(begin));
byId("device-off").addEventListener("click", step(end));

speak();
look().catch((error) => show("failed", error.message));
