// Poses, cameras and what one frame's surface is in another: satgen.geometry and satgen.lens.
// Metres; OpenCV's camera axes (x right, y down, z forward); pixel (0, 0) is the centre of the
// top-left pixel. A pose takes target to camera coordinates: X_cam = R X + t, R row by row.

export function poseOf(w, x, y, z, tx, ty, tz) {
  const R = [
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
  ];
  return { R, t: [tx, ty, tz] };
}

export function toCamera({ R, t }, [x, y, z]) {
  return [
    R[0] * x + R[1] * y + R[2] * z + t[0],
    R[3] * x + R[4] * y + R[5] * z + t[1],
    R[6] * x + R[7] * y + R[8] * z + t[2],
  ];
}

// A direction of the camera's axes in the target's.
export function toTarget({ R }, [x, y, z]) {
  return [
    R[0] * x + R[3] * y + R[6] * z,
    R[1] * x + R[4] * y + R[7] * z,
    R[2] * x + R[5] * y + R[8] * z,
  ];
}

export function cameraCentre(pose) {
  return toTarget(pose, pose.t.map((value) => -value));
}

export class Camera {
  constructor(json) {
    Object.assign(this, json);
    this.distortion = json.distortion ?? [0, 0, 0, 0, 0];
    this.distorted = this.distortion.some((value) => value !== 0);
    this.domain = json.domain ?? Infinity;
  }

  distort(x, y) {
    const [k1, k2, p1, p2, k3] = this.distortion;
    const r2 = x * x + y * y;
    if (!(r2 <= this.domain * this.domain)) return null;
    const f = 1 + r2 * (k1 + r2 * (k2 + r2 * k3));
    return [x * f + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
      y * f + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y];
  }

  // Pixel of a camera-frame point; null behind the camera or where the lens says nothing of it.
  project([x, y, z]) {
    if (!(z > 0)) return null;
    const at = this.distorted ? this.distort(x / z, y / z) : [x / z, y / z];
    return at && [this.fx * at[0] + this.cx, this.fy * at[1] + this.cy];
  }

  // Direction that a pixel looks in, z = 1; by Newton's steps where the lens distorts.
  ray(u, v) {
    const a = (u - this.cx) / this.fx, b = (v - this.cy) / this.fy;
    if (!this.distorted) return [a, b, 1];
    const [k1, k2, p1, p2, k3] = this.distortion;
    let x = a, y = b;
    for (let step = 0; step < 20; step++) {
      const r2 = x * x + y * y;
      const f = 1 + r2 * (k1 + r2 * (k2 + r2 * k3));
      const slope = 2 * (k1 + r2 * (2 * k2 + r2 * 3 * k3));
      const ex = x * f + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) - a;
      const ey = y * f + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y - b;
      const xx = f + slope * x * x + 2 * p1 * y + 6 * p2 * x;
      const xy = slope * x * y + 2 * p1 * x + 2 * p2 * y;
      const yy = f + slope * y * y + 6 * p1 * y + 2 * p2 * x;
      const scale = 1 / (xx * yy - xy * xy);
      x -= scale * (yy * ex - xy * ey);
      y -= scale * (xx * ey - xy * ex);
      if (Math.abs(ex) + Math.abs(ey) < 1e-12) break;
    }
    return [x, y, 1];
  }
}

export const VISIBLE = 1, HIDDEN = 2, OUTSIDE = 3;

// satgen.geometry's: what counts as one smooth surface, and as the same depth.
const SMOOTH_RTOL = 2e-4, SMOOTH_RATIO = 0.25, FRONT_RTOL = 2e-3, OCCLUSION_RTOL = 1e-3;
const SNAP = 1e-6;

// What a depth map, depth(x, y) of whole pixels, shows at a position: depth z, whether it was
// interpolated on one smooth surface, and the depths around, Infinity for none. That is
// satgen.geometry.sample_depth, which says why.
function lookedUp(depth, u, v) {
  const [x, y] = [u, v].map((a) => (Math.abs(a - Math.round(a)) <= SNAP ? Math.round(a) : a));
  const [x0, y0] = [Math.floor(x), Math.floor(y)];
  const [du, dv] = [x - x0, y - y0];
  const w = [-1, 0, 1, 2].map((j) => [-1, 0, 1, 2].map((i) => {
    const z = depth(x0 + i, y0 + j);
    return z > 0 ? 1 / z : NaN;
  }));
  const slack = (SMOOTH_RTOL * (w[1][1] + w[1][2] + w[2][1] + w[2][2])) / 4;
  const agree = (a, b) => Math.abs(a - b)
    <= slack + SMOOTH_RATIO * Math.min(Math.max(Math.abs(a), Math.abs(b)), 10 * slack);
  const right = (j, step) => w[j][step + 1] - w[j][step];
  const down = (step, i) => w[step + 1][i] - w[step][i];
  let smooth = (du > 0 || dv > 0) && agree(right(1, 1), right(2, 1)) && agree(down(1, 1), down(1, 2));
  for (const line of [1, 2]) {
    smooth &&= agree(right(line, 1), right(line, 0)) || agree(right(line, 1), right(line, 2));
    smooth &&= agree(down(1, line), down(0, line)) || agree(down(1, line), down(2, line));
  }
  const core = (j, i) => depth(x0 + i, y0 + j) || Infinity;
  const around = [];
  for (const j of dv > 0 ? [0, 1] : [0]) for (const i of du > 0 ? [0, 1] : [0]) around.push(core(j, i));
  let z = core(dv >= 0.5 ? 1 : 0, du >= 0.5 ? 1 : 0);
  if (smooth) {
    z = 1 / ((1 - dv) * ((1 - du) * w[1][1] + du * w[1][2]) + dv * ((1 - du) * w[2][1] + du * w[2][2]));
  }
  return { z, smooth, around };
}

// Whether a depth map shows a point of depth z at a position: visible or bordering, as
// satgen.geometry.warp has it.
function shows(depth, [u, v], z) {
  const found = lookedUp(depth, u, v);
  const slack = 1e-6 + OCCLUSION_RTOL * z;
  const ahead = (found.smooth ? [found.z] : found.around).map((there) => z - there);
  if (Math.abs(z - found.z) <= slack && !ahead.some((by) => by > slack)) return true;
  return ahead.some((by) => Math.abs(by) <= slack)
    && !ahead.some((by) => by > Math.max(slack, FRONT_RTOL * z));
}

// Where the surface that frame a shows at pixel (u, v), depth z, is in frame b, and whether b shows
// it there. A frame is {camera, pose, depth(x, y), shown([u, v])}: depths of whole pixels of the
// image that is shown, 0 for none, and where in that an original pixel is.
export function carried(a, b, u, v, z) {
  const [x, y] = a.camera.ray(u, v);
  const [tx, ty, tz] = a.pose.t;
  const X = toTarget(a.pose, [x * z - tx, y * z - ty, z - tz]);
  const there = toCamera(b.pose, X);
  const uv = b.camera.project(there);
  const { width, height } = b.camera;
  if (!uv || !(uv[0] >= -0.5 && uv[0] < width - 0.5 && uv[1] >= -0.5 && uv[1] < height - 0.5)) {
    return { uv, state: OUTSIDE };
  }
  return { uv, state: shows(b.depth, b.shown(uv), there[2]) ? VISIBLE : HIDDEN };
}

export function angleBetween(a, b) {
  let trace = 0;
  for (let i = 0; i < 9; i++) trace += a.R[i] * b.R[i];
  return (Math.acos(Math.min(Math.max((trace - 1) / 2, -1), 1)) * 180) / Math.PI;
}
