/** How the matmul generators for GPUs finish and store rows of C. */

import { epilogue, type MatmulSpec, type Word } from "./_matmul_common.ts";

/**
 * Declares the bias of each of `columns`, the first of four each, as NAME0, NAME1, …; nothing without one. Before the rows are stored, as
 * what is read between stores must be read again for every row.
 */
export function readBias(spec: MatmulSpec, name: string, columns: readonly string[]): string {
  if (!spec.bias) return "";
  const at = (column: string, i: number) => `bias[min(${column} + ${i}u, params.n - 1u)]`;
  const wide = (column: string, i: number) => `bias[min(${column}, params.n - 4u) + ${i}u]`;
  return columns.map((column, j) => {
    const values = [0, 1, 2, 3].map((i) => (spec.n % 4 === 0 ? wide : at)(column, i));
    return `  let ${name}${j} = vec4f(${values.join(", ")});`;
  }).join("\n");
}

/** Function that finishes and stores four neighbouring values of one row of C, `v`, with its bias. */
export function storeRow(spec: MatmulSpec, word: Word): string {
  const { residual, preactivation } = spec, reads = preactivation === "read";
  const linear = (i: number) => `v[${i}]`;
  const component = (i: number) =>
    epilogue(spec, linear(i), {
      residual: word.size === 4 ? `f32(old[${i}])` : "old",
      preactivation: word.size === 4 ? `f32(saved[${i}])` : "saved",
    });
  const scalar = spec.typeC === "f16" ? "f16" : "f32";
  const four = (value: (i: number) => string) => `${word.type}(vec4f(${[0, 1, 2, 3].map(value).join(", ")}))`;
  const body = word.size === 4
    ? `  if (column >= params.n) { return; }
  let at = (base_c + row * params.n + column) / 4u;
${residual ? "  let old = residual[at];\n" : ""}${reads ? "  let saved = preactivation[at];\n" : ""}${
      preactivation === "written" ? `  preactivation[at] = ${four(linear)};\n` : ""
    }  c[at] = ${four(component)};`
    : `  let at = base_c + row * params.n + column;
${
      [0, 1, 2, 3].map((i) =>
        `  if (column + ${i}u < params.n) {
${residual ? `    let old = f32(residual[at + ${i}u]);\n` : ""}${
          reads ? `    let saved = f32(preactivation[at + ${i}u]);\n` : ""
        }${
          preactivation === "written" ? `    preactivation[at + ${i}u] = ${scalar}(${linear(i)});\n` : ""
        }    c[at + ${i}u] = ${scalar}(${component(i)});
  }`
      ).join("\n")
    }`;
  return `fn store_row(row: u32, rows_end: u32, column: u32, base_c: u32, v: vec4f) {
  if (row >= rows_end) { return; }
${body}
}
`;
}
