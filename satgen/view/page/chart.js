// Curves by horizon, as SVG.

import { el, svg, swatch } from "./dom.js";

const SIZE = [330, 210], LEFT = 46, RIGHT = 10, TOP = 18, BOTTOM = 38;

// Draw curves into a fresh SVG. spec: {size, xs, xName, yName, log, logX, mark, curves: [{name,
// colour, ys, band, faint, dashed}]}; bands are [lows, highs]; what is no number is left out.
export function chart(spec) {
  const [wide, high] = spec.size ?? SIZE;
  const root = svg("svg", { viewBox: `0 0 ${wide} ${high}`, class: "chart", role: "img" });
  root.setAttribute("aria-label", `${spec.yName} by ${spec.xName}`);
  const seen = spec.curves.flatMap((curve) => [...curve.ys, ...(curve.band ?? []).flat()])
    .filter((y) => Number.isFinite(y) && (!spec.log || y > 0));
  if (!seen.length) return root;
  let low = Math.min(...seen), top = Math.max(...seen);
  const scale = spec.log ? Math.log10 : (y) => y;
  if (spec.log) {
    low = Math.max(low, top * 1e-5) / 1.4;
    top *= 1.4;
  } else {
    const room = (top - low) * 0.08 || 1;
    [low, top] = [low - room, top + room];
  }
  const [first, last] = [spec.xs[0], spec.xs[spec.xs.length - 1]];
  const xScale = spec.logX && first > 0 ? Math.log : (x) => x;
  const xOf = (x) => LEFT + ((xScale(x) - xScale(first)) / ((xScale(last) - xScale(first)) || 1))
    * (wide - LEFT - RIGHT);
  const yOf = (y) => high - BOTTOM
    - ((scale(Math.max(y, spec.log ? low : -Infinity)) - scale(low)) / (scale(top) - scale(low)))
    * (high - TOP - BOTTOM);
  const text = (x, y, words, anchor, more = {}) => {
    const node = svg("text", { x, y, "text-anchor": anchor, ...more });
    node.textContent = words;
    root.append(node);
  };
  for (const y of ticks(low, top, spec.log)) {
    root.append(svg("line", { x1: LEFT, x2: wide - RIGHT, y1: yOf(y), y2: yOf(y), class: "grid" }));
    text(LEFT - 8, yOf(y) + 4, short(y), "end");
  }
  let before = -Infinity;
  for (const x of spec.xs) {
    if (xOf(x) - before < 24) continue;
    before = xOf(x);
    text(xOf(x), high - BOTTOM + 18, String(x), "middle");
  }
  text((LEFT + wide - RIGHT) / 2, high - 4, spec.xName, "middle", { class: "axis" });
  text(LEFT, TOP - 7, spec.yName, "start", { class: "axis" });
  for (const { colour, ys, band, dashed, faint, name } of spec.curves) {
    if (band) {
      const [lows, highs] = band;
      const points = [...highs.map((y, i) => [spec.xs[i], y]),
        ...lows.map((y, i) => [spec.xs[i], y]).reverse()].filter(([, y]) => Number.isFinite(y));
      root.append(svg("polygon", { points: points.map(([x, y]) => `${xOf(x)},${yOf(y)}`).join(" "),
        fill: colour, "fill-opacity": 0.1 }));
    }
    const points = ys.map((y, i) => [spec.xs[i], y]).filter(([, y]) => Number.isFinite(y));
    const line = svg("polyline", { points: points.map(([x, y]) => `${xOf(x)},${yOf(y)}`).join(" "),
      fill: "none", stroke: colour, "stroke-width": faint ? 1.3 : 2.2,
      "stroke-opacity": faint ? 0.55 : 1, "stroke-linejoin": "round",
      ...(dashed ? { "stroke-dasharray": "5 4" } : {}) });
    const title = svg("title");
    title.textContent = name;
    line.append(title);
    root.append(line);
    if (!faint) {
      for (const [x, y] of points) root.append(svg("circle", { cx: xOf(x), cy: yOf(y), r: 2.6, fill: colour }));
    }
  }
  if (spec.mark !== undefined) {
    root.append(svg("line", { x1: xOf(spec.mark), x2: xOf(spec.mark), y1: TOP, y2: high - BOTTOM, class: "mark" }));
  }
  return root;
}

// What the curves' colours mean: a click hides one or shows it again.
export function curveKeys(curves, hidden, onchange) {
  return el("div.curves", {}, ...curves.map(({ name, colour, note }) => {
    const node = el("button.part.seen", { type: "button", title: `Hide or show ${name}`,
      onclick: () => {
        if (!hidden.delete(name)) hidden.add(name);
        onchange();
      } }, swatch(colour), name, el("span.count", {}, note ?? ""));
    node.classList.toggle("off", hidden.has(name));
    return node;
  }));
}

function ticks(low, top, log) {
  if (log) {
    const found = [];
    const steps = top / low < 50 ? [1, 2, 5] : [1];
    for (let ten = 10 ** Math.floor(Math.log10(low)); ten <= top; ten *= 10) {
      found.push(...steps.map((step) => step * ten).filter((y) => y >= low && y <= top));
    }
    return found;
  }
  const rough = (top - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough);
  const found = [];
  for (let y = Math.ceil(low / step) * step; y <= top; y += step) found.push(y);
  return found;
}

const short = (y) => String(Number(y.toPrecision(4))).replace("-", "−");
