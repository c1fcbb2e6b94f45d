/**
 * Pieces of the attention kernels' text. A kernel gives every invocation a few rows of its own (queries or keys), held in
 * registers, and streams all rows of the other side past them. Register tiles are unrolled text, because the same tile in
 * arrays runs about ten times slower on a software adapter and may leave the registers on a GPU.
 */

import type { Dtype } from "../graph.ts";

/**
 * How streamed rows reach the invocations.
 * `spread`: every lane of a subgroup loads one row, `subgroupBroadcast` shows it to the others (software adapters: a load in
 * a loop costs every lane as much as 60 multiply-adds). `direct`: every invocation loads every row. `shared`: a workgroup
 * loads a tile of rows into its shared memory.
 */
export interface Feed {
  kind: "spread" | "direct" | "shared";
  /** Workgroup size; for `spread` also the size of a subgroup. */
  lanes: number;
  /** Streamed rows of one unrolled step. */
  step: number;
}

/** What the text depends on; sizes that change with the batch are uniforms. */
export interface AttentionSpec {
  headSize: number;
  feed: Feed;
  /** Rows of one invocation. */
  rows: number;
  /** Storage types by tensor name. */
  types: Readonly<Record<string, Dtype>>;
}

/** Shared memory of one kernel in bytes: the least that WebGPU guarantees. */
const SHARED_BYTES = 16384;

/** Vectors of four that hold one row of a head; the last one is filled up with zeros. */
export function quadsOf(headSize: number): number {
  return Math.ceil(headSize / 4);
}

/** Text for every index below `count`, joined as lines. */
export function repeat(count: number, text: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => text(i)).join("\n");
}

/** Sizes of one use. Rows of q below `skipped` have no query. */
const PARAMS = `struct Params {
  queries: u32, // Q, rows of q
  skipped: u32, // rows of q without a query
  keys: u32,    // S
  width: u32,   // D
  causal: u32,  // 1: key j is visible to row i of q only when j <= i
  scale: f32,   // on the scores
`;

/**
 * Declares `params` and the storage bindings in order, with `load_NAME` and `store_NAME` for those held as vectors.
 *
 * @param fields More fields of `params`.
 */
export function declare(
  spec: Pick<AttentionSpec, "headSize" | "types">,
  { vectors, scalars, fields = "" }: {
    vectors: readonly string[];
    scalars: readonly string[];
    fields?: string;
  },
): string {
  const isVector = spec.headSize % 4 === 0;
  const needsF16 = !isVector && vectors.some((name) => spec.types[name] === "f16");
  const declarations = [...vectors, ...scalars].map((name, i) => {
    const half = spec.types[name] === "f16";
    const element = scalars.includes(name)
      ? "f32"
      : isVector
      ? (half ? "vec2u" : "vec4f")
      : (half ? "f16" : "f32");
    return `@group(0) @binding(${i + 1}) var<storage, read_write> ${name}: array<${element}>;`;
  });
  const access = vectors.map((name) => {
    const half = spec.types[name] === "f16";
    return isVector ? vectorAccess(name, half) : scalarAccess(name, half ? "f16" : "f32", spec.headSize);
  });
  const params = `${PARAMS}${fields}}\n@group(0) @binding(0) var<uniform> params: Params;\n`;
  return [needsF16 ? "enable f16;" : "", params, ...declarations, ...access].join("\n");
}

/** Four elements at once. Halves travel as two words, which needs no f16 support of the adapter. */
function vectorAccess(name: string, half: boolean): string {
  const load = half
    ? `let words = ${name}[start / 4u + quad];
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));`
    : `return ${name}[start / 4u + quad];`;
  const store = half ? "vec2u(pack2x16float(value.xy), pack2x16float(value.zw))" : "value";
  return `fn load_${name}(start: u32, quad: u32) -> vec4f {
  ${load}
}
fn store_${name}(start: u32, quad: u32, value: vec4f) {
  ${name}[start / 4u + quad] = ${store};
}`;
}

/** One element at a time, for head sizes that are no multiple of four. */
function scalarAccess(name: string, type: string, headSize: number): string {
  return `fn load_${name}(start: u32, quad: u32) -> vec4f {
  var value = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (quad * 4u + i < ${headSize}u) {
      value[i] = f32(${name}[start + quad * 4u + i]);
    }
  }
  return value;
}
fn store_${name}(start: u32, quad: u32, value: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    if (quad * 4u + i < ${headSize}u) {
      ${name}[start + quad * 4u + i] = ${type}(value[i]);
    }
  }
}`;
}

/** A loop over streamed rows. */
export interface Stream {
  /** Streamed vectors: tensor name, and the text of the start of row `row`. */
  vectors: Readonly<Record<string, { tensor: string; start: (row: string) => string }>>;
  /** Streamed numbers: text of the value of row `row`. */
  scalars?: Readonly<Record<string, (row: string) => string>>;
  /** Texts of the first row, a bound on the rows wanted, and the rows there are. */
  begin: string;
  end: string;
  count: string;
  /**
   * The unrolled step. `position` is the text of its first row's index; rows past `count` repeat the last one, so the body
   * masks them. `fetch(name, quad)` declares `NAME_QUAD_T` for every row T of the step.
   */
  body: (position: string, fetch: (name: string, quad: number) => string) => string;
}

