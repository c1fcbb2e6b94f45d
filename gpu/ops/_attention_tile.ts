/**
 * Pieces of attention's tiled kernels, after FlashAttention-2 (Dao 2023, arXiv 2307.08691). A workgroup owns a block of rows
 * (queries, or keys in the kernel of their gradient) of one head and streams the other side's rows past in blocks that lie in
 * workgroup memory. Scores are a product of two blocks: every thread makes a register tile of `rows` by `columns`. Weights go through
 * workgroup memory to the threads that sum them times streamed rows; a thread has some vectors of every one of its rows there.
 *
 * What bounds it: a tile of 4 by 4 reads 8 vectors from workgroup memory for 64 multiply-adds, 8 by 4 reads 12 for 128, while
 * a thread that owns a whole row (`_attention_text.ts`) reads one for 4. Neighbouring threads read neighbouring streamed rows, whose
 * distance is an odd number of vectors, so that they meet different banks; of own rows and weights they read the same vector.
 * A thread writes weights four at once, so it owns four neighbouring columns, and streamed rows lie in an order (`slot`) in which those
 * of neighbouring threads are neighbours. Register tiles are named scalars, loops have constant bounds: nothing needs an array.
 */

import type { Dtype } from "../graph.ts";
import { declare, repeat } from "./_attention_text.ts";

/** How a workgroup shares the work. */
export interface Tile {
  /** Threads of one head, along own rows and along streamed rows. The latter is a power of two. */
  readonly threads: readonly [number, number];
  /** Own rows of a thread. */
  readonly rows: number;
  /** Streamed rows of a thread, a multiple of 4. */
  readonly columns: number;
  /** Heads (of any batch entry) of a workgroup: several, where each has few rows. */
  readonly heads: number;
  /** Own rows are kept in workgroup memory, or read again for every streamed block, which leaves room for larger blocks. */
  readonly own: "staged" | "reread";
  /** Rows stored as halves stay halves in workgroup memory: half the bytes, but every thread converts what it reads. */
  readonly halves: boolean;
  /** Largest scores are compared through workgroup memory, or between the lanes of a subgroup. */
  readonly compare: "workgroup" | "subgroup";
}

/** What the text depends on; sizes are uniforms. */
export interface TileSpec {
  /** A multiple of 4. */
  readonly headSize: number;
  readonly types: Readonly<Record<string, Dtype>>;
  readonly tile: Tile;
}

/** Rows of one tensor, as they lie in storage. */
export interface Rows {
  readonly tensor: string;
  /** Text of the start of row `row`. */
  start(row: string): string;
}

/** Sizes that follow from a tile. */
export function tileSizes({ headSize, tile }: Pick<TileSpec, "headSize" | "tile">) {
  const [down, across] = tile.threads, quads = headSize / 4;
  return {
    quads,
    /** Threads of one head. */
    team: down * across,
    ownRows: down * tile.rows,
    streamedRows: across * tile.columns,
    /** Vectors between streamed rows, odd. */
    stride: quads | 1,
    /** Vectors between rows of weights. */
    weightStride: across * tile.columns / 4 + 1,
    /** Vectors of a sum that one thread has of each row. */
    share: Math.ceil(quads / across),
  };
}

/** Whether rows of a tensor lie in workgroup memory as halves. */
export function isStagedAsHalves({ types, tile }: Pick<TileSpec, "types" | "tile">, tensor: string): boolean {
  return tile.halves && types[tensor] === "f16";
}

/** An array in workgroup memory that holds vectors of a tensor, with functions to fill and read it. */
export function region(
  spec: TileSpec,
  name: string,
  { tensor, vectors }: { tensor: string; vectors: number },
) {
  const half = isStagedAsHalves(spec, tensor);
  const count = vectors * spec.tile.heads;
  return `var<workgroup> tile_${name}: array<${half ? "vec2u" : "vec4f"}, ${count}>;
fn put_${name}(i: u32, start: u32, quad: u32) {
  tile_${name}[i] = ${half ? `${tensor}[start / 4u + quad]` : `load_${tensor}(start, quad)`};
}
fn get_${name}(i: u32) -> vec4f {
  ${
    half
      ? `let words = tile_${name}[i];
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));`
      : `return tile_${name}[i];`
  }
}`;
}

/** An array in workgroup memory for weights. */
export function weightRegion(spec: TileSpec, name: string): string {
  const { ownRows, weightStride } = tileSizes(spec);
  return `var<workgroup> tile_${name}: array<vec4f, ${ownRows * weightStride * spec.tile.heads}>;`;
}

