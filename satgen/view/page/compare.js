// The modes "Two frames" and "Matches": two frames, and what belongs together by the truth or by a
// matcher.

import { choice, clamp, el, fixed, lines, notice, panel, select, swatch, toggle } from "./dom.js";
import { CORRECT, UNJUDGED, WRONG } from "./colours.js";
import { readJson } from "./data.js";
import { curveOf, overlayKey, overlayToggles, wordsOf } from "./look.js";
import { PairView } from "./pair.js";
import { factsPanel } from "./panels.js";
import { counterpart, truthOf } from "./truth.js";

const TRUTH = "truth";
const LAYERS = [["rgb", "RGB", "The images (1)"], ["depth", "Depth", "Depth in colour (2)"],
  ["parts", "Parts", "Part labels (3)"]];
const VERDICTS = [["Correct", CORRECT], ["Wrong", WRONG], ["Not judged", UNJUDGED]];
const FIGURES = [["F1", "f1", 100, 1, " %"], ["Precision", "precision", 100, 1, " %"],
  ["Recall", "recall", 100, 1, " %"], ["Matches", "matches", 1, 0, ""],
  ["True matches", "true", 1, 0, ""], ["Pose error", "pose_error_deg", 1, 2, "°"],
  ["Time", "match_ms", 1, 1, " ms"]];

class Pairs {
  constructor(app) {
    this.app = app;
    this.view = new PairView(app.style, {
      onscrub: (steps) => app.player.step(steps),
      onhover: (side, pixel) => this.point(side, pixel),
    });
    this.side = el("aside.side");
    this.tools = el("div.tools");
    this.root = el("section.mode", {}, el("div.stage", {}, this.tools, this.view.root), this.side);
    this.shown = [true, true, true];
    this.ticket = 0;
  }

  buildTools() {
    const { app, view } = this;
    const layers = LAYERS.filter(([name]) => app.data.kinds.includes(name));
    if (!layers.some(([name]) => name === app.style.layer)) app.style.layer = "rgb";
    this.layer = choice("Layer", layers, app.style.layer, (name) => {
      app.style.layer = name;
      this.layer.set(name);
      view.redraw();
    });
    this.toggles = overlayToggles(app, () => this.drawOver())
      .filter((node) => node.dataset.key !== "n");
    this.bright = toggle("Brighten", "Brighten the images (b)", app.bright, (on) => app.setBright(on));
    this.lined = toggle("Lines", "Lines between the frames (l)", view.withLines, (on) => {
      view.withLines = on;
      view.draw();
    });
    this.tools.replaceChildren(this.layer,
      el("div.toggles", {}, this.lined, ...this.toggles, this.bright));
  }

  drawOver() { this.view.panes.forEach((pane) => pane.drawOver()); }

  async point(side, pixel) {
    if (!pixel || !this.rows) {
      this.view.point(null);
      return;
    }
    const { rows } = this;
    try {
      const found = await counterpart(this.data, rows, side, pixel);
      if (rows !== this.rows) return;
      this.view.point(found?.uv && [{ side, at: pixel }, { side: 1 - side, at: found.uv }]);
    } catch { /* the next move asks again */ }
  }

  // Draw the truth or a matcher's matches once both frames are there.
  async showPair(data, rows, source) {
    const ticket = ++this.ticket;
    Object.assign(this, { data, rows });
    this.view.point(null);
    this.summary.replaceChildren(el("p.faint", {}, "…"));
    const both = await this.app.guard(this.view.show(data, rows));
    if (!both || ticket !== this.ticket) return;
    const late = setTimeout(() => {
      if (ticket === this.ticket) this.summary.replaceChildren(el("p.faint", {}, "Matching …"));
    }, 400);
    try {
      if (source === TRUTH) {
        const found = await truthOf(data, rows);
        if (ticket === this.ticket) this.showTruth(found);
      } else {
        const found = await readJson(source);
        if (ticket === this.ticket) this.showMatches(found);
      }
    } catch (error) {
      if (ticket === this.ticket) {
        this.summary.replaceChildren(el("p.faint", {}, String(error.message || error)));
      }
    } finally {
      clearTimeout(late);
    }
    const direction = this.app.player.direction;
    for (const row of rows) data.prefetch(["rgb", "depth"], row, direction, this.app.player.playing);
  }

