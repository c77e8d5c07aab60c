// What the page shows: datasets with their tables and images, read as they are needed.

import { clamp, nearest } from "./dom.js";
import { Camera, poseOf } from "./maths.js";
import { partColours } from "./colours.js";
import { bitmapOf, fetched, loader, Recent, valuesOf } from "./packs.js";

const COLOURS = new Set(["rgb", "normals"]);

export class Dataset {
  constructor(json) {
    Object.assign(this, json);
    this.camera = new Camera(json.camera);
    this.folder = `data/${json.name}`;
    this.colours = partColours(json.parts);
    this.partNames = new Map(json.parts.map((part) => [part.label, part]));
    const pixels = json.shown[0] * json.shown[1];
    const most = Math.max(12, Math.min(160, Math.round(64e6 / (4 * pixels))));
    this.images = new Recent(most, () => 1, (image) => image?.bitmap?.close());
    this.kinds = json.images;
    this.thumbs = new Map();
  }

  async open() {
    const table = await (await fetched(`${this.folder}/frames.bin`)).arrayBuffer();
    this.column = {};
    this.columns.forEach((name, i) => {
      this.column[name] = new Float64Array(table, 8 * this.frames * i, this.frames);
    });
    this.rows = new Map(Array.from(this.column.index, (index, row) => [index, row]));
    return this;
  }

  index(row) { return this.column.index[row]; }

  // The row of an index, or of the one that is nearest.
  rowOf(index) {
    return this.rows.get(index) ?? nearest(this.column.index, index);
  }

  pose(row) {
    const c = this.column;
    return poseOf(c.qw[row], c.qx[row], c.qy[row], c.qz[row], c.tx[row], c.ty[row], c.tz[row]);
  }

  sun(row) {
    const c = this.column;
    return [c.sun_x[row], c.sun_y[row], c.sun_z[row]];
  }

  // Depth from where to where a frame can show the target, metres.
  range(row) {
    const centre = Math.hypot(this.column.tx[row], this.column.ty[row], this.column.tz[row]);
    const middle = this.column.distance_m?.[row] || centre;
    return [Math.max(middle - this.radius_m, 0), middle + this.radius_m];
  }

  path(kind, row) {
    return `${this.folder}/${kind}/${String(Math.floor(row / this.pack)).padStart(5, "0")}.pack`;
  }

  // An image: at once if it is there, or else a promise. Colours are {bitmap}, labels and depth
  // counts {x, y, w, h, data}; {missing: true} if the file could not be read.
  image(kind, row, urgent = true) {
    const key = `${kind}/${row}`;
    const known = this.images.get(key);
    if (known) return known;
    const pack = loader.get(this.path(kind, row), urgent);
    return Promise.resolve(pack).then(async (found) => {
      const again = this.images.get(key);
      if (again) return again;
      const entry = found.images[row % this.pack];
      let image;
      if (entry.missing) image = { missing: true, x: 0, y: 0, w: 0, h: 0, data: [] };
      else if (COLOURS.has(kind)) {
        image = { bitmap: await bitmapOf(entry), x: entry.x, y: entry.y };
      } else image = await valuesOf(entry, kind === "depth");
      const first = this.images.get(key);
      if (first) {
        image.bitmap?.close();
        return first;
      }
      this.images.set(key, image);
      return image;
    });
  }

  // Fetch the packs around a row, and decode the frames that come next.
  prefetch(kinds, row, direction, playing) {
    const step = direction < 0 ? -1 : 1;
    for (const kind of kinds) {
      for (const ahead of [2 * step, -step, step]) {
        const there = row + ahead * this.pack;
        if (there > -this.pack && there < this.frames + this.pack) {
          const inside = clamp(there, 0, this.frames - 1);
          loader.get(this.path(kind, inside), false);
        }
      }
      for (let ahead = 1; ahead <= (playing ? 3 : 2); ahead++) {
        const there = row + ahead * step;
        if (there >= 0 && there < this.frames && loader.packs.get(this.path(kind, there))) {
          Promise.resolve(this.image(kind, there, false)).catch(() => {});
        }
      }
    }
  }

  // Which landmarks each frame shows; they are drawn hollow until that is known.
  async openVisible() {
    const answer = await fetched(`${this.folder}/visible.bin`);
    this.visible = new Uint8Array(await answer.arrayBuffer());
  }

  // Small images all over the dataset, to be shown until a frame's own is there.
  async openThumbnails() {
    const [, ...rows] = this.thumbnails;
    const pack = await loader.get(`${this.folder}/overview.pack`, false);
    for (let i = 0; i < rows.length; i++) {
      const bitmap = await bitmapOf(pack.images[i]);
      if (bitmap) this.thumbs.set(rows[i], bitmap);
    }
    this.thumbRows = [...this.thumbs.keys()];
  }

  thumbnail(row) {
    if (!this.thumbRows?.length) return null;
    let low = 0, high = this.thumbRows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.thumbRows[middle] < row) low = middle + 1;
      else high = middle;
    }
    const before = this.thumbRows[Math.max(low - 1, 0)], after = this.thumbRows[low];
    return this.thumbs.get(row - before < after - row ? before : after);
  }

  // A frame as `maths.carried` takes it; depth counts must have been read.
  frame(row, depth) {
    const [wide, high] = this.shown;
    const { width, height } = this.camera;
    return {
      camera: this.camera,
      pose: this.pose(row),
      depth: (x, y) => {
        const [i, j] = [x - depth.x, y - depth.y];
        if (!(i >= 0 && j >= 0 && i < depth.w && j < depth.h)) return 0;
        return depth.data[j * depth.w + i] * this.depth_scale;
      },
      shown: ([u, v]) => [((u + 0.5) * wide) / width - 0.5, ((v + 0.5) * high) / height - 0.5],
    };
  }

  // The original's pixel that a pixel of the shown image stands for.
  original(x, y) {
    const [wide, high] = this.shown;
    return [Math.floor(((2 * x + 1) * this.camera.width) / (2 * wide)),
      Math.floor(((2 * y + 1) * this.camera.height) / (2 * high))];
  }
}

// What lies at view.json, with its datasets opened.
export async function openSite() {
  const site = await (await fetched("view.json")).json();
  site.datasets = await Promise.all(site.datasets.map((json) => new Dataset(json).open()));
  return site;
}

export const readJson = (path) => fetched(path).then((answer) => answer.json());
