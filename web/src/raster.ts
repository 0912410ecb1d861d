/** Pixels that are drawn on: colours of four bytes, or the number of a class in each. */
export class Raster {
  values: Uint8ClampedArray<ArrayBuffer>;
  private readonly cover: Float32Array;
  private readonly past: Uint8ClampedArray<ArrayBuffer>[] = [];

  constructor(
    readonly width: number,
    readonly height: number,
    readonly depth: 1 | 4,
    background: number[],
  ) {
    this.values = new Uint8ClampedArray(width * height * depth);
    this.cover = new Float32Array(width * height);
    this.spread(background);
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  /** Called before anything changes, so that it can be undone. */
  begin(): void {
    this.past.push(this.values.slice());
    if (this.past.length > 50) this.past.shift();
    this.cover.fill(0);
  }

  undo(): void {
    this.values = this.past.pop() ?? this.values;
  }

  /** A stroke of the pen: from one point to another, in pixels, within what `begin` began. */
  line(fromX: number, fromY: number, toX: number, toY: number, size: number, colour: number[]): void {
    const before = this.past[this.past.length - 1];
    const reach = size / 2 + 1;
    const [alongX, alongY] = [toX - fromX, toY - fromY];
    const square = alongX * alongX + alongY * alongY;
    const top = Math.max(0, Math.floor(Math.min(fromY, toY) - reach));
    const bottom = Math.min(this.height - 1, Math.ceil(Math.max(fromY, toY) + reach));
    const left = Math.max(0, Math.floor(Math.min(fromX, toX) - reach));
    const right = Math.min(this.width - 1, Math.ceil(Math.max(fromX, toX) + reach));
    for (let y = top; y <= bottom; y++)
      for (let x = left; x <= right; x++) {
        const [awayX, awayY] = [x + 0.5 - fromX, y + 0.5 - fromY];
        const share = square ? Math.min(1, Math.max(0, (awayX * alongX + awayY * alongY) / square)) : 0;
        const away = Math.hypot(awayX - share * alongX, awayY - share * alongY);
        const cover = Math.min(1, Math.max(0, size / 2 + 0.5 - away));
        const place = y * this.width + x;
        if (cover <= this.cover[place]) continue;
        this.cover[place] = cover;
        this.mix(place, before, colour, cover);
      }
  }

  private mix(place: number, before: Uint8ClampedArray, colour: number[], cover: number): void {
    for (let part = 0; part < this.depth; part++) {
      const at = place * this.depth + part;
      if (this.depth === 1)
        this.values[at] = cover >= 0.5 ? colour[part] : before[at]; // there is no class between two
      else this.values[at] = before[at] + cover * (colour[part] - before[at]);
    }
  }

  /** Everything that hangs together with a pixel and is of its colour. */
  fill(x: number, y: number, colour: number[]): void {
    const old = this.at(y * this.width + x);
    if (this.same(old, colour)) return;
    const open = [[x, y]];
    for (let next = open.pop(); next; next = open.pop()) {
      const [column, row] = next;
      const place = row * this.width + column;
      if (column < 0 || row < 0 || column >= this.width || row >= this.height || !this.same(this.at(place), old))
        continue;
      this.values.set(colour, place * this.depth);
      open.push([column - 1, row], [column + 1, row], [column, row - 1], [column, row + 1]);
    }
  }

  spread(colour: number[]): void {
    for (let place = 0; place < this.values.length; place += this.depth) this.values.set(colour, place);
  }

  load(values: ArrayLike<number>): void {
    this.values.set(values);
  }

  private at(place: number): number[] {
    return [...this.values.subarray(place * this.depth, (place + 1) * this.depth)];
  }

  private same(one: number[], other: number[]): boolean {
    return one.every((value, part) => value === other[part]);
  }
}
