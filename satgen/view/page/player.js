// The transport at the foot of the page: a place among many, and how it is moved.

import { button, clamp, el, fixed, icon, select } from "./dom.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
const RATE = 24; // places a second at speed 1

export class Player {
  // options, by `use`: count, onchange(place) that may answer a promise, name(place), index(place),
  // placeOf(index), curve: {values, name}, preview(place) -> bitmap or null, unit.
  constructor(root) {
    this.root = root;
    this.place = 0;
    this.speed = 1;
    this.direction = 1;
    this.build();
  }

  build() {
    this.playButton = button(icon("play"), "Play or pause (space)", () => this.toggle());
    this.playButton.classList.add("big");
    this.number = el("input.number", { type: "text", inputMode: "numeric", autocomplete: "off",
      "aria-label": "Index", title: "Go to an index (g)", onchange: () => this.typed(),
      onkeydown: (event) => {
        if (event.key === "Enter" || event.key === "Escape") this.number.blur();
        event.stopPropagation();
      } });
    this.words = el("div.words");
    this.speeds = select("Speed", SPEEDS.map((value) => [String(value), `${value}×`]), "1",
      (value) => { this.speed = Number(value); });
    this.track = el("canvas.track");
    this.tip = el("div.tip", { hidden: true }, el("canvas"), el("span"));
    this.slider = el("div.slider", { tabIndex: 0, role: "slider", "aria-label": "Frame",
      "aria-valuemin": "0" }, this.track, this.tip);
    this.root.replaceChildren(
      el("div.buttons", {},
        button(icon("first"), "First (home)", () => this.go(0)),
        button(icon("back"), "One back (←)", () => this.step(-1)),
        this.playButton,
        button(icon("forward"), "One on (→)", () => this.step(1)),
        button(icon("last"), "Last (end)", () => this.go(this.count - 1))),
      this.number, this.words, this.speeds, this.slider);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.slider);
  }

  use(options) {
    this.pause();
    this.options = options;
    this.count = options.count;
    this.base = null;
    this.slider.setAttribute("aria-valuemax", String(this.count - 1));
    return this.go(options.place ?? 0);
  }

  async go(place) {
    if (!this.options) return;
    const next = clamp(Math.round(place), 0, this.count - 1);
    if (next !== this.place) this.direction = Math.sign(next - this.place);
    this.place = next;
    this.number.value = String(this.options.index(next));
    this.words.textContent = this.options.name(next);
    this.slider.setAttribute("aria-valuenow", String(next));
    this.slider.setAttribute("aria-valuetext", `${this.options.index(next)}`);
    this.draw();
    await this.options.onchange(next);
  }

  step(by) {
    this.pause();
    return this.go(this.place + by);
  }

  typed() {
    const index = Number(this.number.value);
    if (this.number.value.trim() !== "" && Number.isFinite(index)) {
      this.pause();
      this.go(this.options.placeOf(index));
    } else this.number.value = String(this.options.index(this.place));
  }

  toggle() { this.playing ? this.pause() : this.play(); }

  pause() {
    this.playing = false;
    this.playButton.replaceChildren(icon("play"));
  }

  async play() {
    if (this.playing || !this.options) return;
    this.playing = true;
    this.playButton.replaceChildren(icon("pause"));
    if (this.place >= this.count - 1) await this.go(0);
    let due = performance.now();
    while (this.playing) {
      const tick = 1000 / ((this.options.rate ?? RATE) * this.speed);
      due = Math.max(due + tick, performance.now() - 250);
      let by = 1;
      const late = performance.now() - due;
      if (late > tick) {
        by += Math.floor(late / tick);
        due += tick * (by - 1);
      }
      await wait(due - performance.now());
      if (!this.playing) break;
      if (this.place >= this.count - 1) {
        this.pause();
        break;
      }
      this.direction = 1;
      await this.go(this.place + by);
    }
  }

  setSpeed(by) {
    const place = clamp(SPEEDS.indexOf(this.speed) + by, 0, SPEEDS.length - 1);
    this.speed = SPEEDS[place];
    this.speeds.value = String(this.speed);
  }

  listen() {
    const { slider } = this;
    const placeAt = (event) => {
      const box = slider.getBoundingClientRect();
      const share = (event.clientX - box.left - 8) / Math.max(box.width - 16, 1);
      return clamp(Math.round(share * (this.count - 1)), 0, this.count - 1);
    };
    slider.addEventListener("pointerdown", (event) => {
      slider.setPointerCapture(event.pointerId);
      this.pause();
      this.dragging = true;
      this.go(placeAt(event));
    });
    slider.addEventListener("pointermove", (event) => {
      if (!this.options) return;
      const place = placeAt(event);
      if (this.dragging) this.go(place);
      this.preview(event, place);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      slider.addEventListener(kind, () => { this.dragging = false; });
    }
    slider.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    slider.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.step(Math.sign(event.deltaY || event.deltaX));
    }, { passive: false });
  }

  preview(event, place) {
    const bitmap = this.options.preview?.(place) ?? null;
    const [canvas, text] = this.tip.children;
    canvas.hidden = !bitmap;
    if (bitmap) {
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
    }
    text.textContent = String(this.options.index(place));
    const box = this.slider.getBoundingClientRect();
    this.tip.hidden = false;
    const half = this.tip.offsetWidth / 2;
    this.tip.style.left =
      `${clamp(event.clientX - box.left, half + 2, Math.max(box.width - half - 2, half + 2))}px`;
  }

  // The curve is drawn once; the place on top of it each time.
  draw() {
    const { clientWidth: wide, clientHeight: high } = this.slider;
    if (!wide || !this.options) return;
    const ratio = window.devicePixelRatio || 1;
    const size = `${wide}x${high}@${ratio}`;
    if (this.base?.size !== size) {
      this.base = el("canvas", { width: Math.round(wide * ratio), height: Math.round(high * ratio) });
      this.base.size = size;
      this.drawCurve(this.base.getContext("2d"), wide, high, ratio);
      [this.track.width, this.track.height] = [this.base.width, this.base.height];
    }
    const context = this.track.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.track.width, this.track.height);
    context.drawImage(this.base, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const x = 8 + (this.place / Math.max(this.count - 1, 1)) * (wide - 16);
    context.fillStyle = "#59b8ff26";
    context.fillRect(8, 0, x - 8, high);
    context.fillStyle = "#59b8ff";
    context.beginPath();
    context.roundRect(x - 2, 0, 4, high, 2);
    context.fill();
  }

  drawCurve(context, wide, high, ratio) {
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#ffffff0a";
    context.beginPath();
    context.roundRect(0, 0, wide, high, 6);
    context.fill();
    const { curve } = this.options;
    const values = curve && Array.from(curve.values).filter(Number.isFinite);
    if (!values?.length) return;
    let low = Infinity, top = -Infinity;
    for (const value of values) {
      low = Math.min(low, value);
      top = Math.max(top, value);
    }
    const columns = Math.max(Math.min(Math.floor(wide - 16), this.count), 1);
    context.beginPath();
    context.moveTo(8, high);
    for (let i = 0; i < columns; i++) {
      const place = Math.round((i / Math.max(columns - 1, 1)) * (this.count - 1));
      const value = curve.values[place];
      const share = top > low && Number.isFinite(value) ? (value - low) / (top - low) : 0.5;
      context.lineTo(8 + (i / Math.max(columns - 1, 1)) * (wide - 16), high - 3 - share * (high - 8));
    }
    context.lineTo(wide - 8, high);
    context.closePath();
    context.fillStyle = "#8fa3c52e";
    context.fill();
    context.font = "10px system-ui, sans-serif";
    context.fillStyle = "#8d97ad";
    context.fillText(`${curve.name} ${fixed(low, 0)} to ${fixed(top, 0)}${curve.unit ?? ""}`, 14, 12);
  }
}

const wait = (ms) => new Promise((resolve) => {
  if (ms <= 4) requestAnimationFrame(() => resolve());
  else setTimeout(() => requestAnimationFrame(() => resolve()), ms - 4);
});
