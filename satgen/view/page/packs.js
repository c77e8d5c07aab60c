// Packs of images: fetched a few at a time, kept compressed, and decoded one by one.
// satgen.view.packs says what a pack is.

const MISSING = 0xffff;
const PACKS_BYTES = 96e6, MOST_FETCHES = 4, MOST_WAITING = 12;

// Values by key, of which those used last are kept.
export class Recent {
  constructor(most, sizeOf = () => 1, dropped = () => {}) {
    Object.assign(this, { most, sizeOf, dropped, total: 0, map: new Map() });
  }

  get(key) {
    const value = this.map.get(key);
    if (value !== undefined) {
      this.map.delete(key);
      this.map.set(key, value);
    }
    return value;
  }

  set(key, value) {
    if (this.map.has(key)) this.delete(key);
    this.map.set(key, value);
    this.total += this.sizeOf(value);
    for (const old of this.map.keys()) {
      if (this.total <= this.most || this.map.size <= 1) break;
      this.delete(old);
    }
  }

  delete(key) {
    const value = this.map.get(key);
    this.map.delete(key);
    this.total -= this.sizeOf(value);
    this.dropped(value);
  }
}

function parsed(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0, false) !== 0x5347504b) throw new Error("not a pack of images");
  const images = [];
  for (let i = 0, at = 8; i < view.getUint32(4, true); i++, at += 16) {
    const [offset, length] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
    const [x, y, w, h] = [8, 10, 12, 14].map((step) => view.getUint16(at + step, true));
    images.push({ x, y, w, h, missing: length === 0 && w === MISSING,
      bytes: new Uint8Array(buffer, offset, length) });
  }
  return { images, size: buffer.byteLength };
}

export async function fetched(path) {
  const answer = await fetch(path);
  if (!answer.ok) {
    const text = (await answer.text()).trim();
    throw new Error(answer.status === 500 && text ? text : `${path}: ${answer.status}`);
  }
  return answer;
}

// Fetches packs, the one asked for last first: while somebody scrubs, what was passed is left out.
class Loader {
  constructor() {
    this.packs = new Recent(PACKS_BYTES, (pack) => pack.size);
    this.coming = new Map();
    this.waiting = [];
    this.active = 0;
  }

  get(path, urgent = true) {
    const known = this.packs.get(path);
    if (known) return known;
    let entry = this.coming.get(path);
    if (!entry) {
      entry = { path };
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      entry.promise.catch(() => {});
      this.coming.set(path, entry);
      if (urgent) this.waiting.push(entry);
      else this.waiting.unshift(entry);
      this.next();
    } else if (urgent && this.waiting.includes(entry)) {
      this.waiting.splice(this.waiting.indexOf(entry), 1);
      this.waiting.push(entry);
    }
    return entry.promise;
  }

  next() {
    while (this.waiting.length > MOST_WAITING) {
      const passed = this.waiting.shift();
      this.coming.delete(passed.path);
      passed.reject(new Passed());
    }
    while (this.active < MOST_FETCHES && this.waiting.length) {
      const entry = this.waiting.pop();
      this.active++;
      fetched(entry.path).then((answer) => answer.arrayBuffer()).then((buffer) => {
        const pack = parsed(buffer);
        this.packs.set(entry.path, pack);
        entry.resolve(pack);
      }).catch(entry.reject).finally(() => {
        this.coming.delete(entry.path);
        this.active--;
        this.next();
      });
    }
  }
}

// A request that was left out because many newer ones came.
export class Passed extends Error {}

export const loader = new Loader();

const EXACT = { colorSpaceConversion: "none", premultiplyAlpha: "none" };

// An ImageBitmap of an entry of a pack, or null where there is nothing to see.
export async function bitmapOf(image) {
  if (!image.bytes.length) return null;
  return createImageBitmap(new Blob([image.bytes], { type: "image/webp" }), EXACT);
}

let scratch = null;

// Labels or depth counts of an entry: {x, y, w, h, data}.
export async function valuesOf(image, wide) {
  const { x, y, w, h } = image;
  const bitmap = await bitmapOf(image);
  if (!bitmap) return { x: 0, y: 0, w: 0, h: 0, data: new Uint16Array(0) };
  scratch ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (scratch.canvas.width < w) scratch.canvas.width = w;
  if (scratch.canvas.height < h) scratch.canvas.height = h;
  scratch.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = scratch.getImageData(0, 0, w, h).data;
  const data = wide ? new Uint16Array(w * h) : new Uint8Array(w * h);
  for (let i = 0, at = 0; i < data.length; i++, at += 4) {
    data[i] = wide ? (pixels[at] << 8) | pixels[at + 1] : pixels[at];
  }
  return { x, y, w, h, data };
}