/** Module-scope text for own rows: nothing where they are read again. */
export function ownRegion(spec: TileSpec, name: string, tensor: string): string {
  const { ownRows, quads } = tileSizes(spec);
  return spec.tile.own === "staged" ? region(spec, name, { tensor, vectors: ownRows * quads }) : "";
}

/** Declares the places of own rows `NAME_start_R`; stages them where they are kept. `rowOf` maps a row of the block to one there is. */
export function ownRows(spec: TileSpec, name: string, rows: Rows & { rowOf(row: string): string }): string {
  const { ownRows, quads, team } = tileSizes(spec), [down] = spec.tile.threads;
  if (spec.tile.own === "reread") {
    return repeat(
      spec.tile.rows,
      (r) => `let ${name}_start_${r} = ${rows.start(rows.rowOf(`(first + down + ${down * r}u)`))};`,
    );
  }
  return `let ${name}_base = part * ${ownRows * quads}u;
for (var i = local; i < ${ownRows * quads}u; i += ${team}u) {
  let row = ${rows.rowOf(`(first + i / ${quads}u)`)};
  put_${name}(${name}_base + i, ${rows.start("row")}, i % ${quads}u);
}
${
    repeat(spec.tile.rows, (r) =>
      `let ${name}_start_${r} = ${name}_base + (down + ${down * r}u) * ${quads}u;`)
  }`;
}

/** Stages a block of streamed rows, `count` of which there are. The bases are `NAME_base`. */
export function stage(
  spec: TileSpec,
  regions: Readonly<Record<string, Rows>>,
  count: string,
): string {
  const { quads, team, streamedRows, stride } = tileSizes(spec), [, across] = spec.tile.threads;
  return `for (var i = local; i < ${streamedRows * quads}u; i += ${team}u) {
  let at = i / ${quads}u;
  let quad = i % ${quads}u;
  let streamed = min(tile + at, ${count} - 1u);
  let slot = (at / ${4 * across}u * 4u + at % 4u) * ${across}u + at / 4u % ${across}u;
${
    Object.entries(regions).map(([name, { start }]) =>
      `  put_${name}(${name}_base + slot * ${stride}u + quad, ${start("streamed")}, quad);`
    ).join("\n")
  }
}`;
}

/** Text of the base of a streamed region in the part of this head. */
export function streamedBase(spec: TileSpec, name: string): string {
  const { streamedRows, stride } = tileSizes(spec);
  return `let ${name}_base = part * ${streamedRows * stride}u;`;
}

/** Position of column `t` of a thread in the streamed block. */
export function columnOf(spec: TileSpec, t: number): string {
  const [, across] = spec.tile.threads;
  return `tile + 4u * lane + ${Math.floor(t / 4) * 4 * across + t % 4}u`;
}

/** Text for all rows and columns of a thread. */
export function eachScore(spec: TileSpec, text: (r: number, t: number) => string): string {
  return repeat(spec.tile.rows, (r) => repeat(spec.tile.columns, (t) => text(r, t)));
}

/** Products of own and streamed rows, into `SCORE_R_T`. */
export function scores(
  spec: TileSpec,
  products: readonly { score: string; own: string; ownTensor: string; region: string }[],
): string {
  const { quads, stride } = tileSizes(spec), { rows, columns, threads: [, across], own } = spec.tile;
  return `${
    products.map(({ score }) => eachScore(spec, (r, t) => `var ${score}_${r}_${t} = 0.0;`)).join("\n")
  }
for (var c = 0u; c < ${quads}u; c++) {
${
    products.map((product) => {
      const { score, region } = product;
      return `{
${
        repeat(rows, (r) =>
          `let own_${r} = ${
            own === "staged"
              ? `get_${product.own}(${product.own}_start_${r} + c)`
              : `load_${product.ownTensor}(${product.own}_start_${r}, c)`
          };`)
      }
${
        repeat(columns, (t) =>
          `let x_${t} = get_${region}(${region}_base + (${across * t}u + lane) * ${stride}u + c);
${
            repeat(rows, (r) => `${score}_${r}_${t} = mad(own_${r}, x_${t}, ${score}_${r}_${t});`)
          }`)
      }
}`;
    }).join("\n")
  }
}`;
}

/** Hands the scores `SCORE_R_T`, which are weights by now, to the threads of the same head. */
export function shareWeights(spec: TileSpec, region: string, score: string): string {
  const { weightStride } = tileSizes(spec), { rows, columns, threads: [down, across] } = spec.tile;
  return repeat(
    rows,
    (r) =>
      repeat(
        columns / 4,
        (u) =>
          `tile_${region}[${region}_base + (down + ${down * r}u) * ${weightStride}u + ${
            across * u
          }u + lane] = vec4f(${[0, 1, 2, 3].map((j) => `${score}_${r}_${4 * u + j}`).join(", ")});`,
      ),
  );
}

