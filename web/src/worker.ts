/** Runs the network away from the page, which stays free to follow the hand. */

import { env, InferenceSession, Tensor } from "onnxruntime-web/wasm";
import type { Answer, Order } from "./protocol";

let session: InferenceSession | null = null;

async function obeyed(order: Order): Promise<Answer> {
  if ("model" in order) {
    env.wasm.numThreads = 1;
    env.wasm.wasmBinary = order.runtime;
    env.logLevel = "error";
    session = await InferenceSession.create(new Uint8Array(order.model), { executionProviders: ["wasm"] });
    return { id: order.id };
  }
  const feeds = Object.entries(order.feeds).map(([name, { kind, values, shape }]) => [
    name,
    new Tensor(kind, values as Float32Array, shape),
  ]);
  const start = performance.now();
  const made = (await session!.run(Object.fromEntries(feeds)))[order.output];
  const milliseconds = performance.now() - start;
  const values = made.data as Float32Array;
  return { id: order.id, values, shape: made.dims, milliseconds };
}

let before: Promise<void> = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<Order>) => {
  before = before
    .then(() => obeyed(data))
    .catch((error): Answer => ({ id: data.id, error: String(error?.message ?? error) }))
    .then((answer) => self.postMessage(answer));
};
