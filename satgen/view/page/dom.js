// Small helpers to make elements and to write numbers.

export function el(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && !key.startsWith("aria")) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// The place of the value that is nearest, the first of several.
export function nearest(values, wanted) {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (Math.abs(values[i] - wanted) < Math.abs(values[best] - wanted)) best = i;
  }
  return best;
}

// A number with a sign of its own, not a hyphen.
export function fixed(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : text.replace("-", "−");
}

// Icons, drawn on a grid of 16: each a path that is filled.
const ICONS = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z",
  back: "M11.5 2.5v11L4 8z",
  forward: "M4.5 2.5v11L12 8z",
  first: "M2.5 2.5h2v11h-2zM13 2.5v11L5.5 8z",
  last: "M11.5 2.5h2v11h-2zM3 2.5v11L10.5 8z",
};

export function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" },
    svg("path", { d: ICONS[name], fill: "currentColor" }));
}

export function button(label, help, onclick, properties = {}) {
  return el("button", { type: "button", title: help, "aria-label": help, onclick, ...properties },
    label);
}

// Buttons of which one is on.
export function choice(label, options, value, onchange) {
  const group = el("div.choice", { role: "radiogroup", "aria-label": label });
  const buttons = new Map();
  group.set = (wanted) => {
    for (const [key, node] of buttons) {
      node.setAttribute("aria-checked", String(key === wanted));
      node.classList.toggle("on", key === wanted);
    }
  };
  for (const [key, text, help] of options) {
    const node = button(text, help ?? text, () => onchange(key), { role: "radio" });
    node.dataset.key = key;
    buttons.set(key, node);
    group.append(node);
  }
  group.set(value);
  return group;
}

// A button that is on or off.
export function toggle(text, help, value, onchange) {
  const node = button(text, help, () => { node.set(!node.on); onchange(node.on); });
  node.classList.add("toggle");
  node.set = (on) => {
    node.on = on;
    node.setAttribute("aria-pressed", String(on));
    node.classList.toggle("on", on);
  };
  node.set(value);
  return node;
}

export function select(label, options, value, onchange) {
  const node = el("select", { "aria-label": label, title: label,
    onchange: () => onchange(node.value) });
  for (const [key, text] of options) node.append(el("option", { value: key }, text));
  node.value = value;
  return node;
}

// Rows of a table, of names and what they stand for.
export const lines = (pairs) => pairs.map(([name, value]) =>
  el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)));

export function swatch(colour) {
  const node = el("i.swatch");
  node.style.background = colour;
  return node;
}

export function panel(title, ...children) {
  return el("details.panel", { open: true }, el("summary", {}, title),
    el("div.inside", {}, ...children));
}

let hiding = 0;
export function notice(text) {
  const node = document.getElementById("notice");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { node.hidden = true; }, 6000);
}
