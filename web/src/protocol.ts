/** What travels between the page and the worker that runs the network. */

export interface Feed {
  kind: "float32" | "int64";
  shape: number[];
  values: Float32Array | BigInt64Array;
}

export type Order =
  | { id: number; runtime: ArrayBuffer; model: ArrayBuffer }
  | { id: number; feeds: Record<string, Feed>; output: string };

export interface Answer {
  id: number;
  error?: string;
  values?: Float32Array;
  shape?: readonly number[];
  milliseconds?: number;
}
