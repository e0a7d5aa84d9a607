// Starts the page: words and colours first, then the three parts, each with its own source.

import { askBoard, layBoard, showBoard, showState } from "./board.js";
import { byId, every, write } from "./dom.js";
import { followEvents, showEvents } from "./events.js";
import { askJourney, backToLatest, fade, openTrace, showJourney } from "./journey.js";
import { language, names, say, switchLanguage, switchTheme, theme, word } from "./words.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

function paint() {
  document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  byId("theme").textContent = word("theme", theme);
  byId("theme").setAttribute("aria-label", say("theme-label", { theme: word("theme", theme) }));
}

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = `${say("name")} · ${say("tagline")}`;
  for (const node of document.querySelectorAll("[data-t]")) write(node, say(node.dataset.t));
  byId("language").setAttribute("aria-label", say("other-language-label"));
  paint();
  layBoard();
  showBoard();
  showEvents();
  showJourney();
}

byId("language").addEventListener("click", () => { switchLanguage(); speak(); });
byId("theme").addEventListener("click", () => { switchTheme(); paint(); });
byId("journey-latest").addEventListener("click", backToLatest);
byId("journey").addEventListener("scroll", fade, { passive: true });
addEventListener("resize", fade);
dark.addEventListener("change", paint);

speak();
fetch("/live/places").then((answer) => answer.json()).then((places) => {
  for (const district of places.districts) names.districts.set(district.code, district);
  names.occupations = places.occupations;
  speak();
}, () => { /* codes stand where names are missing */ });

followEvents(openTrace);
every(2, askBoard);
every(3, askJourney);
every(1, showState);
