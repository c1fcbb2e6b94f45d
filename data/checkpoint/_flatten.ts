/** The tree of a checkpoint as paths: what is a tensor, and every other value. */
import { DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import {
  PyDict,
  PyFloat,
  PyForeign,
  PyGlobal,
  type PyKey,
  PyObject,
  PyStorage,
  PyTuple,
  type PyValue,
} from "./pickle_values.ts";
import { TensorView } from "./tensor_view.ts";

/** A value that is no tensor and no container. */
export type PlainValue = null | boolean | number | bigint | string | Uint8Array;

/** What a tree holds, by path. */
export interface FlatTree {
  readonly tensors: ReadonlyMap<string, TensorView>;
  readonly values: ReadonlyMap<string, PlainValue>;
  /** What is not read, classes and objects: the names of their globals. */
  readonly foreign: ReadonlyMap<string, string>;
}

// A value may be referred to many times, and a container may hold itself: what is walked is bounded, not only what is stored.
const MAX_DEPTH = 64, MAX_NODES = 2 ** 20, MAX_PATH_CHARACTERS = 2 ** 26;
/** No tensor of a network has a longer name. */
const MAX_NAME_CHARACTERS = 1024;

/**
 * Walks a tree.
 *
 * Keys of dicts and places in lists are joined by "/", attributes of TorchScript objects by ".". Of a TorchScript module
 * only tensors are kept: its other attributes are switches of the framework.
 *
 * @throws {DataError} when two tensors have one path, or the tree is too large or holds itself.
 */
export function flattenTree(root: PyValue, options: { label: string }): FlatTree {
  const tensors = new Map<string, TensorView>(), values = new Map<string, PlainValue>();
  const foreign = new Map<string, string>();
  const fail = (what: string): never => {
    throw new DataError(`Cannot read "${options.label}": ${what}`);
  };
  let nodes = 0, characters = 0;
  const requireNew = (path: string) => {
    if (tensors.has(path) || values.has(path) || foreign.has(path)) {
      fail(`names must be unique, current file has "${shorten(path)}" twice`);
    }
  };
  const visit = (value: PyValue, path: string, depth: number, inObject: boolean): void => {
    if (depth > MAX_DEPTH) {
      fail(`values may nest at most ${MAX_DEPTH} deep, "${shorten(path)}" goes deeper`);
    }
    nodes++;
    characters += path.length;
    if (nodes > MAX_NODES || characters > MAX_PATH_CHARACTERS) {
      fail(`it may hold at most ${MAX_NODES} values with ${MAX_PATH_CHARACTERS} characters of names`);
    }
    const join = (key: string, separator: string) => (path === "" ? key : `${path}${separator}${key}`);
    if (value instanceof TensorView) {
      if (path === "") fail("it must hold tensors by name, current content is one tensor without a name");
      if (path.length > MAX_NAME_CHARACTERS) {
        fail(
          `a name may have at most ${MAX_NAME_CHARACTERS} characters, "${shorten(path)}" has ${path.length}`,
        );
      }
      requireNew(path);
      tensors.set(path, value);
    } else if (value instanceof PyDict) {
      for (const [key, item] of value.entries) visit(item, join(keyText(key), "/"), depth + 1, inObject);
    } else if (value instanceof PyObject) {
      for (const [key, item] of value.attributes?.entries ?? []) {
        visit(item, join(keyText(key), "."), depth + 1, true);
      }
    } else if (value instanceof PyTuple || Array.isArray(value)) {
      const items = value instanceof PyTuple ? value.items : value;
      for (let i = 0; i < items.length; i++) {
        visit(items[i], join(String(i), inObject ? "." : "/"), depth + 1, inObject);
      }
    } else if (value instanceof PyForeign) {
      requireNew(path);
      foreign.set(path, value.globalName);
    } else if (!inObject) {
      requireNew(path);
      values.set(path, plain(value));
    }
  };
  visit(root, "", 0, false);
  return { tensors, values, foreign };
}

function plain(
  value: Exclude<PyValue, PyValue[] | PyTuple | PyDict | PyObject | PyForeign | TensorView>,
): PlainValue {
  if (value instanceof PyFloat) return value.value;
  if (value instanceof PyGlobal) return value.name;
  if (value instanceof PyStorage) return `storage ${value.view.key}`;
  return value;
}

function keyText(key: PyKey): string {
  return key === null ? "None" : String(key);
}
