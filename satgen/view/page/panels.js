// What stands beside the image: the row's numbers, the depth scale, the parts' legend, the facts.

import { el, fixed, lines, panel, swatch } from "./dom.js";
import { css, DEPTH, SHADOW, SHADOW_NAMES } from "./colours.js";

// Columns that are shown together: what they are called, the columns, digits, unit.
const ROWS = [
  ["Index", ["index"], 0, ""],
  ["Time", ["time_s"], 2, "s"],
  ["Azimuth", ["azimuth_deg"], 3, "°"],
  ["Elevation", ["elevation_deg"], 3, "°"],
  ["Roll", ["roll_deg"], 3, "°"],
  ["Distance", ["distance_m"], 3, "m"],
  ["Phase angle", ["phase_deg"], 2, "°"],
  ["Coverage", ["coverage"], 2, "%", 100],
  ["Lit", ["lit"], 1, "%", 100],
  ["Sunlight", ["sunlight"], 3, ""],
  ["Exposure", ["exposure"], 4, ""],
  ["Position t", ["tx", "ty", "tz"], 3, "m"],
  ["Quaternion", ["qw", "qx", "qy", "qz"], 4, ""],
  ["Rate ω", ["wx", "wy", "wz"], 4, "rad/s"],
  ["Attitude, inertial", ["qi_w", "qi_x", "qi_y", "qi_z"], 4, ""],
  ["Rate, inertial", ["wi_x", "wi_y", "wi_z"], 4, "rad/s"],
  ["Sun, camera axes", ["sun_x", "sun_y", "sun_z"], 3, ""],
  ["Box x y w h", ["bbox_x", "bbox_y", "bbox_w", "bbox_h"], 0, "px"],
];

export class Numbers {
  constructor() {
    this.table = el("table.numbers");
    this.root = panel("Numbers", this.table);
  }

  show(data, row) {
    if (this.data !== data) this.build(data);
    for (const { cell, columns, digits, unit, factor, line } of this.rows) {
      const values = columns.map((name) => data.column[name][row]);
      line.hidden = values.every(Number.isNaN);
      cell.textContent = values.map((value) => fixed(value * factor, digits)).join("  ")
        + (unit ? ` ${unit}`.replace(" °", "°") : "");
    }
  }

  build(data) {
    this.data = data;
    this.rows = [];
    const known = ROWS.filter(([, columns]) => columns.every((name) => name in data.column));
    const named = new Set(known.flatMap(([, columns]) => columns));
    const others = data.columns.filter((name) => !named.has(name)).map((name) => [name, [name], 4, ""]);
    this.table.replaceChildren(...[...known, ...others].map(([name, columns, digits, unit, factor]) => {
      const cell = el("td");
      const line = el("tr", {}, el("th", { scope: "row" }, name), cell);
      this.rows.push({ cell, columns, digits, unit, factor: factor ?? 1, line });
      return line;
    }));
  }
}

export class Scale {
  constructor() {
    this.bar = el("canvas.bar", { width: 256, height: 1 });
    this.ends = [el("span"), el("span"), el("span")];
    this.root = panel("Depth", this.bar, el("div.ends", {}, ...this.ends));
    const context = this.bar.getContext("2d");
    const image = context.createImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = DEPTH[3 * i + c];
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  show(data, row) {
    const [near, far] = data.range(row);
    [near, (near + far) / 2, far].forEach((value, i) => {
      this.ends[i].textContent = `${fixed(value, value < 10 ? 2 : 1)} m`;
    });
  }
}

export class Shades {
  constructor() {
    this.root = panel("Shadow", el("ul.keys", {}, ...[1, 2, 3].map((value) =>
      el("li", {}, swatch(css(SHADOW[value])), SHADOW_NAMES[value]))));
  }
}

// The parts by class: a click hides one, or a class; those in the frame stand out.
export class Legend {
  constructor(hidden, onchange) {
    Object.assign(this, { hidden, onchange });
    this.list = el("div.legend");
    this.all = el("button.small", { type: "button", onclick: () => this.setAll() }, "Hide all");
    this.root = panel("Parts", el("div.head", {},
      el("span.faint", {}, "Click to hide; names of what this frame shows are bright."), this.all),
    this.list);
  }

  show(data, row, parts) {
    if (this.data !== data) this.build(data);
    if (!parts) return;
    const counts = new Map();
    for (const value of parts.data) if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
    for (const [label, line] of this.lines) line.classList.toggle("seen", counts.has(label));
  }

  build(data) {
    this.data = data;
    this.lines = new Map();
    this.groups = [];
    const classes = new Map();
    for (const part of data.parts) {
      if (!classes.has(part.class)) classes.set(part.class, []);
      classes.get(part.class).push(part);
    }
    this.list.replaceChildren(...[...classes].map(([name, parts]) => {
      const head = el("button.class", { type: "button", title: `Hide or show all of ${name}`,
        onclick: () => this.flip(parts.map((part) => part.label)) },
      swatch(css(data.colours[parts[0].label])), `${name.replaceAll("_", " ") || "parts"}`,
      el("span.count", {}, String(parts.length)));
      const items = parts.map((part) => {
        const line = el("button.part", { type: "button", title: part.name,
          onclick: () => this.flip([part.label]) }, swatch(css(data.colours[part.label])), part.name);
        this.lines.set(part.label, line);
        return line;
      });
      this.groups.push({ head, labels: parts.map((part) => part.label) });
      return el("div.group", {}, head, ...items);
    }));
    this.mark();
  }

  flip(labels) {
    const hide = labels.some((label) => !this.hidden.has(label));
    for (const label of labels) {
      if (hide) this.hidden.add(label);
      else this.hidden.delete(label);
    }
    this.mark();
    this.onchange();
  }

  setAll() { this.flip(this.data.parts.map((part) => part.label)); }

  mark() {
    for (const [label, line] of this.lines) {
      line.classList.toggle("off", this.hidden.has(label));
      line.setAttribute("aria-pressed", String(!this.hidden.has(label)));
    }
    for (const { head, labels } of this.groups) {
      head.classList.toggle("off", labels.every((label) => this.hidden.has(label)));
    }
    const none = this.data.parts.every((part) => this.hidden.has(part.label));
    this.all.textContent = none ? "Show all" : "Hide all";
  }
}

export function factsPanel(data, more = []) {
  const node = panel("Dataset", el("table.numbers.facts", {}, ...lines([["Name", data.name],
    ["Target", data.title], ["Frames", String(data.frames)], ...data.facts, ...more])));
  node.open = false;
  return node;
}
