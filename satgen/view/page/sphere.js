// The sphere of views: from where the target is seen, the way there, and where the sun is.

import { clamp, el } from "./dom.js";
import { AXES } from "./colours.js";
import { cameraCentre, toTarget } from "./maths.js";

const MOST_POINTS = 2400, FAR = 0.75, FINE = 0.06;

export class Sphere {
  constructor() {
    this.canvas = el("canvas.sphere", { role: "img",
      "aria-label": "The sphere of views: path of the camera, where it is now, and the sun" });
    this.yaw = -0.6;
    this.pitch = 0.38;
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.from = [event.clientX, event.clientY];
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.from) return;
      this.yaw += (event.clientX - this.from[0]) / 120;
      this.pitch = clamp(this.pitch + (event.clientY - this.from[1]) / 120, -1.5, 1.5);
      this.from = [event.clientX, event.clientY];
      this.draw();
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(kind, () => { this.from = null; });
    }
  }

  show(data, row) {
    if (this.data !== data) {
      this.data = data;
      const step = Math.max(1, Math.floor(data.frames / MOST_POINTS));
      const points = [];
      for (let i = 0; i < data.frames; i += step) points.push(this.direction(i));
      // Views far apart, as those of a grid, are no way that the camera took: they are dots.
      this.dotted = points.some((point, i) => i > 0 && apart(points[i - 1], point) > FAR);
      this.path = this.dotted ? points : smoothed(points);
    }
    this.row = row;
    this.draw();
  }

  direction(row) {
    const centre = cameraCentre(this.data.pose(row)).map((value, i) => value - this.data.centre[i]);
    const length = Math.hypot(...centre) || 1;
    return centre.map((value) => value / length);
  }

  // x to the right, y up, z to whoever looks.
  turned([x, y, z]) {
    const [c, s] = [Math.cos(this.yaw), Math.sin(this.yaw)];
    const [a, b] = [c * x - s * y, s * x + c * y];
    const [d, e] = [Math.cos(this.pitch), Math.sin(this.pitch)];
    return [a, d * z + e * b, e * z - d * b];
  }

  draw() {
    const { canvas } = this;
    const side = canvas.clientWidth;
    if (!this.data || !side) return;
    const ratio = window.devicePixelRatio || 1;
    const pixels = Math.round(side * ratio);
    if (canvas.width !== pixels || canvas.height !== pixels) canvas.width = canvas.height = pixels;
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, side, side);
    const half = side / 2, radius = half - 26;
    const place = (direction, length = 1) => {
      const [x, y, z] = this.turned(direction);
      return [half + x * radius * length, half - y * radius * length, z];
    };
    const ball = context.createRadialGradient(half - radius / 3, half - radius / 3, radius / 8,
      half, half, radius);
    ball.addColorStop(0, "#1d2739");
    ball.addColorStop(1, "#10151f");
    context.fillStyle = ball;
    context.beginPath();
    context.arc(half, half, radius, 0, 7);
    context.fill();
    this.drawGrid(context, place);
    this.drawPath(context, place);
    this.drawAxes(context, place);
    this.drawSun(context, place);
    this.drawCamera(context, place);
  }

  drawGrid(context, place) {
    context.lineWidth = 1;
    const ring = (point) => {
      for (const front of [false, true]) {
        context.beginPath();
        let down = false;
        for (let i = 0; i <= 72; i++) {
          const [x, y, z] = place(point((i / 72) * 2 * Math.PI));
          if (z >= 0 === front) {
            if (down) context.lineTo(x, y);
            else context.moveTo(x, y);
            down = true;
          } else down = false;
        }
        context.strokeStyle = front ? "#ffffff20" : "#ffffff0c";
        context.stroke();
      }
    };
    for (const elevation of [-60, -30, 0, 30, 60]) {
      const [c, s] = [Math.cos, Math.sin].map((f) => f((elevation * Math.PI) / 180));
      ring((t) => [c * Math.cos(t), c * Math.sin(t), s]);
    }
    for (let azimuth = 0; azimuth < 180; azimuth += 30) {
      const [c, s] = [Math.cos, Math.sin].map((f) => f((azimuth * Math.PI) / 180));
      ring((t) => [Math.cos(t) * c, Math.cos(t) * s, Math.sin(t)]);
    }
  }

  drawPath(context, place) {
    for (const front of [false, true]) {
      context.beginPath();
      let before = null;
      for (const point of this.path) {
        const [x, y, z] = place(point);
        const mine = z >= 0 === front;
        if (mine && this.dotted) context.rect(x - 0.75, y - 0.75, 1.5, 1.5);
        else if (mine && before) {
          context.moveTo(before[0], before[1]);
          context.lineTo(x, y);
        }
        before = [x, y];
      }
      context.lineWidth = 1;
      context.strokeStyle = front ? "#59b8ff8c" : "#59b8ff2e";
      context.stroke();
    }
  }

  drawAxes(context, place) {
    const [x, y] = place([0, 0, 0]);
    AXES.forEach((colour, axis) => {
      const direction = [0, 0, 0];
      direction[axis] = 1;
      const end = place(direction, 0.42);
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(end[0], end[1]);
      context.stroke();
      context.fillStyle = colour;
      context.font = "600 11px system-ui, sans-serif";
      context.fillText("xyz"[axis], end[0] + 3, end[1] - 3);
    });
  }

  drawSun(context, place) {
    const { data, row } = this;
    const direction = toTarget(data.pose(row), data.sun(row));
    const [x, y, z] = place(direction, 1.13);
    const half = context.canvas.clientWidth / 2;
    context.globalAlpha = z < 0 && Math.hypot(x - half, y - half) < half - 26 ? 0.35 : 1;
    const glow = context.createRadialGradient(x, y, 1, x, y, 15);
    glow.addColorStop(0, "#ffd27aff");
    glow.addColorStop(0.35, "#ffbe5590");
    glow.addColorStop(1, "#ffbe5500");
    context.fillStyle = glow;
    context.beginPath();
    context.arc(x, y, 15, 0, 7);
    context.fill();
    context.fillStyle = "#ffe7b3";
    context.beginPath();
    context.arc(x, y, 4.5, 0, 7);
    context.fill();
    context.globalAlpha = 1;
  }

  drawCamera(context, place) {
    const direction = this.direction(this.row);
    const [x, y, z] = place(direction);
    const [cx, cy] = place([0, 0, 0]);
    context.strokeStyle = z >= 0 ? "#ffffffa0" : "#ffffff45";
    context.setLineDash([3, 3]);
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(cx, cy);
    context.lineTo(x, y);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.arc(x, y, 5.5, 0, 7);
    context.fillStyle = z >= 0 ? "#ffffff" : "#6f7c93";
    context.strokeStyle = "#0b0e14";
    context.lineWidth = 2;
    context.fill();
    context.stroke();
  }
}

// Points on the arcs between those given, so that lines between them look round.
function smoothed(points) {
  const found = points.slice(0, 1);
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]];
    const parts = Math.max(1, Math.ceil(apart(a, b) / FINE));
    for (let part = 1; part <= parts; part++) {
      const mixed = a.map((value, axis) => value + ((b[axis] - value) * part) / parts);
      const length = Math.hypot(...mixed) || 1;
      found.push(mixed.map((value) => value / length));
    }
  }
  return found;
}

const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
