// Two frames side by side, with lines between what belongs together.

import { el } from "./dom.js";
import { Pane } from "./pane.js";

export class PairView {
  // options: onscrub(steps); onhover(side, pixel).
  constructor(style, options) {
    this.panes = [0, 1].map((side) => {
      const pane = new Pane({
        onmoved: () => this.draw(), onscrub: options.onscrub,
        onhover: (pixel) => options.onhover?.(side, pixel),
      });
      pane.style = style;
      return pane;
    });
    this.lines = el("canvas.lines");
    this.root = el("div.pair", {}, this.panes[0].root, this.panes[1].root, this.lines);
    this.matches = [];
    this.marks = [];
    this.withLines = true;
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  // Resolves to whether both are drawn.
  async show(data, rows) {
    this.matches = [];
    this.marks = [];
    const drawn = await Promise.all(this.panes.map((pane, side) => {
      pane.caption.textContent = String(data.index(rows[side]));
      return pane.show(data, rows[side]);
    }));
    this.draw();
    return drawn.every(Boolean);
  }

  redraw() {
    return Promise.all(this.panes.map((pane) => pane.redraw())).then(() => this.draw());
  }

  // matches: {from, to, colour, alpha}, original pixels; marks: {side, at, colour}.
  setMatches(matches, marks = []) {
    this.matches = matches;
    this.marks = marks;
    this.draw();
  }

  // ends: {side, at}, pointed at; null for none.
  point(ends) {
    this.pointed = ends;
    this.draw();
  }

  draw() {
    const { clientWidth: wide, clientHeight: high } = this.root;
    if (!wide) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    const canvas = this.lines;
    [canvas.width, canvas.height] = [Math.round(wide * ratio), Math.round(high * ratio)];
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (!this.panes.every((pane) => pane.size && pane.data)) return;
    const outer = this.root.getBoundingClientRect();
    const boxes = this.panes.map((pane) => pane.frame.getBoundingClientRect());
    const place = (side, pixel) => {
      const [x, y] = this.panes[side].place(pixel);
      const inside = x >= 0 && y >= 0 && x <= boxes[side].width && y <= boxes[side].height;
      return [x + boxes[side].left - outer.left, y + boxes[side].top - outer.top, inside];
    };
    const ends = this.matches.map(({ from, to }) => [place(0, from), place(1, to)]);
    if (this.withLines) {
      context.lineWidth = 1;
      this.matches.forEach((match, i) => {
        const [a, b] = ends[i];
        if (!a[2] || !b[2]) return;
        context.globalAlpha = match.alpha ?? 0.5;
        context.strokeStyle = match.colour;
        context.beginPath();
        context.moveTo(a[0], a[1]);
        context.lineTo(b[0], b[1]);
        context.stroke();
      });
    }
    context.globalAlpha = 0.95;
    const size = boxes[0].width < 360 ? 1.7 : 2.4;
    const dot = ([x, y, inside], colour) => {
      if (!inside) return;
      context.fillStyle = colour;
      context.beginPath();
      context.arc(x, y, size, 0, 7);
      context.fill();
    };
    this.matches.forEach((match, i) => ends[i].forEach((end) => dot(end, match.colour)));
    for (const { side, at, colour } of this.marks) {
      const [x, y, inside] = place(side, at);
      if (!inside) continue;
      context.strokeStyle = colour;
      context.lineWidth = 1;
      context.beginPath();
      context.arc(x, y, 2.4, 0, 7);
      context.stroke();
    }
    if (this.pointed) {
      const found = this.pointed.map(({ side, at }) => place(side, at));
      context.globalAlpha = 1;
      context.strokeStyle = "#ffffff";
      context.lineWidth = 1.5;
      for (const [x, y, inside] of found) {
        if (!inside) continue;
        context.beginPath();
        context.arc(x, y, 7, 0, 7);
        context.moveTo(x - 12, y);
        context.lineTo(x - 3, y);
        context.moveTo(x + 3, y);
        context.lineTo(x + 12, y);
        context.moveTo(x, y - 12);
        context.lineTo(x, y - 3);
        context.moveTo(x, y + 3);
        context.lineTo(x, y + 12);
        context.stroke();
      }
    }
  }
}
