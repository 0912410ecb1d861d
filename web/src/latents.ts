/** Arithmetic of latents. */

export function mean(latents: Float32Array[]): Float32Array {
  return latents[0].map((_, place) => latents.reduce((sum, latent) => sum + latent[place], 0) / latents.length);
}

/** scale * latent + the sum of each step along its direction. */
export function moved(latent: Float32Array, scale: number, steps: number[], directions: Float32Array[]): Float32Array {
  return latent.map((value, place) =>
    directions.reduce((sum, direction, number) => sum + steps[number] * direction[place], scale * value),
  );
}

/** Radford et al. 2016, figure 7: a - b + c. */
export function analogy(a: Float32Array, b: Float32Array, c: Float32Array): Float32Array {
  return a.map((value, place) => value - b[place] + c[place]);
}

/** From a (share 0) to b (share 1): along the sphere for normal latents, whose lengths are all about the same, and
 * straight for uniform ones, which have a bound. */
export function between(a: Float32Array, b: Float32Array, share: number, bound: number | null): Float32Array {
  const straight = (one: number, other: number) => a.map((value, place) => one * value + other * b[place]);
  if (bound !== null) return straight(1 - share, share);
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (!(Math.sin(angle) > 1e-6)) return straight(1 - share, share);
  return straight(Math.sin((1 - share) * angle) / Math.sin(angle), Math.sin(share * angle) / Math.sin(angle));
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, place) => sum + value * b[place], 0);
}
