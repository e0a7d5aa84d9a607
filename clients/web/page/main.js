// Starts the page: words and colours first, then the three parts, each with its own source.

import { askBoard, layBoard, showBoard, showState } from "./board.js";
import { byId, every, write } from "./dom.js";
import { followEvents, showEvents } from "./events.js";
import { askJourney, backToLatest, fade, openTrace, showJourney } from "./journey.js";
import { loadNames, paint, switchLanguage, switchTheme, theme } from "./locale.js";
import { say, word } from "./words.js";

function showTheme() {
  paint();
  byId("theme").textContent = word("theme", theme);
  byId("theme").setAttribute("aria-label", say("theme-label", { theme: word("theme", theme) }));
}

function speak() {
  document.title = `${say("name")} · ${say("tagline")}`;
  for (const node of document.querySelectorAll("[data-t]")) write(node, say(node.dataset.t));
  byId("language").setAttribute("aria-label", say("other-language-label"));
  showTheme();
  layBoard();
  showBoard();
  showEvents();
  showJourney();
}

byId("language").addEventListener("click", () => { switchLanguage(); speak(); });
byId("theme").addEventListener("click", () => { switchTheme(); showTheme(); });
byId("journey-latest").addEventListener("click", backToLatest);
byId("journey").addEventListener("scroll", fade, { passive: true });
addEventListener("resize", fade);

speak();
loadNames().then(speak);

followEvents(openTrace);
every(2, askBoard);
every(3, askJourney);
every(1, showState);
