/** What the page asks of a model, wherever it runs: in this browser, or in a program at the other end of a line. */

export interface Condition {
  name: string;
  values: string[];
  ordered: boolean;
  /** Its values are no and yes. */
  bit: boolean;
}

/** One class of a label map. */
export interface Label {
  name: string;
  colour: [number, number, number];
}

/** What a network takes or makes: images of so many channels, or label maps of classes. */
export interface Side {
  width: number;
  height: number;
  channels: number;
  alpha: boolean;
  labels: Label[];
  /** The shades of gray that stand for the classes in files, in their order; empty where the numbers 0, 1, ... do. */
  levels: number[];
}

export interface Description {
  recipe: string;
  source: string;
  task: "generate" | "translate" | "change";
  version: string;
  images: number;
  seed: number;
  /** The weights were rounded to 16 bits. */
  half: boolean;
  /** A score that says that the samples are far from the data, beside what other real images get; null of others. */
  far: { score: string; value: number; floor: number } | null;
  output: Side;
  conditions: Condition[];
  /** Of generators: seeds 0 to seeds - 1 are known; latents are normal, or uniform below the bound. */
  latent: { dimension: number; bound: number | null; seeds: number } | null;
  /** Names of the directions; each moves a latent by one standard deviation along it. */
  directions: string[];
  input: Side | null;
  fit: "crop" | "pad" | "stretch";
  resample: "lanczos" | "nearest";
  /** What lies under transparency, and around padded pictures: red, green and blue. */
  background: [number, number, number];
  /** How many looks can be chosen between; 0 where none were learnt. */
  styles: number;
  /** Inputs to begin with, as data URIs of PNG. */
  examples: string[];
}

export interface Seed {
  latent: Float32Array;
  /** The place of the value of each condition that the seed draws. */
  places: number[];
}

/** Pixels on their way to a network: colours, or the number of a class in each. */
export type Input =
  | { kind: "picture"; image: ImageData }
  | { kind: "map"; width: number; height: number; labels: Uint8Array };

export interface Made {
  image: ImageData;
  /** The classes that a made label map shows; null of images. */
  classes: number[] | null;
  /** What the network took for it. */
  milliseconds: number;
}

export interface Backend {
  describe(): Description;
  /** Resolves when the model is there; rejects with a Problem when it does not come. */
  ready(): Promise<void>;
  seed(number: number): Seed;
  direction(place: number): Float32Array;
  generate(latents: Float32Array[], places: number[][]): Promise<Made[]>;
  /** places: a row for each thing that is made of the input; [[]] where nothing can be asked for. */
  translate(input: Input, places: number[][], style: number): Promise<Made[]>;
}

/** What a reader is told when something does not work: names a sentence of the table of words. */
export class Problem extends Error {
  constructor(
    readonly word: "no-simd" | "no-files" | "no-model" | "no-answer" | "no-map",
    detail = "",
  ) {
    super(detail);
  }
}
