/** What a pickle holds, as plain data: no class of its own is ever made. */
import type { Dtype } from "./dtype.ts";
import type { TensorView } from "./tensor_view.ts";

/** A Python float. Whole numbers alone are JavaScript numbers (or bigints beyond 2^53), so that 1 and 1.0 stay apart. */
export class PyFloat {
  constructor(readonly value: number) {}
}

/** A tuple; lists are arrays. */
export class PyTuple {
  constructor(readonly items: readonly PyValue[]) {}
}

/** A key of a dict. */
export type PyKey = string | number | bigint | boolean | null;

/** A dict, in insertion order. */
export class PyDict {
  readonly entries = new Map<PyKey, PyValue>();
  /** @param ordered Whether it is a `collections.OrderedDict`. */
  constructor(readonly ordered: boolean) {}
}

/** An object of a TorchScript module: a class name and attributes. Nothing of the class is known or run. */
export class PyObject {
  attributes: PyDict | null = null;
  constructor(readonly className: string) {}
}

/** A name that stands for itself, such as a storage class or a dtype. */
export class PyGlobal {
  constructor(readonly name: string) {}
}

/**
 * What no state dict needs: a class, a function, or an object made by one. Its global's name is all that is kept of it; what
 * it was made of is dropped, and nothing is imported or called.
 */
export class PyForeign {
  constructor(readonly globalName: string) {}
}

/** The answer to a persistent id: where a tensor's elements lie. */
export class PyStorage {
  constructor(readonly view: StorageView) {}
}

/** A range of elements of one type in a file. */
export interface StorageView {
  /** What the file calls it. */
  readonly key: string;
  /** Type of its elements; null where the tensor says it. */
  readonly dtype: Dtype | null;
  /** First element within the stored storage. */
  readonly start: number;
  /** Number of elements, or of bytes where `dtype` is null. */
  readonly count: number;
}

/** Anything a pickle may hold. */
export type PyValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PyValue[]
  | PyFloat
  | PyTuple
  | PyDict
  | PyObject
  | PyGlobal
  | PyForeign
  | PyStorage
  | TensorView;