  showTruth(found) {
    this.view.setMatches(found.matches, found.marks);
    this.summary.replaceChildren(el("table.numbers", {}, ...lines([
      ["Turned by", `${fixed(found.angle, 2)}°`],
      ["Points seen in both", String(found.seen)],
      ["Hidden in the second", String(found.hidden)],
      ["Outside of it", String(found.outside)],
    ])),
    el("p.faint", {}, "By depth and pose alone. Point at one frame to see where it is in the other."));
  }

  showMatches(found, figures = found.figures ?? {}) {
    this.found = found;
    const counts = [0, 0, 0];
    for (const verdict of found.verdict) counts[verdict]++;
    const buttons = VERDICTS.map(([name, colour], i) => {
      const node = toggle("", `Show or hide: ${name}`, this.shown[i], (on) => {
        this.shown[i] = on;
        this.drawMatches();
      });
      node.classList.add("verdict");
      node.append(swatch(colour), name, el("b", {}, String(counts[i])));
      return node;
    });
    const rows = FIGURES.filter(([, key]) => figures[key] !== undefined && figures[key] !== null)
      .map(([name, key, factor, digits, unit]) => [name, fixed(figures[key] * factor, digits) + unit]);
    if (figures.stop_layer) rows.push(["Layers", `${figures.stop_layer} of ${figures.layers}`]);
    this.summary.replaceChildren(el("div.verdicts", {}, ...buttons),
      el("table.numbers", {}, ...lines(rows)));
    this.drawMatches();
  }

  drawMatches() {
    const { keypoints0, keypoints1, matches, verdict, scores } = this.found;
    const order = matches.map((_, i) => i).sort((i, j) => rank(verdict[i]) - rank(verdict[j]));
    const used = [new Set(matches.map((m) => m[0])), new Set(matches.map((m) => m[1]))];
    const marks = [keypoints0, keypoints1].flatMap((points, side) => points
      .map((at, i) => ({ side, at, colour: "#ffffff40", used: used[side].has(i) }))
      .filter((mark) => !mark.used));
    this.view.setMatches(order.filter((i) => this.shown[verdict[i]]).map((i) => ({
      from: keypoints0[matches[i][0]], to: keypoints1[matches[i][1]],
      colour: VERDICTS[verdict[i]][1], alpha: 0.3 + 0.5 * Math.min(scores[i] || 0, 1),
    })), marks);
  }

  key(key) {
    if (key >= "1" && key <= "3") this.layer.children[key - 1]?.click();
    else if (key === "l") this.lined.click();
    else if (key === "z") this.view.panes.forEach((pane) => pane.resetZoom());
    else return overlayKey(this, key);
    return true;
  }
}

// Wrong ones are drawn last, on top.
const rank = (verdict) => [0, 2, -1][verdict];

export class Compare extends Pairs {
  constructor(app) {
    super(app);
    this.name = "two";
    this.title = "Two frames";
    this.ofFrames = true;
    this.gap = 10;
    this.source = TRUTH;
  }

  open(place) {
    const { app } = this;
    const { data } = app;
    this.buildTools();
    this.summary = el("div");
    const live = app.site.live.includes("match") ? app.site.live_matches ?? [] : [];
    const sources = [[TRUTH, "True matches"], ...live.map(({ id, label }) => [id, label])];
    if (!sources.some(([key]) => key === this.source)) this.source = TRUTH;
    this.gap = Math.min(this.gap, Math.max(data.frames - 1, 0));
    this.gapBox = el("input.gap", { type: "number", min: -(data.frames - 1), max: data.frames - 1,
      value: String(this.gap), "aria-label": "Frames from the first to the second",
      onkeydown: (event) => event.stopPropagation(),
      onchange: () => this.setGap(Number(this.gapBox.value)) });
    this.chosen = select("Matches by", sources, this.source, (value) => {
      this.source = value;
      this.again();
    });
    this.side.replaceChildren(panel("Matches", el("label.field", {}, "Matches by", this.chosen),
      el("label.field", {}, "Frames apart", this.gapBox), this.summary), factsPanel(data));
    return app.player.use({
      count: data.frames, place,
      index: (row) => data.index(row), placeOf: (index) => data.rowOf(index),
      name: (row) => wordsOf(data, row), preview: (row) => data.thumbnail(row), rate: 12,
      curve: curveOf(data),
      onchange: (row) => this.show(row),
    });
  }