/** Text of the base of a region of weights in the part of this head. */
export function weightBase(spec: TileSpec, region: string): string {
  const { ownRows, weightStride } = tileSizes(spec);
  return `let ${region}_base = part * ${ownRows * weightStride}u;`;
}

/** Adds weights times streamed rows to `SUM_R_J`, as far as the block is filled: to row `end`. */
export function accumulate(
  spec: TileSpec,
  sums: readonly { sum: string; weights: string; region: string }[],
  end: string,
): string {
  const { weightStride, stride, share, streamedRows } = tileSizes(spec);
  const { rows, columns, threads: [down, across] } = spec.tile;
  const slot = columns === 4 ? "four" : `four / ${across}u * ${4 * across}u + four % ${across}u`;
  return `let filled = (min(${streamedRows}u, ${end} - tile) + 3u) / 4u;
for (var four = 0u; four < filled; four++) {
  let slot = ${slot};
${
    sums.map(({ sum, weights, region }) =>
      `{
${
        repeat(rows, (r) =>
          `let w_${r} = tile_${weights}[${weights}_base + (down + ${down * r}u) * ${weightStride}u + four];`)
      }
${
        repeat(4, (j) =>
          repeat(share, (q) =>
            `let x_${j}_${q} = get_${region}(${region}_base + (slot + ${
              across * j
            }u) * ${stride}u + quad_${q});
${
              repeat(
                rows,
                (r) => `${sum}_${r}_${q} = fma(vec4f(w_${r}[${j}]), x_${j}_${q}, ${sum}_${r}_${q});`,
              )
            }`))
      }
}`
    ).join("\n")
  }
}`;
}

/** Declares sums `SUM_R_Q`. */
export function declareSums(spec: TileSpec, sum: string): string {
  const { share } = tileSizes(spec);
  return repeat(spec.tile.rows, (r) => repeat(share, (q) => `var ${sum}_${r}_${q} = vec4f();`));
}

/** Stores sums times `factor` in row `start`. Threads beyond the last vector of a row have computed it again, and store nothing. */
export function storeSums(
  spec: TileSpec,
  { sum, tensor, start, factor, r }: {
    sum: string;
    tensor: string;
    start: string;
    factor: string;
    r: number;
  },
): string {
  const { share, quads } = tileSizes(spec), [, across] = spec.tile.threads;
  return repeat(share, (q) => {
    const store = `store_${tensor}(${start}, quad_${q}, ${factor} * ${sum}_${r}_${q});`;
    return across * (q + 1) <= quads ? store : `if (lane + ${across * q}u < ${quads}u) { ${store} }`;
  });
}

/** Text of a row's index. */
export function rowOf(spec: TileSpec, r: number): string {
  return `first + down + ${spec.tile.threads[0] * r}u`;
}

/** The kernel, one workgroup per block of own rows and `tile.heads` heads. */
export function tileKernel(
  spec: TileSpec,
  { vectors, scalars, module, body }: {
    vectors: readonly string[];
    scalars: readonly string[];
    module: readonly string[];
    body: string;
  },
): string {
  const { team, ownRows, share, quads } = tileSizes(spec), { heads, threads: [, across] } = spec.tile;
  const fields = `  heads: u32,
  pairs: u32,   // of a batch entry and a head
  blocks: u32,  // of own rows
`;
  return `${declare(spec, { vectors, scalars, fields })}
${module.filter(Boolean).join("\n")}
fn mad(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}
@compute @workgroup_size(${team * heads})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
let id = group.y * groups.x + group.x;
let part = thread / ${team}u; // of workgroup memory
let local = thread % ${team}u;
let down = local / ${across}u;
let lane = local % ${across}u;
let wanted_pair = id / params.blocks * ${heads}u + part;
let is_pair = wanted_pair < params.pairs; // else it computes the last one again, and stores nothing
let pair = min(wanted_pair, params.pairs - 1u);
let batch = pair / params.heads;
let head = pair % params.heads * ${quads * 4}u; // its first column
let first = id % params.blocks * ${ownRows}u; // first row of this workgroup
let outputs = params.queries - params.skipped; // queries, rows of out
let q_start = batch * params.queries * params.width + head;
let kv_start = batch * params.keys * 2u * params.width + head;
let result_start = batch * outputs * params.width + head;
let statistics = pair * outputs;
let is_causal = params.causal != 0u;
let scale = params.scale * ${Math.LOG2E}; // scores are powers of 2
${repeat(share, (q) => `let quad_${q} = min(lane + ${across * q}u, ${quads - 1}u);`)}
${body}
}
`;
}
