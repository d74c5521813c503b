/** Where a user stands in the flag's hash, as flagd's `fractional` has it: MurmurHash3 of the key in CBOR, spread over 100. */

interface Split {
  salt: string;
  /** The order in which the variants stand, with their percentages. */
  pairs: ReadonlyArray<readonly [string, number]>;
}

/** The one place in a definition where a percentage decides by user id; null where there is none, or another kind. */
export function splitOf(definition: unknown): Split | null {
  const found: unknown[][] = [];
  const look = (rule: unknown): void => {
    if (Array.isArray(rule)) rule.forEach(look);
    else if (rule && typeof rule === "object") {
      for (const [name, value] of Object.entries(rule)) {
        if (name === "fractional" && Array.isArray(value)) found.push(value);
        look(value);
      }
    }
  };
  look(definition);
  if (found.length !== 1) return null;
  const [by, ...pairs] = found[0]!;
  const cat = (by as { cat?: unknown } | null)?.cat;
  if (!Array.isArray(cat) || cat.length !== 2 || typeof cat[0] !== "string" || (cat[1] as { var?: unknown } | null)?.var !== "targetingKey") return null;
  if (!pairs.every((pair) => Array.isArray(pair) && typeof pair[0] === "string" && typeof pair[1] === "number")) return null;
  const typed = pairs as Array<[string, number]>;
  return typed.reduce((sum, [, weight]) => sum + weight, 0) === 100 ? { salt: cat[0], pairs: typed } : null;
}

/** 0 to 99: on the durable path from a share of one more. */
export function placeOf(salt: string, user: string): number {
  const hash = murmur3(cbor(salt + user));
  return Number((BigInt(hash) * 100n) >> 32n);
}

function cbor(text: string): Uint8Array {
  const body = new TextEncoder().encode(text);
  const n = body.length;
  const head = n < 24 ? [0x60 + n] : n < 256 ? [0x78, n] : [0x79, n >> 8, n & 255];
  return Uint8Array.from([...head, ...body]);
}

function murmur3(data: Uint8Array): number {
  const mix = (k: number) => Math.imul(rotate(Math.imul(k, 0xcc9e2d51), 15), 0x1b873593);
  const whole = data.length & ~3;
  let hash = 0;
  for (let i = 0; i < whole; i += 4) {
    const k = data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24);
    hash = (Math.imul(rotate(hash ^ mix(k), 13), 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let i = data.length - 1; i >= whole; i--) rest = (rest << 8) | data[i]!;
  if (whole < data.length) hash ^= mix(rest);
  hash ^= data.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));
