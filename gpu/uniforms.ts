/** The layout of a shader's uniform `params`: where WGSL places the fields of its `struct Params`. */

/** A field. */
export interface UniformField {
  readonly name: string;
  /** In bytes from the start. */
  readonly offset: number;
  readonly kind: "u32" | "i32" | "f32";
  /** Values: 1 of a scalar, 2 to 4 of a vector. */
  readonly lanes: number;
}

/** The fields and their bytes in all. */
export interface UniformLayout {
  readonly fields: readonly UniformField[];
  readonly bytes: number;
}

const KINDS = { u: "u32", i: "i32", f: "f32" } as const;
const TYPE = /^(?:vec([234]))?([uif])(?:32)?$/;

/**
 * Reads the layout off a source; null where it has no uniform `params` of a `struct Params`.
 *
 * @throws {Error} naming a field that is neither a scalar nor a vector: uniforms with others are given as bytes.
 */
export function uniformLayout(source: string): UniformLayout | null {
  const body = /^struct Params \{([^}]*)\}/m.exec(source)?.[1];
  if (body === undefined || !/^@group\(\d+\) @binding\(\d+\) var<uniform> params: Params;/m.test(source)) {
    return null;
  }
  const fields: UniformField[] = [];
  let end = 0, alignment = 4;
  for (const [, name, type] of body.replace(/\/\/.*$/gm, "").matchAll(/(\w+)\s*:\s*(\w+(?:<[^>]*>)?)/g)) {
    const [, vector = "1", letter] = TYPE.exec(type) ?? [], lanes = Number(vector);
    if (letter === undefined) throw new Error(`Cannot lay out uniform "${name}": its type is "${type}"`);
    const own = [4, 4, 8, 16, 16][lanes], offset = Math.ceil(end / own) * own;
    alignment = Math.max(alignment, own);
    end = offset + 4 * lanes;
    fields.push({ name, offset, kind: KINDS[letter as keyof typeof KINDS], lanes });
  }
  return { fields, bytes: Math.ceil(end / alignment) * alignment };
}

/** Writes the values of a field. @throws {Error} where their number is another than the field's. */
export function writeUniform(view: DataView, field: UniformField, value: number | Iterable<number>): void {
  const { name, offset, kind, lanes } = field, values = typeof value === "number" ? [value] : [...value];
  if (values.length !== lanes) {
    throw new Error(
      `Cannot set uniform "${name}": it must have ${lanes} values, current count is ${values.length}`,
    );
  }
  values.forEach((one, i) => {
    const at = offset + 4 * i;
    if (kind === "f32") view.setFloat32(at, one, true);
    else if (kind === "i32") view.setInt32(at, one, true);
    else view.setUint32(at, one, true);
  });
}
