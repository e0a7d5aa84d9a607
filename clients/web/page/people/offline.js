// Starts and ends of shifts that were made without a signal: kept on this device, and sent when there is one again.

import { NoAnswer, call, me, newKey } from "./api.js";
import { again } from "./shell.js";
import { t, tell } from "./ui.js";

const AGAIN_MS = 20_000;
const place = () => `kuaizhao-waiting-${me()}`;

/** What waits to be sent, the oldest first: {key, placement_id, what: start or end, body, refused}. */
export function waiting() {
  try { return JSON.parse(localStorage.getItem(place())) ?? []; } catch { return []; }
}

const keepAll = (entries) => localStorage.setItem(place(), JSON.stringify(entries));

/**
 * Start or end a shift, now if there is a signal. Without one it is kept with the device's time and sent later; a start
 * needs the site's code for that, which alone shows when it was. Gives the shift, or null when it waits.
 */
export async function record(placement_id, what, body) {
  const key = newKey(), at = new Date().toISOString();
  try {
    return await call("POST", `rights/shifts/${placement_id}/${what}`, body, { key, pauses: [] });
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    if (what === "start" && !body.code) throw new Error(t("There is no signal, so a position proves nothing. Scan or type the code of the work site: it is sent later.", "当前无网络，无法用定位签到。请扫描或输入现场签到码，联网后自动补传。"));
  }
  // Another key: should the first have arrived after all, the answer to this says so.
  keepAll([...waiting(), { key: newKey(), placement_id, what, body: { ...body, seen_at: at }, at }]);
  return null;
}

let busy = false;

/** Send what waits, in order. What is refused stays, with the reason, until the person has seen it. */
export async function sync() {
  if (busy || !me() || !navigator.onLine) return;
  busy = true;
  try {
    for (const entry of waiting().filter((each) => !each.refused)) {
      let refused = null;
      try {
        await call("POST", `rights/shifts/${entry.placement_id}/${entry.what}`, entry.body, { key: entry.key, pauses: [] });
      } catch (error) {
        if (error instanceof NoAnswer || error.status === 401) return;
        // It had arrived the first time, and only its answer was lost.
        const done = { start: ["already-started", "already-ended"], end: ["already-ended"] }[entry.what];
        if (!done.includes(error.code)) refused = error.message;
      }
      keepAll(waiting().flatMap((each) => (each.key !== entry.key ? [each] : refused ? [{ ...each, refused }] : [])));
      tell(refused ?? t("What you entered without a signal has been sent.", "离线记录已补传。"));
      again();
    }
  } finally {
    busy = false;
  }
}

export function dismiss(key) {
  keepAll(waiting().filter((each) => each.key !== key));
}

export function keepSyncing() {
  addEventListener("online", sync);
  setInterval(sync, AGAIN_MS);
  sync();
}
