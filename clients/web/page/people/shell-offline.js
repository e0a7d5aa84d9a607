// The workers' service worker: their page opens without a signal, from what this device loaded last. Data is not its matter.

const CACHE = "kuaizhao-worker";
const OURS = /^\/(worker$|page\/|live\/places$)/;

addEventListener("install", (event) => {
  event.waitUntil(keep("/worker").then(() => skipWaiting()));
});
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

/** Keep a file, and with it each that it names: style sheets, scripts and what they import. */
async function keep(path, seen = new Set()) {
  if (seen.has(path)) return;
  seen.add(path);
  const answer = await fetch(path, { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  await (await caches.open(CACHE)).put(path, answer.clone());
  if (!/javascript|html/.test(answer.headers.get("content-type"))) return;
  const named = [...(await answer.text()).matchAll(/(?:from |import |src=|href=)"((?:\.{0,2}\/)[^"#]+)"/g)];
  await Promise.all(named.map(([, name]) => keep(new URL(name, new URL(path, location.origin)).pathname, seen)));
}

addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin || !OURS.test(url.pathname)) return;
  event.respondWith(newest(event.request, url.pathname));
});

/** The network's answer, kept for later; what was kept when there is none. */
async function newest(request, path) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(path, answer.clone());
    return answer;
  } catch (error) {
    const kept = await cache.match(path);
    if (kept) return kept;
    throw error;
  }
}
