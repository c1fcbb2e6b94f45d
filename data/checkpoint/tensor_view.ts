/** A tensor as PyTorch stores one: a window with strides over a storage. */
import { type Dtype, DTYPE_BYTES, elementsOf } from "./dtype.ts";

/** Where a tensor's elements lie. All counts are in elements. */
export class TensorView {
  constructor(
    readonly storage: { readonly key: string; readonly dtype: Dtype; readonly start: number },
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}

  get dtype(): Dtype {
    return this.storage.dtype;
  }

  /** Number of elements. */
  get count(): number {
    return elementsOf(this.shape);
  }

  /** Bytes when written row by row. */
  get sizeBytes(): number {
    return this.count * DTYPE_BYTES[this.dtype];
  }

  /** Number of elements from the first one used to the last one used. */
  get extent(): number {
    if (this.count === 0) return 0;
    return this.shape.reduce((sum, size, axis) => sum + (size - 1) * this.strides[axis], 1);
  }

  /** Whether the elements lie in row-major order without gaps. */
  get isContiguous(): boolean {
    let expected = 1;
    for (let axis = this.shape.length - 1; axis >= 0; axis--) {
      if (this.shape[axis] !== 1 && this.strides[axis] !== expected) return this.count === 0;
      expected *= this.shape[axis];
    }
    return true;
  }
}

/**
 * Elements of a tensor in row-major order.
 *
 * @param span Bytes of its extent: from the first element used to the last.
 */
export function gatherRows(view: TensorView, span: Uint8Array): Uint8Array {
  const size = DTYPE_BYTES[view.dtype];
  const { shape, strides, count } = view;
  if (size > 8) return gatherRows(halved(view), span);
  const elements = elementViews(span, size), out = new Uint8Array(count * size);
  const target = elementViews(out, size);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < count; to++) {
    target[to] = elements[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

/** A tensor of elements of 16 bytes as one of pairs of 8. */
function halved({ storage, offset, shape, strides }: TensorView): TensorView {
  return new TensorView(
    { ...storage, dtype: "C64", start: 2 * storage.start },
    2 * offset,
    [...shape, 2],
    [...strides.map((step) => 2 * step), 1],
  );
}

/** Bytes as unsigned words of an element's size: copying them keeps every bit, NaNs too. */
function elementViews(bytes: Uint8Array, size: number): Uint8Array | Uint16Array | Uint32Array {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  if (size === 1) return new Uint8Array(buffer, byteOffset, byteLength);
  if (size === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  if (size === 4) return new Uint32Array(buffer, byteOffset, byteLength / 4);
  return new BigUint64Array(buffer, byteOffset, byteLength / 8) as unknown as Uint32Array;
}
