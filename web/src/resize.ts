/** Resizing as the training data was resized (zerosum/data/decode/resize.py, conform.py and label_maps.py). */

export type Fit = "crop" | "pad" | "stretch";

/** Which part of a picture is used, from left, top to right, bottom, and the size that it becomes. */
export interface Placement {
  box: [left: number, top: number, right: number, bottom: number];
  width: number;
  height: number;
}

export function placement(width: number, height: number, wide: number, tall: number, fit: Fit): Placement {
  if (fit === "crop") {
    const scale = Math.min(height / tall, width / wide);
    const [usedWidth, usedHeight] = [scale * wide, scale * tall];
    const [left, top] = [Math.max(0, (width - usedWidth) / 2), Math.max(0, (height - usedHeight) / 2)];
    const box: Placement["box"] = [left, top, Math.min(width, left + usedWidth), Math.min(height, top + usedHeight)];
    return { box, width: wide, height: tall };
  }
  const box: Placement["box"] = [0, 0, width, height];
  if (fit === "stretch") return { box, width: wide, height: tall };
  const scale = Math.min(tall / height, wide / width);
  return { box, width: Math.max(1, even(width * scale)), height: Math.max(1, even(height * scale)) };
}

/** To the nearest whole number, halves to the even one. */
function even(value: number): number {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low & 1) : Math.round(value);
}

/** For each pixel of what becomes of the box, the place of the one in the original that its middle lies in. */
export function places(width: number, height: number, to: Placement): Uint32Array {
  const [left, top, right, bottom] = to.box;
  const place = (number: number, from: number, end: number, count: number, last: number) =>
    Math.min(last, Math.max(0, Math.floor(from + ((number + 0.5) * (end - from)) / count)));
  const made = new Uint32Array(to.width * to.height);
  for (let y = 0; y < to.height; y++) {
    const row = place(y, top, bottom, to.height, height - 1) * width;
    for (let x = 0; x < to.width; x++) made[y * to.width + x] = row + place(x, left, right, to.width, width - 1);
  }
  return made;
}

/** The part of a picture inside the box, without a colour that is not in it. */
export function nearest(image: ImageData, to: Placement): ImageData {
  const made = new ImageData(to.width, to.height);
  places(image.width, image.height, to).forEach((from, place) => {
    made.data.set(image.data.subarray(4 * from, 4 * from + 4), 4 * place);
  });
  return made;
}

/** The part of a picture inside the box, by Lanczos as Pillow has it: weights of 8-bit colours, rounded after each of
 * two passes. Colours count by their opacity, so that none bleeds from under transparent pixels. */
export function lanczos(image: ImageData, to: Placement): ImageData {
  const [left, top, right, bottom] = to.box;
  const across = left !== 0 || right !== image.width || to.width !== image.width;
  const down = top !== 0 || bottom !== image.height || to.height !== image.height;
  if (!across && !down) return image;
  const opaque = isOpaque(image.data);
  let pixels = opaque ? image.data : weighed(image.data);
  if (across) {
    const weights = weightsOf(image.width, left, right, to.width);
    pixels = pass(pixels, image.height, image.width * 4, 4, weights);
  }
  if (down) {
    const weights = weightsOf(image.height, top, bottom, to.height);
    const row = to.width * 4;
    pixels = passDown(pixels, row, weights);
  }
  return new ImageData(opaque ? pixels : unweighed(pixels), to.width, to.height);
}

export function isOpaque(data: Uint8ClampedArray): boolean {
  for (let place = 3; place < data.length; place += 4) if (data[place] !== 255) return false;
  return true;
}

interface Weights {
  first: number;
  values: Float64Array;
}

function weightsOf(size: number, start: number, end: number, count: number): Weights[] {
  const step = (end - start) / count;
  const spread = Math.max(1, step);
  return Array.from({ length: count }, (_, number) => {
    const middle = start + (number + 0.5) * step;
    const first = Math.max(0, Math.trunc(middle - 3 * spread + 0.5));
    const last = Math.min(size, Math.trunc(middle + 3 * spread + 0.5));
    const values = Float64Array.from({ length: last - first }, (_, place) =>
      kernel((first + place - middle + 0.5) / spread),
    );
    const sum = values.reduce((one, other) => one + other, 0);
    return { first, values: values.map((value) => value / sum) };
  });
}

function kernel(x: number): number {
  return Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

type Bytes = Uint8ClampedArray<ArrayBuffer>;

/** Along rows of so many bytes, which rounds and clamps. */
function pass(pixels: Bytes, rows: number, row: number, depth: number, weights: Weights[]): Bytes {
  const made = new Uint8ClampedArray(rows * weights.length * depth);
  let at = 0;
  for (let line = 0; line < rows; line++)
    for (const { first, values } of weights)
      for (let part = 0; part < depth; part++) {
        let sum = 0;
        let from = line * row + first * depth + part;
        for (let place = 0; place < values.length; place++, from += depth) sum += values[place] * pixels[from];
        made[at++] = sum;
      }
  return made;
}

function passDown(pixels: Bytes, row: number, weights: Weights[]): Bytes {
  const made = new Uint8ClampedArray(weights.length * row);
  const sums = new Float64Array(row);
  weights.forEach(({ first, values }, line) => {
    sums.fill(0);
    values.forEach((weight, place) => {
      const from = (first + place) * row;
      for (let at = 0; at < row; at++) sums[at] += weight * pixels[from + at];
    });
    made.set(sums, line * row);
  });
  return made;
}

function weighed(data: Bytes): Bytes {
  const made = data.slice();
  for (let place = 0; place < made.length; place++)
    if (place % 4 !== 3) {
      const product = data[place] * data[place | 3] + 128;
      made[place] = ((product >> 8) + product) >> 8;
    }
  return made;
}

function unweighed(data: Bytes): Bytes {
  const made = data.slice();
  for (let place = 0; place < made.length; place++) {
    const opacity = data[place | 3];
    if (place % 4 !== 3 && opacity !== 0 && opacity !== 255) made[place] = Math.floor((255 * data[place]) / opacity);
  }
  return made;
}
