/** The numbers of a label map as they stand in a PNG file, which a canvas would turn into colours. */

export interface Numbers {
  width: number;
  height: number;
  values: Uint16Array;
}

const SIGN = [137, 80, 78, 71, 13, 10, 26, 10];
const GRAY = 0;
const PALETTE = 3;

/** What each pixel holds: of a palette the place and not the colour, of 1 to 16 bits of gray the number and not a shade
 * spread over 255. Null for other files, and for PNG of other kinds; rejects for damaged ones. */
export async function numbersOf(file: Blob): Promise<Numbers | null> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.length < 33 || SIGN.some((byte, place) => bytes[place] !== byte)) return null;
  const view = new DataView(bytes.buffer);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [bits, kind, interlaced] = [bytes[24], bytes[25], bytes[28] === 1];
  if (kind !== GRAY && kind !== PALETTE) return null;
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === "IDAT")
      parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const rows = new Uint8Array(await inflated(parts));
  const values = new Uint16Array(width * height);
  let from = 0;
  for (const [left, top, across, down] of interlaced ? ADAM7 : [[0, 0, 1, 1]]) {
    const columns = Math.ceil((width - left) / across);
    const lines = Math.ceil((height - top) / down);
    if (columns <= 0 || lines <= 0) continue;
    const size = Math.ceil((columns * bits) / 8);
    let before = new Uint8Array(size);
    for (let line = 0; line < lines; line++) {
      const row = unfiltered(rows[from], rows.subarray(from + 1, from + 1 + size), before, Math.max(1, bits >> 3));
      for (let column = 0; column < columns; column++)
        values[(top + line * down) * width + left + column * across] = numberAt(row, column, bits);
      before = row;
      from += 1 + size;
    }
  }
  if (from > rows.length) throw new Error("the file is cut short");
  return { width, height, values };
}

function inflated(parts: Uint8Array<ArrayBuffer>[]): Promise<ArrayBuffer> {
  return new Response(new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}

/** Where the pixels of each pass of an interlaced file begin, and how far apart they lie. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

function numberAt(row: Uint8Array, column: number, bits: number): number {
  if (bits === 16) return 256 * row[2 * column] + row[2 * column + 1];
  const place = column * bits;
  return (row[place >> 3] >> (8 - bits - (place & 7))) & (2 ** bits - 1);
}

/** A row as it was before the filter (PNG, section 9). */
function unfiltered(filter: number, given: Uint8Array, above: Uint8Array, step: number): Uint8Array<ArrayBuffer> {
  const row = new Uint8Array(given.length);
  for (let place = 0; place < row.length; place++) {
    const left = place < step ? 0 : row[place - step];
    const corner = place < step ? 0 : above[place - step];
    const guess = [0, left, above[place], (left + above[place]) >> 1, paeth(left, above[place], corner)][filter];
    row[place] = given[place] + guess;
  }
  return row;
}

function paeth(left: number, above: number, corner: number): number {
  const away = [left, above, corner].map((value) => Math.abs(left + above - corner - value));
  if (away[0] <= away[1] && away[0] <= away[2]) return left;
  return away[1] <= away[2] ? above : corner;
}
