// A pane: one frame's image, with what is drawn over it, to be zoomed and moved.

import { clamp, el } from "./dom.js";
import { AXES, DEPTH, SHADOW } from "./colours.js";
import { toCamera } from "./maths.js";
import { Passed } from "./packs.js";

const MOST_ZOOM = 24;

// What the images of a view are drawn from, by layer.
const KINDS = { rgb: ["rgb"], depth: ["depth"], parts: ["rgb", "parts"], shadow: ["shadow"],
  normals: ["normals"] };

export const layerKinds = (layer) => KINDS[layer];

export class Pane {
  // options: onhover(pixel); onscrub(steps); onmoved().
  constructor(options = {}) {
    this.options = options;
    this.base = el("canvas.base");
    this.top = el("canvas.top");
    this.caption = el("div.caption");
    this.readout = el("div.readout");
    this.frame = el("div.frame", {}, this.base, this.top, this.caption, this.readout);
    this.root = el("div.pane", {}, this.frame);
    this.context = this.base.getContext("2d");
    this.scratch = el("canvas").getContext("2d");
    this.style = { layer: "rgb", hidden: new Set(), axes: true, landmarks: false, box: false,
      names: false };
    this.zoom = 1;
    this.shift = [0, 0];
    this.wanted = 0;
    this.pointers = new Map();
    new ResizeObserver(() => this.layout()).observe(this.root);
    this.listen();
  }

  // Show a frame. Resolves to whether it is drawn: false if another was wanted meanwhile.
  async show(data, row) {
    const ticket = ++this.wanted;
    if (data !== this.data) {
      this.data = data;
      [this.base.width, this.base.height] = data.shown;
      [this.scratch.canvas.width, this.scratch.canvas.height] = data.shown;
      this.layout();
    } else if (this.style.layer !== this.layer) this.moved();
    this.layer = this.style.layer;
    this.row = row;
    this.values = {};
    this.readout.textContent = "";
    const kinds = KINDS[this.style.layer];
    try {
      let images = kinds.map((kind) => data.image(kind, row));
      if (images.some((image) => image instanceof Promise)) {
        const thumbnail = kinds[0] === "rgb" && data.thumbnail(row);
        if (thumbnail && !(await soon(images))) {
          if (ticket !== this.wanted) return false;
          this.context.drawImage(thumbnail, 0, 0, this.base.width, this.base.height);
          this.drawOver();
        }
        images = await Promise.all(images);
        if (ticket !== this.wanted) return false;
      }
      kinds.forEach((kind, i) => { this.values[kind] = images[i]; });
      this.drawn = true;
      this.root.classList.toggle("missing", images.some((image) => image.missing));
      this.paint();
    } catch (error) {
      if (error instanceof Passed || ticket !== this.wanted) return false;
      throw error;
    }
    return true;
  }

  redraw() {
    return this.data ? this.show(this.data, this.row) : Promise.resolve(false);
  }

  paint() {
    const { context, data, values } = this;
    const { layer } = this.style;
    const [wide, high] = data.shown;
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    context.fillRect(0, 0, wide, high);
    if (values.rgb?.bitmap) context.drawImage(values.rgb.bitmap, 0, 0);
    if (values.normals?.bitmap) context.drawImage(values.normals.bitmap, values.normals.x, values.normals.y);
    if (layer === "depth") this.paintValues(values.depth, this.depthColours());
    if (layer === "parts") {
      context.globalAlpha = 0.78;
      this.paintValues(values.parts, (label) => this.style.hidden.has(label) || !label
        ? null : this.data.colours[label]);
      context.globalAlpha = 1;
    }
    if (layer === "shadow") this.paintValues(values.shadow, (label) => label ? SHADOW[label] : null);
    this.drawOver();
  }

  depthColours() {
    const [near, far] = this.data.range(this.row);
    const scale = this.data.depth_scale;
    const colours = Array.from({ length: 256 }, (_, i) => DEPTH.subarray(3 * i, 3 * i + 3));
    return (count) => count
      ? colours[clamp(Math.round((255 * (count * scale - near)) / (far - near)), 0, 255)] : null;
  }

  paintValues({ x, y, w, h, data }, colourOf) {
    if (!w || !h) return;
    const image = this.scratch.createImageData(w, h);
    const pixels = image.data;
    let last = -1, colour = null;
    for (let i = 0, at = 0; i < data.length; i++, at += 4) {
      if (data[i] !== last) {
        last = data[i];
        colour = colourOf(last);
      }
      if (colour) {
        pixels[at] = colour[0];
        pixels[at + 1] = colour[1];
        pixels[at + 2] = colour[2];
        pixels[at + 3] = 255;
      }
    }
    this.scratch.putImageData(image, 0, 0);
    this.context.drawImage(this.scratch.canvas, 0, 0, w, h, x, y, w, h);
  }

