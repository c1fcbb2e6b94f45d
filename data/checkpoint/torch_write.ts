/**
 * Writer of files that `torch.load(…, weights_only=True)` reads: the ZIP layout of PyTorch 1.6 and later, with a pickle of
 * protocol 2 that names nothing but `OrderedDict`, storages and `_rebuild_tensor_v2`.
 */
import { type Dtype, DTYPE_BYTES, elementsOf } from "./dtype.ts";
import { STORAGE_CLASSES } from "./_torch_rules.ts";
import {
  PyDict,
  PyFloat,
  PyForeign,
  PyGlobal,
  PyObject,
  PyStorage,
  PyTuple,
  type PyValue,
} from "./pickle_values.ts";
import type { TensorToStream } from "./safetensors.ts";
import { TensorView } from "./tensor_view.ts";
import { METADATA_RECORD } from "./torch_zip.ts";
import { encodeZip } from "../zip_write.ts";

/** A tensor to write, where a tree holds one. */
export class TensorLeaf {
  constructor(readonly tensor: Omit<TensorToStream, "name">) {}
}

/** What can be written: a tree of dicts, lists and plain values with tensors in it. */
export type TorchTree = PyValue | TensorLeaf | TorchTree[] | ReadonlyMap<string | number, TorchTree>;

const FOLDER = "archive";
/** The format version of PyTorch 1.6 and later. */
const VERSION = "3\n";
const STORAGE_OF = new Map(Object.entries(STORAGE_CLASSES).map(([name, dtype]) => [dtype, name]));

/** Element types that PyTorch files are written with. */
export const TORCH_DTYPES: ReadonlySet<Dtype> = new Set(STORAGE_OF.keys());

/** A state dict: an `OrderedDict` of tensors in the given order. */
export function stateDict(tensors: Iterable<TensorToStream>): ReadonlyMap<string, TorchTree> {
  return new Map([...tensors].map((tensor) => [tensor.name, new TensorLeaf(tensor)]));
}

/**
 * Encodes a tree as a file of `torch.save`, as chunks ready to be written one after the other. One tensor is held at a time.
 * Maps become `OrderedDict`s, arrays lists, whole numbers ints; what was not read of
 * another file becomes None.
 *
 * @param options.metadata Texts for a record of their own, which PyTorch leaves alone.
 * @param options.tensorOf What to write for a tensor of another PyTorch file, where the tree holds such tensors.
 * @example `await writeFileWhole("model.pt", encodeTorch(new Map([["epoch", 3], ["model_state_dict", stateDict(tensors)]])))`
 */
export function encodeTorch(
  tree: TorchTree,
  options: {
    tensorOf?: (view: TensorView) => TensorLeaf;
    metadata?: Readonly<Record<string, string>>;
  } = {},
): AsyncGenerator<Uint8Array> {
  const pickler = new Pickler(options.tensorOf);
  const pickle = pickler.encode(tree);
  const text = (value: string) => () => new TextEncoder().encode(value);
  return encodeZip([
    { name: `${FOLDER}/data.pkl`, read: () => pickle },
    { name: `${FOLDER}/byteorder`, read: text("little") },
    ...options.metadata === undefined
      ? []
      : [{ name: `${FOLDER}/${METADATA_RECORD}`, read: text(JSON.stringify(options.metadata)) }],
    ...pickler.leaves.map(({ tensor }, i) => ({
      name: `${FOLDER}/data/${i}`,
      async read() {
        const bytes = await tensor.read();
        const sizeBytes = elementsOf(tensor.shape) * DTYPE_BYTES[tensor.dtype];
        if (bytes.byteLength !== sizeBytes) {
          throw new RangeError(
            `Cannot encode a tensor [${
              tensor.shape.join(" ")
            }] of ${tensor.dtype}: it needs ${sizeBytes} bytes, current value is ${bytes.byteLength}`,
          );
        }
        return bytes;
      },
    })),
    { name: `${FOLDER}/version`, read: text(VERSION) },
  ]);
}

const TUPLE_1 = 0x85, TUPLE_2 = 0x86, TUPLE_3 = 0x87;

class Pickler {
  /** Tensors in the order of their storages. */
  readonly leaves: TensorLeaf[] = [];
  readonly #out: number[] = [];
  readonly #memo = new Map<string, number>();
  readonly #tensorOf: ((view: TensorView) => TensorLeaf) | undefined;

  constructor(tensorOf: ((view: TensorView) => TensorLeaf) | undefined) {
    this.#tensorOf = tensorOf;
  }

