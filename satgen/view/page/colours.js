// Colours of depth, of parts and of curves.

const STOPS = ["440154", "48186a", "472d7b", "424086", "3b528b", "33638d", "2c728e", "26828e",
  "21918c", "1fa088", "28ae80", "3fbc73", "5ec962", "84d44b", "addc30", "d8e219", "fde725"];

// Matplotlib's viridis (CC0), 256 colours of red, green and blue; near is bright.
export const DEPTH = (() => {
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = ((255 - i) / 255) * (STOPS.length - 1);
    const low = Math.min(Math.floor(at), STOPS.length - 2);
    for (let c = 0; c < 3; c++) {
      const [a, b] = [low, low + 1].map((n) => parseInt(STOPS[n].slice(2 * c, 2 * c + 2), 16));
      table[3 * i + c] = a + (b - a) * (at - low);
    }
  }
  return table;
})();

function rgbOf(hue, saturation, lightness) {
  const a = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (lightness - a * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}

const HUES = { solar_array: 212, bus: 38, structure: 258, radiator: 186, antenna: 100, boom: 322,
  instrument: 12, sensor: 66, thruster: 350, payload: 12 };

// A colour for each part label: parts of a class are alike, and neighbours in it differ.
export function partColours(parts) {
  const table = Array.from({ length: 256 }, () => [0, 0, 0]);
  const counts = new Map();
  const others = [...new Set(parts.map((part) => part.class))].filter((name) => !(name in HUES));
  for (const part of parts) {
    const number = counts.get(part.class) ?? 0;
    counts.set(part.class, number + 1);
    const base = HUES[part.class] ?? (150 + 137.5 * others.indexOf(part.class)) % 360;
    const hue = (base + ((number * 7) % 5 - 2) * 5 + 360) % 360;
    table[part.label] = rgbOf(hue, 0.72 - 0.1 * (number % 3), 0.5 + 0.075 * ((number * 3) % 5 - 2));
  }
  return table;
}

export const SHADOW = [[0, 0, 0], [255, 208, 120], [58, 66, 92], [92, 116, 196]];
export const SHADOW_NAMES = ["", "lit", "turned away from the sun", "in shadow"];

export const CORRECT = "#4ade80", WRONG = "#ff6868", UNJUDGED = "#f5c451";
export const AXES = ["#ff6b6b", "#5fdd7c", "#5b9dff"];

// Of curves, one a model: told apart by those who see colours otherwise, too.
export const CURVES = ["#59b8ff", "#ffb454", "#4ade80", "#f472b6", "#c4a7ff", "#f5e663", "#8be9e0",
  "#ff7a66", "#b0b8c9"];

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;
