/** Pictures from files, and into them. */

import type { Description, Input, Side } from "./backend";

/** A file as the network takes it: brought to its size as the training data was, or a label map by its colours. Rejects
 * for what the browser cannot read. */
export async function inputOf(file: Blob, side: Side, fit: Description["fit"]): Promise<Input> {
  const picture = await createImageBitmap(file);
  const map = side.labels.length > 0;
  const image = sized(picture, side, map ? "stretch" : fit, map);
  picture.close();
  return map
    ? { kind: "map", width: side.width, height: side.height, labels: labelsOf(image, side) }
    : { kind: "picture", image };
}

function sized(picture: ImageBitmap, side: Side, fit: Description["fit"], exact: boolean): ImageData {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [side.width, side.height];
  const pen = canvas.getContext("2d", { willReadFrequently: true })!;
  if (!side.alpha) {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, side.width, side.height);
  }
  const scales = [side.width / picture.width, side.height / picture.height];
  const scale = fit === "pad" ? Math.min(...scales) : Math.max(...scales);
  const [width, height] =
    fit === "stretch" ? [side.width, side.height] : [picture.width * scale, picture.height * scale];
  pen.imageSmoothingEnabled = !exact;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, (side.width - width) / 2, (side.height - height) / 2, width, height);
  return pen.getImageData(0, 0, side.width, side.height);
}

/** The classes of a picture whose gray values are class numbers, or whose colours are nearest to those of classes. */
function labelsOf(image: ImageData, side: Side): Uint8Array {
  const pixels = Array.from({ length: image.width * image.height }, (_, place) =>
    image.data.subarray(4 * place, 4 * place + 3),
  );
  const numbers = pixels.every(([red, green, blue]) => red === green && green === blue && red < side.labels.length);
  return Uint8Array.from(pixels, (pixel) => (numbers ? pixel[0] : nearest(pixel, side)));
}

function nearest([red, green, blue]: Uint8ClampedArray, side: Side): number {
  const away = side.labels.map(({ colour }) => Math.hypot(red - colour[0], green - colour[1], blue - colour[2]));
  return away.indexOf(Math.min(...away));
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