  encode(tree: TorchTree): Uint8Array {
    this.#out.push(0x80, 2); // PROTO 2
    this.#value(tree);
    this.#out.push(0x2e); // STOP
    return Uint8Array.from(this.#out);
  }

  #value(value: TorchTree): void {
    const out = this.#out;
    if (value === null || value instanceof PyForeign) out.push(0x4e);
    else if (typeof value === "boolean") out.push(value ? 0x88 : 0x89);
    else if (typeof value === "number" || typeof value === "bigint") this.#integer(value);
    else if (typeof value === "string") this.#text(value);
    else if (value instanceof PyFloat) this.#float(value.value);
    else if (value instanceof TensorLeaf) this.#tensor(value);
    else if (value instanceof TensorView && this.#tensorOf) this.#tensor(this.#tensorOf(value));
    else if (value instanceof PyDict) this.#dict(value.entries, value.ordered);
    else if (value instanceof PyTuple) this.#tuple(value.items);
    else if (Array.isArray(value)) this.#list(value);
    else if (value instanceof Map) this.#dict(value, true);
    else {throw new TypeError(
        `Cannot encode ${nameOf(value)}: a PyTorch file must hold data that weights_only accepts`,
      );}
  }

  #integer(value: number | bigint): void {
    if (typeof value === "number" && !Number.isSafeInteger(value)) return this.#float(value);
    const whole = BigInt(value);
    if (BigInt.asIntN(32, whole) === whole) {
      const number = Number(whole);
      if (number >= 0 && number < 256) this.#out.push(0x4b, number);
      else this.#out.push(0x4a, ...littleEndian(number, 4));
      return;
    }
    let length = 5;
    while (BigInt.asIntN(8 * length, whole) !== whole) length++;
    this.#out.push(0x8a, length); // LONG1
    for (let i = 0; i < length; i++) this.#out.push(Number(whole >> BigInt(8 * i) & 0xffn));
  }

  #float(value: number): void {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value, false);
    this.#out.push(0x47, ...new Uint8Array(view.buffer));
  }

  #text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.#out.push(0x58, ...littleEndian(bytes.length, 4));
    for (const byte of bytes) this.#out.push(byte);
  }

  #list(items: readonly TorchTree[]): void {
    this.#out.push(0x5d, 0x28); // EMPTY_LIST MARK
    for (const item of items) this.#value(item);
    this.#out.push(0x65); // APPENDS
  }

  #tuple(items: readonly TorchTree[]): void {
    if (items.length === 0) return void this.#out.push(0x29);
    if (items.length > 3) this.#out.push(0x28);
    for (const item of items) this.#value(item);
    this.#out.push([0, TUPLE_1, TUPLE_2, TUPLE_3][items.length] ?? 0x74);
  }

  #dict(entries: ReadonlyMap<unknown, TorchTree>, isOrdered: boolean): void {
    if (isOrdered) this.#emptyOrderedDict();
    else this.#out.push(0x7d);
    if (entries.size === 0) return;
    this.#out.push(0x28); // MARK
    for (const [key, value] of entries) {
      this.#value(key as TorchTree);
      this.#value(value);
    }
    this.#out.push(0x75); // SETITEMS
  }

  #emptyOrderedDict(): void {
    this.#global("collections", "OrderedDict");
    this.#out.push(0x29, 0x52); // EMPTY_TUPLE REDUCE
  }

  /** `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`, the storage by its persistent id. */
  #tensor(leaf: TensorLeaf): void {
    const { dtype, shape } = leaf.tensor;
    const storage = storageClass(dtype);
    const key = String(this.leaves.length);
    this.leaves.push(leaf);
    this.#global("torch._utils", "_rebuild_tensor_v2");
    this.#out.push(0x28, 0x28); // MARK MARK
    this.#text("storage");
    this.#global("torch", storage);
    this.#text(key);
    this.#text("cpu");
    this.#integer(elementsOf(shape));
    this.#out.push(0x74, 0x51); // TUPLE BINPERSID
    this.#integer(0);
    this.#tuple([...shape]);
    this.#tuple(rowMajorStrides(shape));
    this.#out.push(0x89); // requires_grad is False
    this.#emptyOrderedDict();
    this.#out.push(0x74, 0x52); // TUPLE REDUCE
  }

  #global(module: string, name: string): void {
    const full = `${module}\n${name}\n`, seen = this.#memo.get(full);
    if (seen !== undefined) return void this.#out.push(0x68, seen); // BINGET
    this.#out.push(0x63, ...new TextEncoder().encode(full)); // GLOBAL
    this.#out.push(0x71, this.#memo.size); // BINPUT
    this.#memo.set(full, this.#memo.size);
  }
}

function storageClass(dtype: Dtype): string {
  const name = STORAGE_OF.get(dtype);
  if (name === undefined) {
    throw new TypeError(
      `Cannot encode a tensor of ${dtype}: PyTorch files hold ${[...STORAGE_OF.keys()].join(", ")}`,
    );
  }
  return name;
}

function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(1, shape[axis]);
  }
  return strides;
}

function littleEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);
}

function nameOf(value: unknown): string {
  if (value instanceof PyGlobal) return `"${value.name}"`;
  if (value instanceof PyObject) return `an object of "${value.className}"`;
  if (value instanceof PyStorage) return "a bare storage";
  return value instanceof Uint8Array ? "bytes" : "this value";
}
