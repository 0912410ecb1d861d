/** The files that the page came with: held by the page itself, or beside it. */

import { Problem } from "./backend";

/** The bytes of a file. told: called with the share of them that has come. */
export async function bytesOf(name: string, told: (share: number) => void = () => {}): Promise<ArrayBuffer> {
  const held = document.getElementById(`file-${name}`);
  if (held) {
    const bytes = decoded(held.textContent ?? "");
    held.textContent = ""; // tens of megabytes of text
    return bytes;
  }
  try {
    const answer = await fetch(`./${name}`);
    if (!answer.ok || !answer.body) throw new Error(`${answer.status}`);
    const length = Number(answer.headers.get("content-length"));
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let count = 0;
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      count += value.length;
      if (length) told(Math.min(1, count / length));
    }
    return await new Blob(parts).arrayBuffer();
  } catch (error) {
    throw new Problem("no-files", `${name}: ${error instanceof Error ? error.message : error}`);
  }
}

/** What is in gzipped bytes; of others, which a server has unpacked on the way, themselves. */
export async function unpacked(bytes: ArrayBuffer): Promise<ArrayBuffer> {
  const start = new Uint8Array(bytes, 0, Math.min(2, bytes.byteLength));
  if (start[0] !== 0x1f || start[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

export function decoded(base64: string): ArrayBuffer {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  return bytes.buffer;
}
