// The page: what it shows, in which mode, and what its address says of that.

import { button, choice, el, notice, select } from "./dom.js";
import { openSite } from "./data.js";
import { listenToKeys } from "./keys.js";
import { Look, OVERLAYS } from "./look.js";
import { Compare, Matches } from "./compare.js";
import { Forecasts } from "./forecasts.js";
import { PoseErrors } from "./errors.js";
import { Passed } from "./packs.js";
import { Player } from "./player.js";

class App {
  constructor(site) {
    this.site = site;
    this.data = site.datasets[0];
    this.bright = false;
    this.style = { layer: "rgb", hidden: new Set(), axes: true, landmarks: false, names: false,
      box: false };
    this.rows = new Map();
    this.player = new Player(document.getElementById("transport"));
    this.modes = this.modesOf(site);
    this.main = document.getElementById("main");
  }

  modesOf(site) {
    const own = { bench: [Matches], frames: [Forecasts], pose: [PoseErrors] }[site.kind] ?? [];
    const kinds = site.datasets.length ? [...own, Look, Compare] : own;
    return kinds.map((Kind) => new Kind(this));
  }

  start() {
    document.title = `${this.site.title} · satgen view`;
    const state = new URLSearchParams(location.hash.slice(1));
    this.data = this.site.datasets.find((data) => data.name === state.get("data")) ?? this.data;
    if (state.has("show")) this.style.layer = state.get("show");
    if (state.has("over")) {
      const over = new Set(state.get("over").split(" "));
      for (const [name] of OVERLAYS) this.style[name] = over.has(name);
    }
    if (state.get("bright")) this.setBright(true);
    this.buildTop();
    const mode = this.modes.find(({ name }) => name === state.get("mode")) ?? this.modes[0];
    const index = Number(state.get("at"));
    if (this.data && state.has("at") && Number.isFinite(index)) {
      this.rows.set(this.data, this.data.rowOf(index));
    }
    this.start0 = Number(state.get("place")) || 0;
    this.help = listenToKeys(this);
    for (const data of this.site.datasets) {
      data.openThumbnails().catch(() => {});
      this.guard(data.openVisible()).then(() => this.mode.drawOver?.());
    }
    return this.setMode(mode);
  }

  buildTop() {
    const { site } = this;
    this.tabs = choice("Mode", this.modes.map(({ name, title }) => [name, title]), null,
      (name) => this.setMode(this.modes.find((mode) => mode.name === name)));
    this.tabs.classList.add("tabs");
    this.picker = site.datasets.length > 1 && select("Dataset",
      site.datasets.map(({ name }) => [name, name]), this.data.name, (name) => this.setData(name));
    this.about = el("span.about");
    document.getElementById("top").replaceChildren(
      el("span.mark", {}, el("img", { src: "icon.svg", alt: "" }), el("b", {}, site.title)),
      ...(this.picker ? [this.picker] : []), this.about, this.tabs,
      button("?", "Keys (?)", () => this.help.showModal(), { className: "round" }));
    this.describe();
  }

  describe() {
    const { data } = this;
    this.about.textContent = data ? `${data.title} · ${data.frames} frames` : "forecasts of poses";
  }

  dataset(name) { return this.site.datasets.find((data) => data.name === name); }

  setData(name) {
    const index = this.data.index(this.rows.get(this.data) ?? 0);
    this.data = this.dataset(name);
    if (!this.rows.has(this.data)) this.rows.set(this.data, this.data.rowOf(index));
    this.describe();
    this.setMode(this.mode);
  }

  async setMode(mode) {
    this.player.pause();
    this.mode = mode;
    this.tabs.set(mode.name);
    this.main.replaceChildren(mode.root);
    if (this.picker) this.picker.hidden = !mode.ofFrames;
    const place = mode.ofFrames ? this.rows.get(this.data) ?? 0 : this.start0;
    this.start0 = 0;
    await mode.open(place);
    this.saveState();
  }

  nextMode(by) {
    const at = this.modes.indexOf(this.mode);
    this.setMode(this.modes[(at + by + this.modes.length) % this.modes.length]);
  }

  setBright(on) {
    this.bright = on;
    document.body.classList.toggle("bright", on);
    this.saveState();
  }

  remember(row) {
    this.rows.set(this.data, row);
    this.saveState();
  }

  // The address says what is shown, so that it can be passed on; written when all is still.
  saveState() {
    clearTimeout(this.saving);
    this.saving = setTimeout(() => {
      if (!this.mode) return;
      const state = new URLSearchParams({ mode: this.mode.name });
      if (this.mode.ofFrames) {
        if (this.site.datasets.length > 1) state.set("data", this.data.name);
        state.set("at", String(this.data.index(this.rows.get(this.data) ?? 0)));
      } else state.set("place", String(this.player.place));
      state.set("show", this.style.layer);
      state.set("over", OVERLAYS.map(([name]) => name).filter((name) => this.style[name]).join(" "));
      if (this.bright) state.set("bright", "1");
      history.replaceState(null, "", `#${state}`);
    }, 250);
  }

  // What something answers; where it fails, say so and answer nothing.
  async guard(promise) {
    try {
      return await promise;
    } catch (error) {
      if (!(error instanceof Passed)) notice(String(error.message || error));
      return undefined;
    }
  }
}

openSite().then((site) => {
  window.satgen = new App(site); // for tests, and for the curious
  return window.satgen.start();
}).catch((error) => {
  document.getElementById("main").replaceChildren(el("p.loading", {}, String(error.message || error)));
  throw error;
});
