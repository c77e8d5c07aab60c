// What belongs together in two frames, from depth and pose alone.

import { angleBetween, carried, HIDDEN, VISIBLE } from "./maths.js";
import { valueAt } from "./pane.js";

const WANTED = 260;

// Points all over what frame a shows, and where they are in frame b:
// {matches: [{from, to, colour}], marks, seen, hidden, outside, angle}.
export async function truthOf(data, rows) {
  const depths = await Promise.all(rows.map((row) => data.image("depth", row)));
  const [a, b] = rows.map((row, i) => data.frame(row, depths[i]));
  const { x, y, w, h, data: counts } = depths[0];
  let shown = 0;
  for (const count of counts) if (count) shown++;
  const step = Math.max(2, Math.round(Math.sqrt(shown / WANTED)));
  const found = { matches: [], marks: [], seen: 0, hidden: 0, outside: 0,
    angle: angleBetween(a.pose, b.pose) };
  for (let j = step >> 1; j < h; j += step) {
    for (let i = step >> 1; i < w; i += step) {
      const count = counts[j * w + i];
      if (!count) continue;
      const from = data.original(x + i, y + j);
      const { uv, state } = carried(a, b, from[0], from[1], count * data.depth_scale);
      if (state === VISIBLE) {
        found.seen++;
        const colour = `hsl(${Math.round((300 * i) / w)} 85% ${Math.round(72 - (22 * j) / h)}%)`;
        found.matches.push({ from, to: uv, colour, alpha: 0.38 });
      } else {
        if (state === HIDDEN) found.hidden++;
        else found.outside++;
        found.marks.push({ side: 0, at: from, colour: "#ffffff50" });
      }
    }
  }
  return found;
}

// The pixel of the other frame that shows what a pixel of one shows, and how it is.
export async function counterpart(data, rows, side, pixel) {
  const order = side === 0 ? rows : [rows[1], rows[0]];
  const depths = await Promise.all(order.map((row) => data.image("depth", row, false)));
  const [a, b] = order.map((row, i) => data.frame(row, depths[i]));
  const z = valueAt(data, depths[0], ...pixel) * data.depth_scale;
  return z ? carried(a, b, pixel[0], pixel[1], z) : null;
}
