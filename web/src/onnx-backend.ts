/** The network in this browser, by onnxruntime-web in a worker. */

import { Problem, type Backend, type Description, type Input, type Made, type Seed } from "./backend";
import { bytesOf, unpacked } from "./files";
import type { Answer, Feed, Order } from "./protocol";
import { feedOf, madeOf, mapFeed, numbersFeed } from "./tensors";
import RunnerWorker from "./worker?worker&inline";

/** The description, and what the graph calls its inputs and its output. */
export interface Manifest extends Description {
  ports: { name: string; kind: "latent" | "condition" | "picture" | "map" | "instances" | "style" }[];
  made: string;
}

/** A module of one function that needs SIMD. */
const SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
];

export class OnnxBackend implements Backend {
  private readonly worker = new RunnerWorker();
  private readonly waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (why: unknown) => void }>();
  private readonly started: Promise<void>;
  private orders = 0;

  /** Reads what there is to say at once; the model itself may take its time. told: the share of it that has come. */
  static async open(told: (share: number) => void): Promise<OnnxBackend> {
    const manifest = JSON.parse(new TextDecoder().decode(await bytesOf("page.json"))) as Manifest;
    const numbers = manifest.latent ? await bytesOf("latents.bin") : new ArrayBuffer(0);
    return new OnnxBackend(manifest, numbers, told);
  }

  private constructor(
    private readonly manifest: Manifest,
    private readonly numbers: ArrayBuffer,
    told: (share: number) => void,
  ) {
    this.worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const { resolve, reject } = this.waiting.get(data.id)!;
      this.waiting.delete(data.id);
      if (data.error === undefined) resolve(data);
      else reject(new Problem("no-answer", data.error));
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) reject(new Problem("no-model", event.message));
      this.waiting.clear();
    };
    this.started = this.start(told);
    this.started.catch(() => {}); // whoever asks for it is told
  }

  private async start(told: (share: number) => void): Promise<void> {
    if (typeof WebAssembly !== "object" || !WebAssembly.validate(new Uint8Array(SIMD))) throw new Problem("no-simd");
    const [runtime, model] = await Promise.all([
      bytesOf("ort.wasm.gz").then(unpacked),
      bytesOf("model.onnx", told).then(unpacked),
    ]);
    try {
      await this.sent({ id: this.orders++, runtime, model }, [runtime, model]);
    } catch (error) {
      throw new Problem("no-model", error instanceof Error ? error.message : String(error));
    }
  }

  private sent(order: Order, moved: Transferable[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.waiting.set(order.id, { resolve, reject });
      this.worker.postMessage(order, moved);
    });
  }

  private async run(feeds: Record<string, Feed>): Promise<Made[]> {
    await this.started;
    const moved = Object.values(feeds).map((feed) => feed.values.buffer as ArrayBuffer);
    const answer = await this.sent({ id: this.orders++, feeds, output: this.manifest.made }, moved);
    const milliseconds = answer.milliseconds! / answer.shape![0];
    return madeOf(answer.values!, answer.shape!, this.manifest.output).map((made) => ({ ...made, milliseconds }));
  }

  describe(): Description {
    return this.manifest;
  }

  ready(): Promise<void> {
    return this.started;
  }

  seed(number: number): Seed {
    const { dimension, seeds } = this.manifest.latent!;
    const conditions = this.manifest.conditions.length;
    const places = 4 * dimension * (seeds + this.manifest.directions.length);
    return {
      latent: new Float32Array(this.numbers, 4 * dimension * number, dimension),
      places: [...new Int32Array(this.numbers, places + 4 * conditions * number, conditions)],
    };
  }

  direction(place: number): Float32Array {
    const { dimension, seeds } = this.manifest.latent!;
    return new Float32Array(this.numbers, 4 * dimension * (seeds + place), dimension);
  }

  generate(latents: Float32Array[], places: number[][]): Promise<Made[]> {
    const values = new Float32Array(latents.length * latents[0].length);
    latents.forEach((latent, place) => values.set(latent, place * latent.length));
    const latent: Feed = { kind: "float32", shape: [latents.length, latents[0].length], values };
    return this.run(this.feeds(places, { latent }));
  }

  translate(input: Input, places: number[][], style: number): Promise<Made[]> {
    const count = places.length;
    const [height, width] =
      input.kind === "map" ? [input.height, input.width] : [input.image.height, input.image.width];
    const objects = input.kind === "map" ? input.labels : new Uint8Array(width * height);
    const given = feedOf(input, this.manifest.input!, count);
    return this.run(
      this.feeds(places, {
        picture: given,
        map: given,
        instances: mapFeed(objects, height, width, count), // a class is one object, and a picture
        style: numbersFeed(Array(count).fill(style)),
      }),
    );
  }

  /** What each input of the graph is fed, by its kind; the conditions in their order. */
  private feeds(places: number[][], known: Partial<Record<string, Feed>>): Record<string, Feed> {
    let condition = 0;
    const fed = this.manifest.ports.map(({ name, kind }): [string, Feed] => {
      if (kind !== "condition") return [name, known[kind]!];
      const column = condition++;
      return [name, numbersFeed(places.map((row) => row[column]))];
    });
    return Object.fromEntries(fed);
  }
}
