// What is wrong with the view that a page shows, in words: for tests, which run it in the page. `theirs` are words that
// people of the test wrote, which stay in their language.
(theirs) => {
  const faults = [];
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) faults.push(`the page is ${wide} px too wide`);
  const folded = (node) => node.closest("details:not([open])") && !node.closest("summary");
  const seen = (node) => node.checkVisibility() && node.getClientRects().length > 0 && !folded(node);
  const touched = "button, select, textarea, summary, .press, .tabs a, .menu a, .switcher a, input:not([type=checkbox], [type=radio])";
  for (const node of [...document.querySelectorAll("main *, nav *, header *")].filter(seen)) {
    if (node.matches(".unseen")) continue; // for a screen reader only
    const text = node.textContent.trim().slice(0, 30);
    const box = node.getBoundingClientRect();
    if (node.children.length === 0 && text && node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display !== "inline")
      faults.push(`text runs over: ${text}`);
    if (box.right > document.documentElement.clientWidth + 1) faults.push(`beyond the edge: ${node.tagName} ${text}`);
    if (node.matches(touched) && box.height < 43.5) faults.push(`${box.height.toFixed()} px high: ${text || node.name}`);
    if (node.matches("input, select, textarea") && !node.labels?.length && !node.ariaLabel) faults.push(`no label: ${node.name}`);
    if (node.matches("button, a") && !(text || node.ariaLabel)) faults.push(`no name: ${node.outerHTML.slice(0, 60)}`);
  }
  if (document.querySelectorAll("main h1").length !== 1) faults.push("not one h1");
  if (document.documentElement.lang === "en")
    for (const node of document.querySelectorAll("main :is(h1, h2, label, button, summary, legend, dt), nav a"))
      if (!node.closest(".field:has([lang])") && /[\u4e00-\u9fff]/.test(theirs.reduce((text, words) => text.replaceAll(words, ""), node.textContent)))
        faults.push(`not English: ${node.textContent}`);
  return faults;
}
