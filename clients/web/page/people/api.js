// The market's HTTP API for the person who is signed in here: tokens, one key for each command, refusals as sentences.

import { language } from "../locale.js";

export const role = document.body.dataset.role; // worker, employer or clerk

const PAUSES_MS = [300, 1_000, 3_000];
const NOT_NOW = [429, 502, 503, 504];
const PATIENCE_MS = 20_000;

// A phone is its owner's; a counter's browser forgets its clerk with the window.
const memory = role === "clerk" ? sessionStorage : localStorage;
const SESSION = `kuaizhao-session-${role}`;
const KEPT = `kuaizhao-kept-${role}:`;

/** The market said no: `detail` is a sentence for the person, `errors` name the fields that are not right. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = problem.code ?? "";
    this.errors = problem.errors ?? [];
    this.facts = problem.facts ?? {};
  }
}

/** Nobody answered: there is no signal, or the market is away. */
export class NoAnswer extends Error {}

const read = () => { try { return JSON.parse(memory.getItem(SESSION)); } catch { return null; } };
let session = read();

export const me = () => session?.account_id ?? null;
export const rights = () => session?.role ?? null;
const signedOut = () => dispatchEvent(new Event("signed-out"));

function begin(tokens) {
  session = tokens;
  memory.setItem(SESSION, JSON.stringify(tokens));
}

function forget() {
  session = null;
  for (const name of Object.keys(memory)) if (name === SESSION || name.startsWith(KEPT)) memory.removeItem(name);
}

export async function signIn(grant) {
  begin(await call("POST", "identity/token", grant));
}

export async function signOut() {
  const token = session?.refresh_token;
  forget();
  if (token) await call("POST", "identity/revoke", { token }).catch(() => {});
  signedOut();
}

/** The next tokens in place of these, one tab at a time: a refresh token that is used twice ends the session. */
async function renew(used) {
  const next = async () => {
    session = read();
    if (session?.access_token !== used) return !!session;
    const grant = { grant_type: "refresh_token", refresh_token: session.refresh_token };
    const answer = await send("POST", "identity/token", grant, {});
    if (answer.ok) begin(await answer.json());
    else if (answer.status < 500) forget();
    return answer.ok;
  };
  return navigator.locks ? navigator.locks.request(SESSION, next) : next();
}

function send(method, path, body, headers) {
  return fetch(`/api/${path}`, {
    method,
    headers: { "accept-language": language, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
}

export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * The answer's JSON, or with `as: "blob"` its bytes. A command is sent again, under the same key, while nobody answers.
 * Throws Refusal or NoAnswer.
 */
export async function call(method, path, body, { as = "json", key = newKey(), pauses = PAUSES_MS } = {}) {
  let renewed = false;
  for (let attempt = 0; ; attempt++) {
    const token = path.startsWith("identity/token") ? null : session?.access_token;
    const headers = { ...(method === "GET" ? {} : { "idempotency-key": key }), ...(token ? { authorization: `Bearer ${token}` } : {}) };
    let answer = null;
    try {
      answer = await send(method, path, body, headers);
    } catch { /* no answer */ }
    if (answer?.status === 401 && token && !renewed) {
      renewed = true;
      let goesOn = false;
      try { goesOn = await renew(token); } catch { throw new NoAnswer(); }
      if (goesOn) continue;
      signedOut();
    }
    if ((!answer || NOT_NOW.includes(answer.status)) && attempt < pauses.length && navigator.onLine) {
      await new Promise((go) => setTimeout(go, pauses[attempt]));
      continue;
    }
    if (!answer || [502, 503, 504].includes(answer.status)) throw new NoAnswer();
    if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => ({})));
    if (answer.status === 204) return null;
    return as === "blob" ? answer.blob() : answer.json();
  }
}

export const get = (path, query = {}) => call("GET", path + asQuery(query));
export const post = (path, body) => call("POST", path, body);
export const put = (path, body) => call("PUT", path, body);
export const patch = (path, body) => call("PATCH", path, body);
export const remove = (path) => call("DELETE", path);

/** A query string of what is neither empty nor false; a list names its key once for each value. */
export function asQuery(query) {
  const parts = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const text = new URLSearchParams(parts.filter(([, value]) => value !== "" && value !== false && value != null)).toString();
  return text && `?${text}`;
}

/** What `get` answers, or null where it is not there. */
export async function find(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** As `get`; without a signal the last answer that this device had, with `keptAt`. */
export async function getOrKept(path, query = {}) {
  const name = KEPT + path + asQuery(query);
  try {
    const answer = await get(path, query);
    try { memory.setItem(name, JSON.stringify({ ...answer, keptAt: new Date().toISOString() })); } catch { /* full */ }
    return answer;
  } catch (error) {
    const kept = error instanceof NoAnswer && memory.getItem(name);
    if (!kept) throw error;
    return JSON.parse(kept);
  }
}

/** Every item of a list that comes in pages, at most `most`. */
export async function all(path, query = {}, most = 200) {
  const items = [];
  let after = null;
  do {
    const page = await get(path, { limit: 100, ...query, after });
    items.push(...page.items);
    after = page.next;
  } while (after && items.length < most);
  return items;
}

/** Tell `hear` each message of this person as it comes, for as long as somebody is signed in. */
export async function follow(hear) {
  let last = null;
  for (;;) {
    try {
      const headers = { authorization: `Bearer ${session?.access_token}`, "accept-language": language };
      if (last) headers["last-event-id"] = last;
      const answer = me() && !document.hidden ? await fetch("/api/notify/stream", { headers, cache: "no-store" }) : null;
      if (answer?.status === 401) await renew(session.access_token);
      else if (answer?.ok) for await (const message of events(answer.body)) {
        last = message.sequence;
        hear(message);
      }
    } catch { /* it broke off: again */ }
    await new Promise((go) => setTimeout(go, 3_000));
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r", "");
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (data) yield JSON.parse(data);
    }
  }
}
