// The mode "Frames": one frame at a time, with everything that is known of it.

import { choice, el, fixed, panel, toggle } from "./dom.js";
import { layerKinds, Pane } from "./pane.js";
import { factsPanel, Legend, Numbers, Scale, Shades } from "./panels.js";
import { Sphere } from "./sphere.js";

const LAYERS = [["rgb", "RGB", "The image (1)"], ["depth", "Depth", "Depth in colour (2)"],
  ["parts", "Parts", "Part labels (3)"], ["shadow", "Shadow", "Lit and shadowed (4)"],
  ["normals", "Normals", "Surface normals (5)"]];

export class Look {
  constructor(app) {
    this.app = app;
    this.name = "frames";
    this.title = "Frames";
    this.ofFrames = true; // its places are the dataset's frames
    this.pane = new Pane({ onscrub: (steps) => app.player.step(steps) });
    this.pane.style = app.style;
    this.sphere = new Sphere();
    this.numbers = new Numbers();
    this.scale = new Scale();
    this.shades = new Shades();
    this.legend = new Legend(app.style.hidden, () => this.pane.redraw());
    this.side = el("aside.side");
    this.tools = el("div.tools");
    this.root = el("section.mode", {}, el("div.stage", {}, this.tools, this.pane.root), this.side);
  }

  open(place) {
    const { app } = this;
    const { data } = app;
    this.layers = LAYERS.filter(([name]) => data.kinds.includes(name));
    if (!data.kinds.includes(app.style.layer)) app.style.layer = "rgb";
    this.layer = choice("Layer", this.layers, app.style.layer, (name) => this.setLayer(name));
    this.toggles = overlayToggles(app, () => this.pane.drawOver());
    this.bright = toggle("Brighten", "Brighten the image (b)", app.bright, (on) => app.setBright(on));
    this.tools.replaceChildren(this.layer, el("div.toggles", {}, ...this.toggles, this.bright));
    this.side.replaceChildren(panel("View", this.sphere.canvas, el("p.key", {},
      el("i.dot.camera"), "camera ", el("i.dot.sun"), "sun ", el("i.line"), "path")),
    this.scale.root, this.legend.root, this.shades.root, this.numbers.root, factsPanel(data));
    this.showPanels();
    return app.player.use({
      count: data.frames, place,
      index: (row) => data.index(row), placeOf: (index) => data.rowOf(index),
      name: (row) => wordsOf(data, row),
      preview: (row) => data.thumbnail(row),
      curve: curveOf(data),
      onchange: (row) => this.show(row),
    });
  }

  async show(row) {
    const { app, pane } = this;
    const { data } = app;
    app.remember(row);
    this.sphere.show(data, row);
    this.numbers.show(data, row);
    this.scale.show(data, row);
    const drawn = await app.guard(pane.show(data, row));
    if (!drawn) return;
    if (app.style.layer === "parts") this.legend.show(data, row, pane.values.parts);
    data.prefetch(layerKinds(app.style.layer), row, app.player.direction, app.player.playing);
  }

  drawOver() { this.pane.drawOver(); }

  setLayer(name) {
    if (!this.layers.some(([known]) => known === name)) return;
    this.app.style.layer = name;
    this.layer.set(name);
    this.showPanels();
    this.show(this.app.player.place);
  }

  showPanels() {
    const { layer } = this.app.style;
    this.scale.root.hidden = layer !== "depth";
    this.legend.root.hidden = layer !== "parts";
    if (layer === "parts") this.legend.show(this.app.data, this.app.player.place, null);
    this.shades.root.hidden = layer !== "shadow";
    this.pane.root.dataset.layer = layer;
  }

  key(key) {
    if (key >= "1" && key <= "5") this.setLayer(LAYERS[key - 1][0]);
    else if (key === "z") this.pane.resetZoom();
    else return overlayKey(this, key);
    return true;
  }
}

// What the foot of the page draws along the frames: the phase angle, or the share of the image that
// the target takes where that angle is always the same.
export function curveOf({ column }) {
  const { phase_deg: phase, coverage } = column;
  const spread = phase && phase.reduce((most, value) => Math.max(most, Math.abs(value - phase[0])), 0);
  if (spread > 1) return { values: phase, name: "phase angle", unit: "°" };
  return coverage && { values: coverage.map((value) => 100 * value), name: "coverage", unit: " %" };
}

export const OVERLAYS = [["axes", "Axes", "a"], ["landmarks", "Landmarks", "m"],
  ["names", "Names", "n"], ["box", "Box", "x"]];

export function overlayToggles(app, redraw) {
  return OVERLAYS.map(([name, text, key]) => {
    const node = toggle(text, `${text} (${key})`, app.style[name], (on) => {
      app.style[name] = on;
      app.saveState();
      redraw();
    });
    node.dataset.key = key;
    return node;
  });
}

export function overlayKey(mode, key) {
  const node = key === "b" ? mode.bright : mode.toggles.find((one) => one.dataset.key === key);
  node?.click();
  return Boolean(node);
}

export function wordsOf(data, row) {
  const c = data.column;
  const words = [];
  const add = (name, column, turn) => {
    if (!column || !Number.isFinite(column[row])) return;
    const value = turn ? ((column[row] % turn) + turn) % turn : column[row];
    words.push(`${name} ${fixed(value, 1)}°`);
  };
  add("az", c.azimuth_deg, 360);
  add("el", c.elevation_deg);
  add("phase", c.phase_deg);
  return words.join("   ");
}
