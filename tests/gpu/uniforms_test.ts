/** Where WGSL places the fields of a uniform: after rounding up to the alignment of each. */
import assert from "node:assert/strict";
import { uniformLayout, writeUniform } from "../../gpu/uniforms.ts";

const sourceOf = (fields: string) =>
  `struct Params {\n${fields}\n}\n@group(0) @binding(0) var<uniform> params: Params;\n`;

Deno.test("fields lie at the offsets of WGSL, scalars fill the gap behind three lanes, comments are none", () => {
  const layout = uniformLayout(
    sourceOf(
      "  a: u32, // count: f32, of rows\n  b: vec3u,\n  c: f32,\n  d: vec2f,\n  e: i32,\n  f: vec4<f32>,",
    ).replace("vec4<f32>", "vec4f"),
  );
  assert.deepEqual(layout!.fields.map(({ name, offset, kind, lanes }) => [name, offset, kind, lanes]), [
    ["a", 0, "u32", 1],
    ["b", 16, "u32", 3],
    ["c", 28, "f32", 1],
    ["d", 32, "f32", 2],
    ["e", 40, "i32", 1],
    ["f", 48, "f32", 4],
  ]);
  assert.equal(layout!.bytes, 64);
  assert.equal(uniformLayout(sourceOf("  a: u32,\n  b: u32,\n  c: u32,"))!.bytes, 12);
});

Deno.test("values are written by kind, another number of them and other types are errors by name", () => {
  const [field] = uniformLayout(sourceOf("  b: vec3i,"))!.fields, view = new DataView(new ArrayBuffer(16));
  writeUniform(view, field, [-1, 2, 3]);
  assert.deepEqual([0, 4, 8].map((at) => view.getInt32(at, true)), [-1, 2, 3]);
  assert.throws(
    () => writeUniform(view, field, [1, 2]),
    /uniform "b": it must have 3 values, current count is 2/,
  );
  assert.throws(
    () => uniformLayout(sourceOf("  t: array<vec4u, 3>,")),
    /uniform "t": its type is "array<vec4u, 3>"/,
  );
  assert.equal(uniformLayout("struct Params {\n  a: u32,\n}\n"), null);
});