/** Module-scope declarations and the statements of a stream. `NAME_T` holds scalar NAME of row T. */
export function streamText(spec: AttentionSpec, stream: Stream): { module: string; loop: string } {
  if (spec.feed.kind === "shared") return sharedStream(spec, stream);
  return {
    module: "",
    loop: spec.feed.kind === "spread" ? spreadStream(spec, stream) : directStream(spec, stream),
  };
}

function spreadStream({ feed: { step } }: AttentionSpec, stream: Stream): string {
  const vectors = Object.entries(stream.vectors), scalars = Object.entries(stream.scalars ?? {});
  const fetch = (name: string, quad: number) =>
    `let ${name}_${quad} = load_${stream.vectors[name].tensor}(${name}_start, ${quad}u);\n` +
    repeat(step, (t) => `let ${name}_${quad}_${t} = subgroupBroadcast(${name}_${quad}, ${t}u);`);
  return `for (var tile = ${stream.begin}; tile < ${stream.end}; tile += ${step}u) {
let streamed = min(tile + lane, ${stream.count} - 1u);
${vectors.map(([name, { start }]) => `let ${name}_start = ${start("streamed")};`).join("\n")}
${scalars.map(([name, value]) => `let ${name} = ${value("streamed")};`).join("\n")}
${
    scalars.map(([name]) => repeat(step, (t) => `let ${name}_${t} = subgroupBroadcast(${name}, ${t}u);`))
      .join(
        "\n",
      )
  }
${stream.body("tile", fetch)}
}`;
}

function directStream({ feed: { step } }: AttentionSpec, stream: Stream): string {
  const vectors = Object.entries(stream.vectors), scalars = Object.entries(stream.scalars ?? {});
  const fetch = (name: string, quad: number) =>
    repeat(
      step,
      (t) => `let ${name}_${quad}_${t} = load_${stream.vectors[name].tensor}(${name}_start_${t}, ${quad}u);`,
    );
  return `for (var tile = ${stream.begin}; tile < ${stream.end}; tile += ${step}u) {
${repeat(step, (t) => `let streamed_${t} = min(tile + ${t}u, ${stream.count} - 1u);`)}
${
    vectors.map(([name, { start }]) =>
      repeat(step, (t) => `let ${name}_start_${t} = ${start(`streamed_${t}`)};`)
    )
      .join("\n")
  }
${
    scalars.map(([name, value]) => repeat(step, (t) => `let ${name}_${t} = ${value(`streamed_${t}`)};`)).join(
      "\n",
    )
  }
${stream.body("tile", fetch)}
}`;
}

function sharedStream({ headSize, feed: { lanes, step } }: AttentionSpec, stream: Stream) {
  const vectors = Object.entries(stream.vectors), scalars = Object.entries(stream.scalars ?? {});
  const quads = quadsOf(headSize);
  const rowBytes = vectors.length * quads * 16 + scalars.length * 4;
  const tile = Math.max(step, Math.min(32, Math.floor(SHARED_BYTES / rowBytes / step) * step));
  const module = [
    ...vectors.map(([name]) => `var<workgroup> tile_${name}: array<vec4f, ${tile * quads}>;`),
    ...scalars.map(([name]) => `var<workgroup> tile_${name}: array<f32, ${tile}>;`),
  ].join("\n");
  const fetch = (name: string, quad: number) =>
    repeat(step, (t) => `let ${name}_${quad}_${t} = tile_${name}[(at + ${t}u) * ${quads}u + ${quad}u];`);
  const loop = `for (var tile = ${stream.begin}; tile < ${stream.end}; tile += ${tile}u) {
workgroupBarrier(); // the tile before must have been used by all
for (var i = lane; i < ${tile * quads}u; i += ${lanes}u) {
let streamed = min(tile + i / ${quads}u, ${stream.count} - 1u);
${
    vectors.map(([name, { tensor, start }]) =>
      `tile_${name}[i] = load_${tensor}(${start("streamed")}, i % ${quads}u);`
    ).join("\n")
  }
}
${
    scalars.length === 0 ? "" : `for (var i = lane; i < ${tile}u; i += ${lanes}u) {
let streamed = min(tile + i, ${stream.count} - 1u);
${scalars.map(([name, value]) => `tile_${name}[i] = ${value("streamed")};`).join("\n")}
}`
  }
workgroupBarrier();
for (var at = 0u; at < min(${tile}u, ${stream.end} - tile); at += ${step}u) {
let position = tile + at;
${scalars.map(([name]) => repeat(step, (t) => `let ${name}_${t} = tile_${name}[at + ${t}u];`)).join("\n")}
${stream.body("position", fetch)}
}
}`;
  return { module, loop };
}

/** A compute entry point over (row tiles, heads, batch); `head` is the first column of the head. */
export function entry(spec: AttentionSpec, module: string, body: string): string {
  return `${module}
@compute @workgroup_size(${spec.feed.lanes})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
let head = group.y * ${spec.headSize}u;
let outputs = params.queries - params.skipped; // queries, rows of out
let first = group.x * ${spec.feed.lanes * spec.rows}u; // first row of this workgroup
let kv_start = group.z * params.keys * 2u * params.width + head;
let is_causal = params.causal != 0u;
let scale = params.scale * ${Math.LOG2E}; // scores are powers of 2
${body}
}
`;
}
