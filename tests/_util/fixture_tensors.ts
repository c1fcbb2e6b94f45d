/** Recorded tensors of `tests/fixtures`, read without the project's own reader. */
import assert from "node:assert/strict";
import type { RgbImage } from "../../data/transforms/picture.ts";

/** A recorded tensor. */
export interface FixtureTensor {
  readonly shape: number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The tensors of a safetensors file by name; an unknown name fails. */
export class FixtureTensors {
  readonly #tensors: Map<string, FixtureTensor>;

  /** @param name File in `tests/fixtures`. */
  constructor(name: string) {
    const file = Deno.readFileSync(new URL(`../fixtures/${name}`, import.meta.url));
    const headerBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerBytes)));
    const entries = Object.entries<{ shape: number[]; data_offsets: [number, number] }>(header);
    this.#tensors = new Map(entries.map(([key, { shape, data_offsets: [from, to] }]) => {
      return [key, { shape, bytes: file.slice(8 + headerBytes + from, 8 + headerBytes + to) }];
    }));
  }

  get(name: string): FixtureTensor {
    const found = this.#tensors.get(name);
    assert.ok(found, `fixture has no tensor ${name}`);
    return found;
  }

  /** A picture, `[H W 3]`. */
  picture(name: string): RgbImage {
    const { shape: [height, width], bytes } = this.get(name);
    return { data: bytes, width, height };
  }

  /** 32-bit floats. */
  floats(name: string): Float32Array {
    return new Float32Array(this.get(name).bytes.buffer);
  }
}

/** The rows of a fixture's JSON file. */
export function fixtureRows<Row>(name: string): Row[] {
  const { rows } = JSON.parse(Deno.readTextFileSync(new URL(`../fixtures/${name}`, import.meta.url)));
  assert.ok(rows.length > 0, `fixture ${name} has no rows`);
  return rows;
}