  show(row) {
    const { app } = this;
    app.remember(row);
    const { data } = app;
    const other = clamp(row + this.gap, 0, data.frames - 1);
    const source = this.source === TRUTH ? TRUTH
      : `match/${this.source}/${data.name}/${data.index(row)}/${data.index(other)}.json`;
    return this.showPair(data, [row, other], source);
  }

  setGap(gap) {
    if (!Number.isInteger(gap)) return;
    const most = this.app.data.frames - 1;
    this.gap = clamp(gap, -most, most);
    this.gapBox.value = String(this.gap);
    this.again();
  }

  again() { return this.show(this.app.player.place); }

  key(key) {
    if (key === "ArrowUp") this.setGap(this.gap + 1);
    else if (key === "ArrowDown") this.setGap(this.gap - 1);
    else return super.key(key);
    return true;
  }
}

const ORDERS = [["run", "as in the run"], ["f1", "worst F1 first"], ["gap", "smallest gap first"],
  ["pose", "worst pose first"]];

export class Matches extends Pairs {
  constructor(app) {
    super(app);
    this.name = "matches";
    this.title = "Matches";
    this.combination = app.site.combinations[0]?.id;
    this.order = "run";
  }

  async open(place) {
    const { app } = this;
    this.pairs ??= await app.guard(readJson("matches/pairs.json"));
    if (!this.pairs) return;
    this.buildTools();
    this.summary = el("div");
    this.chosen = select("Matcher", app.site.combinations.map(({ id, label }) => [id, label]),
      this.combination, (value) => {
        this.combination = value;
        this.again();
      });
    this.sorted = select("Order", ORDERS, this.order, (value) => {
      this.order = value;
      this.start(0);
    });
    this.what = el("table.numbers");
    this.side.replaceChildren(panel("Matches", el("label.field", {}, "Matcher", this.chosen),
      el("label.field", {}, "Order of pairs", this.sorted), this.summary),
    panel("Pair", this.what), factsPanel(app.data, [["Run", app.site.command]]));
    await this.start(place ?? 0);
  }

  figures(pair) { return pair.figures[this.combination]; }

  start(place) {
    const by = { run: () => 0, gap: (pair) => pair.gap, f1: (pair) => this.figures(pair)?.f1 ?? 2,
      pose: (pair) => -(this.figures(pair)?.pose_error_deg ?? 1e9) }[this.order];
    this.list = this.pairs.map((pair, i) => [by(pair), i, pair])
      .sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, , pair]) => pair);
    const { list } = this;
    return this.app.player.use({
      count: list.length, place: Math.min(place, list.length - 1), rate: 4,
      index: (i) => i + 1, placeOf: (number) => number - 1,
      name: (i) => `${list[i].dataset}   ${list[i].index0} → ${list[i].index1}`,
      preview: (i) => this.app.dataset(list[i].dataset).thumbnail(
        this.app.dataset(list[i].dataset).rowOf(list[i].index0)),
      curve: { values: list.map((pair) => 100 * (this.figures(pair)?.f1 ?? NaN)), name: "F1",
        unit: " %" },
      onchange: (i) => this.show(i),
    });
  }

  again() { return this.start(this.app.player.place); }

  async show(i) {
    const pair = this.list[i];
    const data = this.app.dataset(pair.dataset);
    this.app.saveState();
    this.pair = pair;
    this.what.replaceChildren(...lines([["Frames", `${pair.index0} → ${pair.index1}`],
      ["Gap", String(pair.gap)], ["Turned by", `${fixed(pair.angle_deg, 2)}°`],
      ...(pair.roll_deg ? [["Second rolled by", `${fixed(pair.roll_deg, 1)}°, shown upright`]] : [])]));
    const rows = [data.rowOf(pair.index0), data.rowOf(pair.index1)];
    const figures = this.figures(pair);
    if (!figures) {
      await this.app.guard(this.view.show(data, rows));
      this.summary.replaceChildren(el("p.faint", {}, "The run kept no matches of this pair."));
      return;
    }
    await this.showPair(data, rows, figures.file);
  }

  showMatches(found) { super.showMatches(found, this.figures(this.pair)); }

  key(key) {
    const all = this.app.site.combinations;
    const by = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (!by) return super.key(key);
    const at = all.findIndex(({ id }) => id === this.combination);
    this.combination = all[(at + by + all.length) % all.length].id;
    this.chosen.value = this.combination;
    notice(all.find(({ id }) => id === this.combination).label);
    this.again();
    return true;
  }
}
