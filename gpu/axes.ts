/** Axis strings of ops: from names such as "*R C" to sizes, with errors that name op, axis and both shapes. */

/** What an op says of its inputs. */
interface AxisOwner {
  readonly name: string;
  /** Axis strings by input. `"*R C"`: all leading axes fold into R. A trailing `?` on the input's name: optional. */
  readonly inputs: Readonly<Record<string, string>>;
}

interface Shaped {
  readonly shape: readonly number[];
}

/** Binds the op's axis names to the sizes of the given inputs; an inconsistency names op, axis and both shapes. */
export function matchAxes(op: AxisOwner, inputs: Readonly<Record<string, Shaped>>): Record<string, number> {
  const axes: Record<string, number> = {};
  const boundBy: Record<string, string> = {};
  for (const [key, pattern] of Object.entries(op.inputs)) {
    const optional = key.endsWith("?");
    const name = optional ? key.slice(0, -1) : key;
    const tensor = inputs[name];
    if (!tensor) {
      if (optional) continue;
      throw new TypeError(`Cannot record ${op.name}: input "${name}" must be given`);
    }
    const names = pattern.trim().split(/\s+/).filter((s) => s.length > 0);
    const sizes = foldLeading(op, name, names, tensor.shape);
    names.forEach((axis, i) => {
      const bare = axis.replace("*", "");
      const fixed = Number(bare);
      const expected = Number.isNaN(fixed) ? axes[bare] : fixed;
      if (expected === undefined) {
        axes[bare] = sizes[i];
        boundBy[bare] = name;
      } else if (expected !== sizes[i]) {
        const other = boundBy[bare]
          ? ` (axis ${bare} of "${boundBy[bare]}" [${inputs[boundBy[bare]].shape}])`
          : "";
        throw new RangeError(
          `Cannot record ${op.name}: axis ${bare} of "${name}" must be ${expected}${other}, current shape is [${tensor.shape}]`,
        );
      }
    });
  }
  for (const name of Object.keys(inputs)) {
    if (!(name in op.inputs) && !(`${name}?` in op.inputs)) {
      throw new TypeError(`Cannot record ${op.name}: it has no input "${name}"`);
    }
  }
  return axes;
}

function foldLeading(op: AxisOwner, name: string, axes: string[], shape: readonly number[]): number[] {
  if (axes[0]?.startsWith("*")) {
    const tail = axes.length - 1;
    if (shape.length < tail) throw rankError(op, name, axes, shape);
    const split = shape.length - tail;
    return [shape.slice(0, split).reduce((a, b) => a * b, 1), ...shape.slice(split)];
  }
  if (axes.length !== shape.length) throw rankError(op, name, axes, shape);
  return [...shape];
}

function rankError(op: AxisOwner, name: string, axes: string[], shape: readonly number[]): RangeError {
  return new RangeError(
    `Cannot record ${op.name}: "${name}" must have axes [${axes.join(" ")}], current shape is [${shape}]`,
  );
}
