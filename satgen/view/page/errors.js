// The mode "Errors" of a run that forecast poses: how the angular error grows, by model.

import { el, fixed, nearest, panel, select } from "./dom.js";
import { chart, curveKeys } from "./chart.js";
import { CURVES } from "./colours.js";
import { readJson } from "./data.js";
import { fetched } from "./packs.js";
import { Pane } from "./pane.js";
import { factsPanel } from "./panels.js";

export class PoseErrors {
  constructor(app) {
    this.app = app;
    this.name = "errors";
    this.title = "Errors";
    this.hidden = new Set();
    this.group = 0;
    this.big = el("div.big-chart");
    this.keys = el("div");
    this.table = el("table.numbers.wide");
    this.panes = [0, 1].map(() => new Pane({}));
    this.panes.forEach((pane) => { pane.style = app.style; });
    this.pictures = el("div.small-panes", {}, ...this.panes.map((pane) => pane.root));
    this.side = el("aside.side");
    this.tools = el("div.tools");
    this.root = el("section.mode", {}, el("div.stage", {}, this.tools, this.big, this.pictures), this.side);
  }

  async open(place) {
    const { app } = this;
    if (!this.groups) {
      const found = await app.guard(Promise.all([readJson("forecasts/groups.json"),
        fetched("forecasts/errors.bin").then((answer) => answer.arrayBuffer())]));
      if (!found) return;
      this.groups = found[0];
      this.errors = new Float32Array(found[1]);
    }
    this.chosen = select("Motion", this.groups.map(({ motion, noise_deg }, i) =>
      [String(i), `${motion}, noise ${fixed(noise_deg, 2)}°`]), String(this.group), (value) => {
      this.group = Number(value);
      this.start(0);
    });
    this.tools.replaceChildren(el("label.field", {}, "Motion", this.chosen));
    this.side.replaceChildren(panel("Models", this.keys,
      el("p.faint", {}, "Solid: the median of all windows, with the middle 80 % around it. Dashed: "
        + "this window.")), panel("Median error", el("div.wide-box", {}, this.table)),
    ...(app.data ? [factsPanel(app.data, [["Run", app.site.command]])]
      : [panel("Run", el("p.faint", {}, app.site.command))]));
    await this.start(place ?? 0);
  }

  start(place) {
    const group = this.groups[this.group];
    this.statistics = group.models.map((_, m) => group.horizons.map((_, h) =>
      quantiles(group.starts_s.map((_, w) => this.error(m, w, h)))));
    const last = group.horizons.length - 1;
    const data = group.dataset && this.app.dataset(group.dataset);
    this.pictures.hidden = !data;
    return this.app.player.use({
      count: group.starts_s.length, place: Math.min(place, group.starts_s.length - 1), rate: 6,
      index: (i) => i + 1, placeOf: (number) => number - 1,
      name: (i) => `window ${i + 1} of ${group.starts_s.length}, from ${fixed(group.starts_s[i], 0)} s`,
      preview: (i) => data && data.thumbnail(this.rowAt(data, group.starts_s[i], 0)),
      curve: { name: `least error ${group.horizons[last]} ahead:`, unit: "°",
        values: group.starts_s.map((_, w) => Math.min(...group.models
          .map((_, m) => this.error(m, w, last)).filter(Number.isFinite))) },
      onchange: (i) => this.show(i),
    });
  }

  error(model, window, horizon) {
    const { offset, starts_s: starts, horizons } = this.groups[this.group];
    return this.errors[offset + (model * starts.length + window) * horizons.length + horizon];
  }

  rowAt(data, seconds, steps) {
    const row = nearest(data.column.time_s ?? data.column.index, seconds);
    return Math.min(row + steps, data.frames - 1);
  }

  async show(i) {
    this.app.saveState();
    this.window = i;
    this.paint();
    const group = this.groups[this.group];
    const data = group.dataset && this.app.dataset(group.dataset);
    if (!data) return;
    const seen = this.app.site.forecasts.observed - 1;
    const ahead = group.horizons[group.horizons.length - 1];
    await this.app.guard(Promise.all(this.panes.map((pane, n) => {
      const row = this.rowAt(data, group.starts_s[i], seen + n * ahead);
      pane.caption.textContent = n ? `truth, ${ahead} ahead: ${data.index(row)}`
        : `seen last: ${data.index(row)}`;
      return pane.show(data, row);
    })));
  }

  paint() {
    const { models, horizons } = this.groups[this.group];
    const all = models.map((name, m) => ({ name, colour: CURVES[m % CURVES.length],
      ys: this.statistics[m].map(([, middle]) => middle),
      band: [this.statistics[m].map(([low]) => low), this.statistics[m].map(([, , top]) => top)],
      own: horizons.map((_, h) => this.error(m, this.window, h)) }));
    const shown = all.filter(({ name }) => !this.hidden.has(name));
    const size = this.root.clientWidth < 640 ? [400, 310] : [880, 460];
    this.big.replaceChildren(chart({ size, xs: horizons, xName: "frames ahead", logX: true, log: true,
      yName: "angular error, degrees", curves: [...shown,
        ...shown.map(({ name, colour, own }) => ({ name: `${name}, this window`, colour, ys: own,
          dashed: true, faint: true }))] }));
    this.keys.replaceChildren(curveKeys(all.map((curve) => ({ ...curve,
      note: `${fixed(curve.own[horizons.length - 1], 2)}°` })), this.hidden, () => this.paint()));
    this.table.replaceChildren(el("tr", {}, el("th", {}, "ahead"),
      ...horizons.map((h) => el("th", {}, String(h)))),
    ...all.map(({ name, ys }) => el("tr", {}, el("th", {}, name),
      ...ys.map((y) => el("td", {}, fixed(y, y >= 10 ? 1 : y >= 0.1 ? 2 : y >= 0.01 ? 3 : 4))))));
  }

  key(key) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (!by) return false;
    this.group = (this.group + by + this.groups.length) % this.groups.length;
    this.chosen.value = String(this.group);
    this.start(0);
    return true;
  }
}

// The tenth, the half and the nine tenths of values.
function quantiles(values) {
  const known = values.filter(Number.isFinite).sort((a, b) => a - b);
  return [0.1, 0.5, 0.9].map((share) => {
    if (!known.length) return NaN;
    const at = share * (known.length - 1), low = Math.floor(at);
    return known[low] + (known[Math.min(low + 1, known.length - 1)] - known[low]) * (at - low);
  });
}
