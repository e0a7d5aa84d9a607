// The language and the colours that a visitor has chosen, and what depends on the language alone: money, names of places.

export const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
export const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* a private window */ } };
const asked = new URLSearchParams(location.search);

/** The language shown now: asked for in the address, chosen before, or what the server read from Accept-Language. */
export let language = asked.get("lang") ?? kept("language") ?? (document.documentElement.lang.startsWith("en") ? "en" : "zh");
if (!["zh", "en"].includes(language)) language = "zh";

/** The colours chosen: auto follows the system. */
export let theme = asked.get("theme") ?? kept("theme") ?? "auto";
if (!["auto", "light", "dark"].includes(theme)) theme = "auto";

export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  keep("language", language);
}

export function switchTheme() {
  theme = { auto: "light", light: "dark", dark: "auto" }[theme];
  keep("theme", theme);
}

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Put the language and the colours on the document, now and when the system's colours change. */
export function paint() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
}
dark.addEventListener("change", paint);

export const count = (n) => n.toLocaleString(language === "zh" ? "zh-CN" : "en-GB");

const yuan = (fen) => (fen % 100 ? (fen / 100).toFixed(fen % 10 ? 2 : 1) : String(fen / 100));
export const money = (fen) => (language === "zh" ? `${yuan(fen)} 元` : `¥${yuan(fen)}`);

/** The names of places and occupations, filled once they are loaded. */
export const names = { districts: new Map(), occupations: {} };
export const districtName = (code) => names.districts.get(code)?.[language] ?? code;

/** Load them; where that fails codes stand in their place. */
export async function loadNames() {
  try {
    const places = await (await fetch("/live/places")).json();
    names.districts = new Map(places.districts.map((district) => [district.code, district]));
    names.occupations = places.occupations;
  } catch { /* codes stand where names are missing */ }
}
