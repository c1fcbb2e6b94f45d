/**
 * Pieces of attention's tiled kernels, after FlashAttention-2 (Dao 2023, arXiv 2307.08691). A workgroup owns a block of rows
 * (queries, or keys in the kernel of their gradient) of one head and streams the other side's rows past in blocks that lie in
 * workgroup memory. Scores are a product of two blocks: every thread makes a register tile of `rows` by `columns`. Weights go through
 * workgroup memory to the threads that sum them times streamed rows; a thread has some vectors of every one of its rows there.
 *
 * What bounds it: a tile of 4 by 4 reads 8 vectors from workgroup memory for 64 multiply-adds, 8 by 4 reads 12 for 128, while
 * a thread that owns a whole row (`_attention_text.ts`) reads one for 4. Neighbouring threads read neighbouring streamed rows, whose
 * distance is an odd number of vectors, so that they meet different banks; of own rows and weights they read the same vector.
 * A thread writes weights four at once, so it owns four neighbouring columns, and streamed rows lie in an order in which those of
 * neighbouring threads are neighbours. Register tiles are named scalars.
 *
 * Workgroup memory is nested arrays: [head][four of columns][column][thread][vector] of streamed rows, [head][row of a thread][thread]
 * [vector] of own rows and of weights. Implementations check every index that is no constant, and compute it anew, while constant ones
 * go into the instruction that reads.
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

/** A nested array type, outermost count first. */
function nested(type: string, counts: readonly number[]): string {
  return counts.reduceRight((inner, count) => `array<${inner}, ${count}>`, type);
}

/** An array in workgroup memory that holds vectors of a tensor's rows. */
function region(
  spec: TileSpec,
  name: string,
  { tensor, counts }: { tensor: string; counts: number[] },
): string {
  const type = isStagedAsHalves(spec, tensor) ? "vec2u" : "vec4f";
  return `var<workgroup> tile_${name}: ${nested(type, [spec.tile.heads, ...counts])};`;
}

/** An array in workgroup memory for a block of streamed rows. */
export function streamedRegion(spec: TileSpec, name: string, tensor: string): string {
  const { threads: [, across], columns } = spec.tile;
  return region(spec, name, { tensor, counts: [columns / 4, 4, across, tileSizes(spec).stride] });
}

/** An array in workgroup memory for own rows: nothing where they are read again. */
export function ownRegion(spec: TileSpec, name: string, tensor: string): string {
  const { threads: [down], rows, own } = spec.tile;
  return own === "staged" ? region(spec, name, { tensor, counts: [rows, down, tileSizes(spec).quads] }) : "";
}

/** An array in workgroup memory for weights. */
export function weightRegion({ tile, ...spec }: TileSpec, name: string): string {
  const counts = [tile.heads, tile.rows, tile.threads[0], tileSizes({ tile, ...spec }).weightStride];
  return `var<workgroup> tile_${name}: ${nested("vec4f", counts)};`;
}

/** An array in workgroup memory for a number of every thread and own row of it: `exchangeAt` says where. */
export function exchangeRegion({ tile: { heads, rows, threads } }: TileSpec, name: string): string {
  return `var<workgroup> tile_${name}: ${nested("f32", [heads, rows, ...threads])};`;
}

/** Where the number of thread `lane` for row `r` lies. */
export const exchangeAt = (name: string, r: number, lane: number | string) =>
  `tile_${name}[part][${r}][down][${lane}]`;

/** Expression of a vector of a tensor as f32, from `at` in workgroup memory, or as it was read from storage. */
const valuesOf = (at: string, isHalf: boolean) => isHalf ? `unpacked(${at})` : at;

/** Vectors that a thread reads from storage before it writes the first of them: what is under way hides how long each takes. */
const AT_ONCE = 4;

/**
 * Copies a block of rows of some tensors to workgroup memory. `row` maps a row of the block to one there is, `place` to indices.
 */
function copyRows(
  spec: TileSpec,
  regions: Readonly<Record<string, Rows>>,
  { count, row, place }: { count: number; row(at: string): string; place(at: string): string },
): string {
  const { quads, team } = tileSizes(spec), vectors = count * quads;
  const names = Object.keys(regions), text: string[] = [];
  for (let begin = 0; begin < vectors; begin += AT_ONCE * team) {
    const reads: string[] = [], writes: string[] = [];
    for (let i = 0; i < AT_ONCE && begin + i * team < vectors; i++) {
      const first = begin + i * team, isPart = first + team > vectors, whole = team % quads === 0 && !isPart;
      const index = isPart ? `min(local + ${first}u, ${vectors - 1}u)` : `(local + ${first}u)`;
      reads.push(
        `let at_${i} = ${whole ? `local / ${quads}u + ${first / quads}u` : `${index} / ${quads}u`};`,
        `let vector_${i} = ${whole ? "local" : index} % ${quads}u;`,
        `let row_${i} = ${row(`at_${i}`)};`,
        ...names.map((name) => {
          const { tensor, start } = regions[name];
          return `let ${name}_${i} = ${tensor}[(${start(`row_${i}`)}) / 4u + vector_${i}];`;
        }),
      );
      const puts = names.map((name) => {
        const { tensor } = regions[name];
        const isHalf = spec.types[tensor] === "f16" && !isStagedAsHalves(spec, tensor);
        return `tile_${name}[part]${place(`at_${i}`)}[vector_${i}] = ${valuesOf(`${name}_${i}`, isHalf)};`;
      });
      writes.push(isPart ? `if (local + ${first}u < ${vectors}u) {\n${puts.join("\n")}\n}` : puts.join("\n"));
    }
    text.push(`{\n${[...reads, ...writes].join("\n")}\n}`);
  }
  return text.join("\n");
}

