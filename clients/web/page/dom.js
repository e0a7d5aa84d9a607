// Elements from values: text stays text, so nothing that comes from the market can become markup.

export const byId = (id) => document.getElementById(id);

/** An element with properties and children; a child that is null or false is left out. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name === "style") Object.assign(made.style, value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** An SVG element with attributes. */
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Write a text only where it is different, so that a screen reader and a selection are left in peace. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Run once now and then every so often while somebody is looking. */
export function every(seconds, step) {
  const run = () => document.hidden || step();
  run();
  document.addEventListener("visibilitychange", run);
  setInterval(run, seconds * 1000);
}