  // -- where things are

  layout() {
    if (!this.data) return;
    const { clientWidth, clientHeight } = this.root;
    const [wide, high] = this.data.shown;
    const scale = Math.min(clientWidth / wide, clientHeight / high);
    this.size = [Math.max(wide * scale, 1), Math.max(high * scale, 1)];
    [this.frame.style.width, this.frame.style.height] = this.size.map((value) => `${value}px`);
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    this.ratio = ratio;
    [this.top.width, this.top.height] = this.size.map((value) => Math.round(value * ratio));
    this.moved();
  }

  moved() {
    const [wide, high] = this.size;
    this.shift = [clamp(this.shift[0], wide * (1 - this.zoom), 0),
      clamp(this.shift[1], high * (1 - this.zoom), 0)];
    this.base.style.transform =
      `translate(${this.shift[0]}px, ${this.shift[1]}px) scale(${this.zoom})`;
    this.top.style.touchAction = this.zoom > 1.01 ? "none" : "pan-y";
    const pixel = (wide * this.zoom) / this.data.shown[0];
    this.base.classList.toggle("pixelated", pixel > (this.style.layer === "rgb" ? 3 : 1.5));
    this.drawOver();
    this.options.onmoved?.();
  }

  // Position in the frame, CSS pixels, of an original pixel; and the inverse.
  place([u, v]) {
    const { width, height } = this.data.camera;
    return [this.shift[0] + ((u + 0.5) / width) * this.size[0] * this.zoom,
      this.shift[1] + ((v + 0.5) / height) * this.size[1] * this.zoom];
  }

  pixel([x, y]) {
    const { width, height } = this.data.camera;
    return [((x - this.shift[0]) / (this.size[0] * this.zoom)) * width - 0.5,
      ((y - this.shift[1]) / (this.size[1] * this.zoom)) * height - 0.5];
  }

  zoomBy(factor, [x, y]) {
    const zoom = clamp(this.zoom * factor, 1, MOST_ZOOM);
    const change = zoom / this.zoom;
    this.shift = [x - (x - this.shift[0]) * change, y - (y - this.shift[1]) * change];
    this.zoom = zoom;
    this.moved();
  }

  resetZoom() {
    this.zoom = 1;
    this.shift = [0, 0];
    if (this.data) this.moved();
  }

  // -- what is drawn over the image

