// The mode "Forecasts" of a run that forecast frames: each model's images beside the true ones.

import { choice, clamp, el, fixed, nearest, panel, select, toggle } from "./dom.js";
import { chart, curveKeys } from "./chart.js";
import { CURVES } from "./colours.js";
import { readJson } from "./data.js";
import { bitmapOf, loader } from "./packs.js";
import { factsPanel } from "./panels.js";

const NAMES = { psnr_silhouette: "PSNR in the silhouette, dB", psnr: "PSNR, dB", ssim: "SSIM",
  iou: "IoU of silhouettes" };

export class Forecasts {
  constructor(app) {
    this.app = app;
    this.name = "forecasts";
    this.title = "Forecasts";
    const { models, horizons, figures } = app.site.forecasts;
    Object.assign(this, { models, horizons, figures });
    this.ahead = horizons.length - 1;
    this.figure = figures[0];
    this.hidden = new Set();
    this.ticket = 0;
    this.differences = true;
    this.cards = el("div.cards");
    this.chart = el("div");
    this.keys = el("div");
    this.side = el("aside.side");
    this.tools = el("div.tools");
    this.root = el("section.mode", {}, el("div.stage", {}, this.tools, this.cards), this.side);
  }

  async open(place) {
    const { app } = this;
    const described = app.site.forecasts;
    this.windows ??= await app.guard(readJson("forecasts/windows.json"));
    if (!this.windows) return;
    this.horizon = choice("Frames ahead", this.horizons.map((h, i) => [i, `+${h}`,
      `${h} frames ahead (↑ ↓)`]), this.ahead, (i) => this.setAhead(i));
    this.bright = toggle("Brighten", "Brighten the images (b)", app.bright, (on) => app.setBright(on));
    this.different = toggle("Differences", "What differs from the truth (d)", this.differences,
      (on) => {
        this.differences = on;
        this.paint();
      });
    this.tools.replaceChildren(this.horizon, el("div.toggles", {}, this.different, this.bright));
    this.build();
    const few = described.windows < described.of
      ? [["Windows here", `${described.windows} of ${described.of}`]] : [];
    this.side.replaceChildren(panel("This window", el("label.field", {}, "Figure",
      select("Figure", this.figures.map((name) => [name, NAMES[name] ?? name]), this.figure,
        (value) => {
          this.figure = value;
          this.paint();
        })), this.chart, this.keys),
    factsPanel(app.data, [["Seen", `${described.observed} frames`],
      ["Size", `${described.size} px`], ...few, ["Run", app.site.command]]));
    const { windows } = this;
    const last = this.horizons.length - 1;
    await app.player.use({
      count: windows.length, place: Math.min(place ?? 0, windows.length - 1), rate: 2,
      index: (i) => windows[i].start,
      placeOf: (index) => nearest(windows.map(({ start }) => start), index),
      name: (i) => `${windows[i].dataset}   window ${i + 1} of ${windows.length}`,
      preview: (i) => {
        const data = app.dataset(windows[i].dataset);
        return data.thumbnail(data.rowOf(windows[i].start));
      },
      curve: { name: `best ${NAMES[this.figure] ?? this.figure}`, values: windows.map((window) =>
        Math.max(...window.figures.map((one) => one[this.figure]?.[last] ?? -Infinity))) },
      onchange: (i) => this.show(i),
    });
  }

  build() {
    const card = (name) => {
      const canvas = el("canvas.base"), below = el("canvas.base.difference");
      const figure = el("b");
      return { canvas, below, figure, root: el("figure.card", {},
        el("figcaption", {}, el("span", {}, name), figure), canvas, below) };
    };
    this.seen = card("seen last");
    this.truth = card("truth");
    this.made = this.models.map(card);
    this.truth.root.classList.add("true");
    this.cards.replaceChildren(el("div.given", {}, this.seen.root, this.truth.root),
      el("div.made", {}, ...this.made.map(({ root }) => root)));
  }

  async show(i) {
    const ticket = ++this.ticket;
    this.app.saveState();
    this.window = this.windows[i];
    this.images = null;
    this.cards.classList.add("waiting");
    this.paint();
    const pack = await this.app.guard(loader.get(this.window.file));
    const images = pack && await Promise.all(pack.images.map(bitmapOf));
    if (!images || ticket !== this.ticket) return;
    this.images = images;
    this.cards.classList.remove("waiting");
    this.paint();
  }

  paint() {
    const { horizons, ahead, models, images } = this;
    const truth = images?.[1 + ahead];
    paintImage(this.seen, images?.[0]);
    paintImage(this.truth, truth);
    this.truth.figure.textContent = `+${horizons[ahead]}`;
    this.made.forEach((card, n) => {
      const image = images?.[1 + (n + 1) * horizons.length + ahead];
      paintImage(card, image);
      card.root.classList.toggle("missing", Boolean(images) && !image);
      card.root.hidden = this.hidden.has(models[n]);
      card.below.hidden = !this.differences;
      if (this.differences) paintDifference(card.below, image, truth);
      card.figure.textContent = fixed(this.window?.figures[n][this.figure]?.[ahead], 1);
    });
    const curves = models.map((name, n) => ({ name, colour: CURVES[n % CURVES.length],
      ys: this.window?.figures[n][this.figure] ?? [],
      note: fixed(this.window?.figures[n][this.figure]?.[ahead], 1) }));
    this.chart.replaceChildren(chart({ xs: horizons, xName: "frames ahead",
      yName: NAMES[this.figure] ?? this.figure, mark: horizons[ahead],
      curves: curves.filter(({ name }) => !this.hidden.has(name))
        .map((curve) => ({ ...curve, ys: curve.ys.map((y) => y ?? NaN) })) }));
    this.keys.replaceChildren(curveKeys(curves, this.hidden, () => this.paint()));
  }

  setAhead(i) {
    this.ahead = clamp(Number(i), 0, this.horizons.length - 1);
    this.horizon.set(this.ahead);
    this.paint();
  }

  key(key) {
    if (key === "ArrowUp") this.setAhead(this.ahead + 1);
    else if (key === "ArrowDown") this.setAhead(this.ahead - 1);
    else if (key === "d") this.different.click();
    else if (key === "b") this.bright.click();
    else return false;
    return true;
  }
}

function paintImage({ canvas }, bitmap) {
  if (!bitmap) return;
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

// |forecast − truth|, by the browser's own blend of that name.
function paintDifference(canvas, forecast, truth) {
  if (!forecast || !truth) return;
  [canvas.width, canvas.height] = [truth.width, truth.height];
  const context = canvas.getContext("2d");
  context.drawImage(truth, 0, 0);
  context.globalCompositeOperation = "difference";
  context.drawImage(forecast, 0, 0);
  context.globalCompositeOperation = "source-over";
}
