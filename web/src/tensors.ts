/** Pictures to the numbers that networks see, and back. */

import type { Input, Made, Side } from "./backend";
import type { Feed } from "./protocol";

/** Red, green and blue as ITU-R 601-2 weighs them, which is how the training data became gray. */
const LUMA = [0.299, 0.587, 0.114];

/** count copies of an input as a network takes it: (N, C, H, W) in [-1, 1], or classes (N, H, W). */
export function feedOf(input: Input, side: Side, count: number): Feed {
  if (input.kind === "map") return mapFeed(input.labels, input.height, input.width, count);
  const { width, height, data } = input.image;
  const area = width * height;
  const values = new Float32Array(count * side.channels * area);
  const colours = side.channels - (side.alpha ? 1 : 0);
  for (let place = 0; place < area; place++) {
    const from = 4 * place;
    for (let channel = 0; channel < side.channels; channel++) {
      const opacity = side.alpha && channel === side.channels - 1;
      const value = opacity
        ? data[from + 3]
        : colours === 1
          ? Math.round(LUMA[0] * data[from] + LUMA[1] * data[from + 1] + LUMA[2] * data[from + 2])
          : data[from + channel];
      values[channel * area + place] = value / 127.5 - 1;
    }
  }
  const one = side.channels * area;
  for (let copy = 1; copy < count; copy++) values.copyWithin(copy * one, 0, one);
  return { kind: "float32", shape: [count, side.channels, height, width], values };
}

export function mapFeed(labels: ArrayLike<number>, height: number, width: number, count: number): Feed {
  const values = new BigInt64Array(count * height * width);
  for (let place = 0; place < values.length; place++) values[place] = BigInt(labels[place % labels.length]);
  return { kind: "int64", shape: [count, height, width], values };
}

/** Whole numbers, (N,). */
export function numbersFeed(numbers: number[]): Feed {
  return { kind: "int64", shape: [numbers.length], values: BigInt64Array.from(numbers, BigInt) };
}

/** What a network made, (N, C, H, W): images in [-1, 1], or where the side has labels logits of them. */
export function madeOf(values: Float32Array, shape: readonly number[], side: Side): Omit<Made, "milliseconds">[] {
  const [count, channels, height, width] = shape;
  const one = channels * height * width;
  return Array.from({ length: count }, (_, place) => {
    const part = values.subarray(place * one, (place + 1) * one);
    return side.labels.length
      ? likeliest(part, channels, height, width, side)
      : { image: shown(part, channels, height, width, side.alpha), classes: null };
  });
}

function shown(values: Float32Array, channels: number, height: number, width: number, alpha: boolean): ImageData {
  const area = width * height;
  const image = new ImageData(width, height);
  const opacity = alpha ? channels - 1 : -1;
  const colours = channels - (alpha ? 1 : 0);
  for (let place = 0; place < area; place++) {
    for (let colour = 0; colour < 3; colour++) {
      const channel = colours < 3 ? 0 : colour;
      image.data[4 * place + colour] = (values[channel * area + place] + 1) * 127.5; // rounded and clamped by the array
    }
    image.data[4 * place + 3] = opacity < 0 ? 255 : (values[opacity * area + place] + 1) * 127.5;
  }
  return image;
}

function likeliest(values: Float32Array, classes: number, height: number, width: number, side: Side) {
  const area = width * height;
  const labels = new Uint8Array(area);
  for (let place = 0; place < area; place++) {
    let best = 0;
    for (let label = 1; label < classes; label++)
      if (values[label * area + place] > values[best * area + place]) best = label;
    labels[place] = best;
  }
  return {
    image: coloured(labels, width, height, side),
    classes: [...new Set(labels)].sort((one, other) => one - other),
  };
}

/** A label map, each class in its colour. */
export function coloured(labels: Uint8Array, width: number, height: number, side: Side): ImageData {
  const image = new ImageData(width, height);
  for (let place = 0; place < labels.length; place++) {
    image.data.set(side.labels[labels[place]]?.colour ?? [0, 0, 0], 4 * place);
    image.data[4 * place + 3] = 255;
  }
  return image;
}