  drawOver() {
    if (!this.data || this.row === undefined) return;
    const context = this.top.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.top.width, this.top.height);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.font = "600 12px system-ui, sans-serif";
    context.lineJoin = "round";
    if (this.style.box) this.drawBox(context);
    if (this.style.axes) this.drawAxes(context);
    if (this.style.landmarks) this.drawLandmarks(context);
  }

  drawBox(context) {
    const c = this.data.column;
    const [x, y, w, h] = ["x", "y", "w", "h"].map((name) => c[`bbox_${name}`][this.row]);
    if (!(w > 0)) return;
    const [left, top] = this.place([x - 0.5, y - 0.5]);
    const [right, bottom] = this.place([x + w - 0.5, y + h - 0.5]);
    context.strokeStyle = "#ffffffb0";
    context.lineWidth = 1;
    context.setLineDash([5, 4]);
    context.strokeRect(left, top, right - left, bottom - top);
    context.setLineDash([]);
  }

  drawAxes(context) {
    const { data } = this;
    const pose = data.pose(this.row);
    const project = (point) => data.camera.project(toCamera(pose, point));
    const start = project([0, 0, 0]);
    if (!start) return;
    const from = this.place(start);
    const length = 0.55 * data.radius_m;
    const ends = AXES.map((colour, axis) => {
      const point = [0, 0, 0];
      point[axis] = length;
      const uv = project(point);
      return { colour, name: "xyz"[axis], to: uv && this.place(uv), z: toCamera(pose, point)[2] };
    });
    for (const { colour, name, to } of ends.sort((a, b) => b.z - a.z)) {
      if (!to) continue;
      for (const [width, stroke] of [[4.5, "#000000a0"], [2, colour]]) {
        context.strokeStyle = stroke;
        context.lineWidth = width;
        context.beginPath();
        context.moveTo(...from);
        context.lineTo(...to);
        context.stroke();
      }
      label(context, name, [to[0] + 5, to[1] - 5], colour);
    }
  }

  drawLandmarks(context) {
    const { data, row } = this;
    const pose = data.pose(row);
    const taken = [];
    data.landmarks.forEach((landmark, i) => {
      const uv = data.camera.project(toCamera(pose, landmark.xyz));
      if (!uv) return;
      const [x, y] = this.place(uv);
      const seen = data.visible?.[row * data.landmarks.length + i];
      context.beginPath();
      context.arc(x, y, seen ? 3.5 : 3, 0, 7);
      context.lineWidth = seen ? 1.5 : 1;
      context.strokeStyle = seen ? "#06130a" : "#ffffff70";
      if (seen) {
        context.fillStyle = "#7df3a8";
        context.fill();
      }
      context.stroke();
      if (seen && this.style.names) this.nameLandmark(context, landmark.name, [x, y], taken);
    });
  }

  // Beside the point, on the side that has room; not at all where another name is.
  nameLandmark(context, name, [x, y], taken) {
    const wide = context.measureText(name).width;
    const left = x + 8 + wide > this.size[0] ? x - 8 - wide : x + 8;
    if (taken.some(([a, b, w]) => Math.abs(b - y) < 14 && left < a + w + 6 && a < left + wide + 6)) return;
    taken.push([left, y, wide]);
    label(context, name, [left, y + 4], "#d5ffe4");
  }

  // -- pointers: move when zoomed in, scrub when not; two fingers or the wheel zoom

  listen() {
    const { top } = this;
    const at = (event) => {
      const box = this.frame.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    top.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-clamp(event.deltaY, -120, 120) / 300), at(event));
    }, { passive: false });
    top.addEventListener("dblclick", (event) => {
      if (this.zoom > 1.01) this.resetZoom();
      else this.zoomBy(3, at(event));
    });
    top.addEventListener("pointerdown", (event) => {
      top.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
      this.rest = 0;
    });
    top.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId), now = at(event);
      if (!before) {
        this.hover(now);
        return;
      }
      if (this.pointers.size === 2) {
        const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId);
        const spread = (a) => Math.hypot(a[0] - other[1][0], a[1] - other[1][1]);
        this.zoomBy(spread(now) / Math.max(spread(before), 1),
          [(now[0] + other[1][0]) / 2, (now[1] + other[1][1]) / 2]);
      } else if (this.zoom > 1.01) {
        this.shift = [this.shift[0] + now[0] - before[0], this.shift[1] + now[1] - before[1]];
        this.moved();
      } else if (this.options.onscrub) {
        this.rest += now[0] - before[0];
        const steps = Math.trunc(this.rest / 6);
        this.rest -= 6 * steps;
        if (steps) this.options.onscrub(steps);
      }
      this.pointers.set(event.pointerId, now);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      top.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
    }
    top.addEventListener("pointerleave", () => {
      this.readout.textContent = "";
      this.options.onhover?.(null);
    });
  }

  // Say what the pixel under the pointer shows.
  async hover(place) {
    if (!this.data || this.row === undefined) return;
    const { data, row } = this;
    const [u, v] = this.pixel(place).map(Math.round);
    const { width, height } = data.camera;
    if (!(u >= 0 && v >= 0 && u < width && v < height)) return;
    this.options.onhover?.([u, v]);
    const words = [`u ${u}  v ${v}`];
    try {
      const kinds = ["depth", "parts"].filter((kind) => data.kinds.includes(kind));
      const found = await Promise.all(kinds.map((kind) => data.image(kind, row, false)));
      if (data !== this.data || row !== this.row) return;
      found.forEach((values, i) => {
        const value = valueAt(data, values, u, v);
        if (!value) return;
        words.push(kinds[i] === "depth" ? `${(value * data.depth_scale).toFixed(3)} m`
          : data.partNames.get(value)?.name ?? `part ${value}`);
      });
    } catch { /* the next move asks again */ }
    if (this.top.matches(":hover")) this.readout.textContent = words.join("   ");
  }
}

// The value of labels or depth counts at an original pixel; 0 for background.
export function valueAt(data, values, u, v) {
  const x = Math.floor(((u + 0.5) * data.shown[0]) / data.camera.width) - values.x;
  const y = Math.floor(((v + 0.5) * data.shown[1]) / data.camera.height) - values.y;
  if (!(x >= 0 && y >= 0 && x < values.w && y < values.h)) return 0;
  return values.data[y * values.w + x];
}

function label(context, text, [x, y], colour) {
  context.lineWidth = 3;
  context.strokeStyle = "#000000c0";
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

// Whether images are there within a blink, so that nothing need stand in for them.
async function soon(images) {
  const late = new Promise((resolve) => setTimeout(() => resolve(false), 20));
  return Promise.race([Promise.all(images).then(() => true, () => false), late]);
}