/** Declares the places of own rows `NAME_start_R` where they are read again, else stages them. `rowOf` maps a row of the block to one there is. */
export function ownRows(spec: TileSpec, name: string, rows: Rows & { rowOf(row: string): string }): string {
  const [down] = spec.tile.threads;
  if (spec.tile.own === "reread") {
    return repeat(
      spec.tile.rows,
      (r) => `let ${name}_start_${r} = ${rows.start(rows.rowOf(`(first + down + ${down * r}u)`))};`,
    );
  }
  return copyRows(spec, { [name]: rows }, {
    count: tileSizes(spec).ownRows,
    row: (at) => rows.rowOf(`(first + ${at})`),
    place: (at) => `[${at} / ${down}u][${at} % ${down}u]`,
  });
}

/** Stages a block of streamed rows, `count` of which there are. */
export function stage(spec: TileSpec, regions: Readonly<Record<string, Rows>>, count: string): string {
  const [, across] = spec.tile.threads;
  return copyRows(spec, regions, {
    count: tileSizes(spec).streamedRows,
    row: (at) => `min(tile + ${at}, ${count} - 1u)`,
    place: (at) => `[${at} / ${4 * across}u][${at} % 4u][${at} / 4u % ${across}u]`,
  });
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
  products: readonly { score: string; own: string; ownTensor: string; region: string; tensor: string }[],
): string {
  const { quads } = tileSizes(spec), { rows, columns, own } = spec.tile;
  return `${
    products.map(({ score }) => eachScore(spec, (r, t) => `var ${score}_${r}_${t} = 0.0;`)).join("\n")
  }
for (var c = 0u; c < ${quads}u; c++) {
${
    products.map((product) => {
      const { score, region, tensor, ownTensor } = product;
      const staged = (at: string, from: string) => valuesOf(at, isStagedAsHalves(spec, from));
      return `{
${
        repeat(rows, (r) =>
          `let own_${r} = ${
            own === "staged"
              ? staged(`tile_${product.own}[part][${r}][down][c]`, ownTensor)
              : `load_${ownTensor}(${product.own}_start_${r}, c)`
          };`)
      }
${
        repeat(columns, (t) =>
          `let x_${t} = ${staged(`tile_${region}[part][${Math.floor(t / 4)}][${t % 4}][lane][c]`, tensor)};
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
  const { rows, columns, threads: [, across] } = spec.tile;
  return repeat(
    rows,
    (r) =>
      repeat(
        columns / 4,
        (u) =>
          `tile_${region}[part][${r}][down][lane + ${across * u}u] = vec4f(${
            [0, 1, 2, 3].map((j) => `${score}_${r}_${4 * u + j}`).join(", ")
          });`,
      ),
  );
}

/** Adds weights times streamed rows to `SUM_R_J`, as far as the block is filled: to row `end`. */
export function accumulate(
  spec: TileSpec,
  sums: readonly { sum: string; weights: string; region: string; tensor: string }[],
  end: string,
): string {
  const { share, streamedRows } = tileSizes(spec);
  const { rows, columns, threads: [, across] } = spec.tile;
  const [four, thread] = columns === 4 ? ["0", "four"] : [`four / ${across}u`, `four % ${across}u`];
  return `let filled = (min(${streamedRows}u, ${end} - tile) + 3u) / 4u;
for (var four = 0u; four < filled; four++) {
${
    sums.map(({ sum, weights, region, tensor }) =>
      `{
${repeat(rows, (r) => `let w_${r} = tile_${weights}[part][${r}][down][four];`)}
${
        repeat(4, (j) =>
          repeat(share, (q) =>
            `let x_${j}_${q} = ${
              valuesOf(
                `tile_${region}[part][${four}][${j}][${thread}][quad_${q}]`,
                isStagedAsHalves(spec, tensor),
              )
            };
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
fn unpacked(words: vec2u) -> vec4f {
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}
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
${heads === 1 ? "const part = 0u;" : `let part = thread / ${team}u;`} // of workgroup memory
let local = ${heads === 1 ? "thread" : `thread % ${team}u`};
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
