/** Pictures from files, and into them. */

import { Problem, type Description, type Input, type Side } from "./backend";
import { numbersOf } from "./png";
import { isOpaque, lanczos, nearest, placement, places, type Placement } from "./resize";

type About = Pick<Description, "fit" | "resample" | "background">;

const VOID = 255; // no class
const MOST_PIXELS = 16_000_000; // of a canvas on a telephone

/** A file as the network takes it, in the size and the form that the training data was brought to; of a label map the
 * numbers in the file, or else its colours. Rejects for what the browser cannot read, and with a Problem for numbers
 * that are no classes. */
export async function inputOf(file: Blob, side: Side, about: About): Promise<Input> {
  if (!side.labels.length) return { kind: "picture", image: conformed(await pixelsOf(file), side, about) };
  const { width, height, labels } = await labelsOf(file, side);
  const to = placement(width, height, side.width, side.height, about.fit);
  return { kind: "map", width: side.width, height: side.height, labels: centred(Uint8Array.from(places(width, height, to), (place) => labels[place]), to, side) };
}

async function pixelsOf(file: Blob): Promise<ImageData> {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (picture.width * picture.height)));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(scale * picture.width), Math.round(scale * picture.height)];
  const pen = canvas.getContext("2d", { willReadFrequently: true })!;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

/** A picture in the size of the network, on the background where it was padded or is transparent. */
function conformed(image: ImageData, side: Side, { fit, resample, background }: About): ImageData {
  const to = placement(image.width, image.height, side.width, side.height, fit);
  const sized = resample === "nearest" ? nearest(image, to) : lanczos(image, to);
  const whole = new ImageData(side.width, side.height);
  const opaque = isOpaque(sized.data);
  const [left, top] = [(side.width - to.width) >> 1, (side.height - to.height) >> 1];
  for (let y = 0; y < side.height; y++)
    for (let x = 0; x < side.width; x++) {
      const at = 4 * (y * side.width + x);
      const inside = x >= left && y >= top && x < left + to.width && y < top + to.height;
      const from = 4 * ((y - top) * to.width + x - left);
      const share = inside ? sized.data[from + 3] / 255 : 0;
      for (let part = 0; part < 3; part++) {
        const colour = inside ? sized.data[from + part] : 0;
        whole.data[at + part] = side.alpha || (inside && opaque) ? colour : colour * share + background[part] * (1 - share);
      }
      whole.data[at + 3] = side.alpha ? 255 * share : 255;
    }
  return whole;
}

async function labelsOf(file: Blob, side: Side): Promise<{ width: number; height: number; labels: ArrayLike<number> }> {
  const numbers = await numbersOf(file);
  if (numbers) {
    const labels = numbered(numbers.values, side);
    if (labels) return { width: numbers.width, height: numbers.height, labels };
    throw new Problem("no-map", side.levels.length ? side.levels.join(", ") : `0–${side.labels.length - 1}, ${VOID}`);
  }
  const { width, height, data } = await pixelsOf(file);
  const places = Array.from({ length: width * height }, (_, place) => 4 * place);
  const same = (at: number, colour: readonly number[]) => colour.every((value, part) => data[at + part] === value);
  const gray = places.every((at) => data[at] === data[at + 1] && data[at] === data[at + 2]);
  const ours = places.every((at) => side.labels.some(({ colour }) => same(at, colour)));
  const read = gray && !ours ? numbered(places.map((at) => data[at]), side) : null;
  return { width, height, labels: read ?? places.map((at) => closest(data.subarray(at, at + 3), side)) };
}

/** The classes that numbers stand for, or that shades of gray do where the training data had those; null where some of
 * them stand for none. */
function numbered(values: ArrayLike<number>, side: Side): number[] | null {
  const known = new Map(side.levels.map((level, place) => [level, place]));
  const labels = Array.from(values, (value) =>
    known.size ? (known.get(value) ?? -1) : value < side.labels.length || value === VOID ? value : -1,
  );
  return labels.includes(-1) ? null : labels;
}

function closest([red, green, blue]: Uint8ClampedArray, side: Side): number {
  const away = side.labels.map(({ colour }) => Math.hypot(red - colour[0], green - colour[1], blue - colour[2]));
  return away.indexOf(Math.min(...away));
}

/** A map in the size of the network, of no class where it was padded. */
function centred(labels: Uint8Array, to: Placement, side: Side): Uint8Array {
  const whole = new Uint8Array(side.width * side.height).fill(VOID);
  const [left, top] = [(side.width - to.width) >> 1, (side.height - to.height) >> 1];
  for (let y = 0; y < to.height; y++)
    whole.set(labels.subarray(y * to.width, (y + 1) * to.width), (top + y) * side.width + left);
  return whole;
}

export function download(image: ImageData, name: string): void {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob!);
    link.download = `${name}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
}
