// The keyboard, and the list of keys.

import { button, el, lines } from "./dom.js";

const KEYS = [
  ["← →", "one back, one on"],
  ["shift ← →", "ten back, ten on"],
  ["page up, page down", "a hundredth of all back, on"],
  ["home, end", "first, last"],
  ["space", "play, pause"],
  ["− +", "slower, faster"],
  ["g", "go to an index"],
  ["1 … 5", "RGB, depth, parts, shadow, normals"],
  ["a m n x", "axes, landmarks, their names, box"],
  ["b", "brighten"],
  ["z", "whole image again; the wheel or two fingers zoom, a double click zooms in and out"],
  ["↑ ↓", "frames apart; matcher; frames ahead; motion"],
  ["l", "lines of matches"],
  ["d", "differences of forecasts"],
  [", .", "the mode before, the next"],
  ["?", "this list"],
];

export function listenToKeys(app) {
  const help = document.getElementById("help");
  help.replaceChildren(el("h2", {}, "Keys"), el("table", {}, ...lines(KEYS)),
  button("Close", "Close", () => help.close()));
  help.addEventListener("click", (event) => {
    if (event.target === help) help.close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") {
      if (help.open) help.close();
      else help.showModal();
      event.preventDefault();
      return;
    }
    if (help.open) return;
    const field = event.target.closest?.("input, select, textarea");
    if (field && field.tagName !== "SELECT") return;
    if (field && ["ArrowUp", "ArrowDown", " ", "Enter"].includes(event.key)) return;
    if (event.target.closest?.("button, summary") && ["Enter", " "].includes(event.key)) return;
    if (pressed(app, event)) event.preventDefault();
  });
  return help;
}

function pressed(app, { key, shiftKey }) {
  const { player } = app;
  const many = Math.max(1, Math.round(player.count / 100));
  const moves = { ArrowLeft: shiftKey ? -10 : -1, ArrowRight: shiftKey ? 10 : 1,
    PageUp: -many, PageDown: many };
  if (key in moves) player.step(moves[key]);
  else if (key === "Home") player.step(-Infinity);
  else if (key === "End") player.step(Infinity);
  else if (key === " ") player.toggle();
  else if (key === "+" || key === "=") player.setSpeed(1);
  else if (key === "-" || key === "_") player.setSpeed(-1);
  else if (key === "g") {
    player.number.focus();
    player.number.select();
  } else if (key === ",") app.nextMode(-1);
  else if (key === ".") app.nextMode(1);
  else return app.mode?.key(key) ?? false;
  return true;
}
