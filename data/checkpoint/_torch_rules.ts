/**
 * What the pickle of a PyTorch checkpoint may name: the closed list of globals that mean something, and what each stands for.
 * The functions are PyTorch's own rebuilding functions (torch/_utils.py), as data: a call gives a description of a tensor.
 * Other globals stand for themselves, unless they reach the machine (`_refused_globals.ts`): a training checkpoint holds its
 * arguments and counters beside the weights.
 */
import { DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import { isRefusedGlobal } from "./_refused_globals.ts";
import { type Dtype, DTYPE_BYTES, MAX_AXES } from "./dtype.ts";
import type { PickleRules } from "./pickle.ts";
import {
  PyDict,
  PyForeign,
  PyGlobal,
  PyObject,
  PyStorage,
  PyTuple,
  type PyValue,
  type StorageView,
} from "./pickle_values.ts";
import { TensorView } from "./tensor_view.ts";

/** Typed storages by class name. */
export const STORAGE_CLASSES: Readonly<Record<string, Dtype>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
  ComplexFloatStorage: "C64",
  ComplexDoubleStorage: "C128",
};

/** Storages of quantised tensors: whole numbers, with a scale beside them. Nothing is made of them, but they take up space. */
const QUANTISED_STORAGES: Readonly<Record<string, Dtype>> = {
  QInt8Storage: "I8",
  QUInt8Storage: "U8",
  QInt32Storage: "I32",
};

/** Element types by PyTorch's names. */
const TORCH_DTYPES: Readonly<Record<string, Dtype>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  float8_e4m3fn: "F8_E4M3",
  float8_e5m2: "F8_E5M2",
  float8_e4m3fnuz: "F8_E4M3FNUZ",
  float8_e5m2fnuz: "F8_E5M2FNUZ",
  float8_e8m0fnu: "F8_E8M0",
  complex64: "C64",
  complex128: "C128",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint64: "U64",
  uint32: "U32",
  uint16: "U16",
  uint8: "U8",
  bool: "BOOL",
};

/** Rebuild a tensor of a class of its own: `(function, class, arguments, attributes)`. */
const TYPED_REBUILDS = ["torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type"];

const FUNCTIONS = [
  "collections.OrderedDict",
  "collections.defaultdict",
  "torch._utils._rebuild_tensor",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_tensor_v3",
  "torch._utils._rebuild_parameter",
  "torch._utils._rebuild_parameter_with_state",
  "torch.Size",
  "torch.device",
  "__builtin__.set",
  "builtins.set",
  "__builtin__.getattr",
  "builtins.getattr",
  "__builtin__.type",
  "builtins.type",
  ...TYPED_REBUILDS,
];

/** Functions that TorchScript archives use for typed lists. */
const SCRIPT_FUNCTIONS = [
  "torch.jit._pickle.build_intlist",
  "torch.jit._pickle.build_doublelist",
  "torch.jit._pickle.build_boollist",
  "torch.jit._pickle.build_tensorlist",
  "torch.jit._pickle.restore_type_tag",
];

const STORAGES = new Map<string, Dtype | null>([
  // Pickles of GPU tensors from before PyTorch 1.6 name the class under torch.cuda.
  ...Object.entries({ ...STORAGE_CLASSES, ...QUANTISED_STORAGES }).flatMap(([name, dtype]) =>
    [`torch.${name}`, `torch.cuda.${name}`].map((full) => [full, dtype] as const)
  ),
  ["torch.UntypedStorage", null],
  ["torch.storage.UntypedStorage", null],
]);

const DTYPES = new Map(Object.entries(TORCH_DTYPES).map(([name, dtype]) => [`torch.${name}`, dtype]));

/** Characters of a global's name with its attributes. */
const MAX_GLOBAL = 1024;
/** An expanded tensor (stride 0) may be larger than its storage, but not beyond the file by more than this. */
const EXPANSION_BYTES = 2 ** 20;

/** What the rules need to know of the file. */
export interface RulesOptions {
  label: string;
  fileBytes: number;
  /** Whether classes of a TorchScript module may appear. */
  isScript: boolean;
  /** Checks a storage that a persistent id names, and says where it lies. */
  storage(
    key: string,
    options: { dtype: Dtype | null; count: number; window: PyValue | undefined },
  ): StorageView;
}

/** The rules of a checkpoint. */
export function torchRules(options: RulesOptions): PickleRules {
  const fail = (what: string): never => {
    throw new DataError(`Cannot read "${options.label}": ${what}`);
  };
  const known = new Map(
    [...FUNCTIONS, ...STORAGES.keys(), ...DTYPES.keys(), ...(options.isScript ? SCRIPT_FUNCTIONS : [])]
      .map((name) => [name, new PyGlobal(name)]),
  );
  return {
    global(name) {
      const found = known.get(name);
      if (found) return found;
      // An archive of TorchScript holds a module's tensors and settings alone.
      if (name.startsWith("__torch__.")) return options.isScript ? new PyGlobal(name) : undefined;
      return options.isScript || isRefusedGlobal(name) ? undefined : new PyForeign(name);
    },
    create: ({ name }, args) =>
      name.startsWith("__torch__.") && args.length === 0 ? new PyObject(name) : undefined,
    reduce: ({ name }, args) => reduce(name, args, { fileBytes: options.fileBytes, fail }),
    persistent: (id) => storageOf(id, options, fail),
  };
}

interface Context {
  fileBytes: number;
  fail: (what: string) => never;
}

function reduce(name: string, args: readonly PyValue[], context: Context): PyValue | undefined {
  const { fail } = context;
  switch (name) {
    case "collections.OrderedDict":
      // Items follow one by one: a list of them here would let a short pickle copy a long list many times.
      return args.length === 0 ? new PyDict(true) : fail("an OrderedDict must start empty");
    case "collections.defaultdict": // (what makes missing values)
      return args.length <= 1 ? new PyDict(false) : fail("a defaultdict must start empty");
    case "torch._utils._rebuild_tensor":
    case "torch._utils._rebuild_tensor_v2":
      return rebuildTensor(args, null, context);
    case "torch._utils._rebuild_tensor_v3": {
      if (args[6] instanceof PyForeign) return args[6]; // a type without a name here
      const dtype = args[6] instanceof PyGlobal ? DTYPES.get(args[6].name) : undefined;
      return dtype ? rebuildTensor(args, dtype, context) : fail("a tensor of version 3 must name its dtype");
    }
    case "torch._utils._rebuild_parameter":
    case "torch._utils._rebuild_parameter_with_state":
      return args[0] instanceof TensorView || args[0] instanceof PyForeign
        ? args[0]
        : fail("a parameter must be made of a tensor");
    case TYPED_REBUILDS[0]:
    case TYPED_REBUILDS[1]: {
      const [rebuild, type, inner] = args;
      if (!(rebuild instanceof PyGlobal) || !rebuild.name.startsWith("torch._utils.")) {
        return type instanceof PyForeign ? type : fail("a tensor must be rebuilt by a known function");
      }
      return inner instanceof PyTuple
        ? reduce(rebuild.name, inner.items, context)
        : fail(`the arguments of "${rebuild.name}" must be a tuple`);
    }
    case "torch.Size":
      return args[0] instanceof PyTuple || Array.isArray(args[0])
        ? args[0]
        : fail("a torch.Size must be made of a list");
    case "torch.device":
      return typeof args[0] === "string" && args[0].length < 32
        ? (typeof args[1] === "number" ? `${args[0]}:${args[1]}` : args[0])
        : fail("a torch.device must be made of a name and a number");
    case "__builtin__.getattr":
    case "builtins.getattr":
      return attributeOf(args);
    case "__builtin__.type":
    case "builtins.type": // of None; with more it would make a class
      return args.length === 1 ? new PyForeign(name) : undefined;
    case "__builtin__.set":
    case "builtins.set":
    case "torch.jit._pickle.build_intlist":
    case "torch.jit._pickle.build_doublelist":
    case "torch.jit._pickle.build_boollist":
    case "torch.jit._pickle.build_tensorlist":
      return Array.isArray(args[0]) ? args[0] : fail(`"${name}" must be given a list`);
    case "torch.jit._pickle.restore_type_tag":
      return args[0] ?? fail(`"${name}" must be given a value`);
    default:
      return undefined;
  }
}

/** A member of something foreign, by name: of an enumeration, a method of a scheduler. Of anything else there is none. */
function attributeOf([owner, key]: readonly PyValue[]): PyForeign | undefined {
  if (!(owner instanceof PyForeign) || typeof key !== "string") return undefined;
  const full = `${owner.globalName}.${key}`;
  return full.length > MAX_GLOBAL || isRefusedGlobal(full) ? undefined : new PyForeign(full);
}

/** `(storage, offset, sizes, strides, …)`. */
function rebuildTensor(
  args: readonly PyValue[],
  dtype: Dtype | null,
  { fileBytes, fail }: Context,
): TensorView | PyForeign {
  const [storage, offset, sizes, strides] = args;
  if (storage instanceof PyForeign) return storage;
  if (!(storage instanceof PyStorage)) return fail("a tensor must have a storage");
  const { key } = storage.view;
  const type = dtype ?? storage.view.dtype;
  if (type === null) return fail(`storage "${shorten(key)}" must have a type`);
  const shape = counts(sizes), steps = counts(strides);
  if (shape === null || steps === null || shape.length !== steps.length) {
    return fail(
      `a tensor of storage "${
        shorten(key)
      }" must have as many strides as sizes, at most ${MAX_AXES} whole numbers`,
    );
  }
  const view = new TensorView({ key, dtype: type, start: storage.view.start }, Number(offset), shape, steps);
  // An untyped storage is counted in bytes.
  const available = storage.view.dtype === null
    ? Math.floor(storage.view.count / DTYPE_BYTES[type])
    : storage.view.count;
  if (!isCount(offset) || !(view.offset + view.extent <= available)) {
    return fail(
      `a tensor [${shape.join(" ")}] with strides [${
        steps.join(" ")
      }] and offset ${offset} must fit its storage "${shorten(key)}" of ${available} elements`,
    );
  }
  if (!(view.sizeBytes <= fileBytes + EXPANSION_BYTES)) {
    return fail(
      `a tensor [${
        shape.join(" ")
      }] of ${type} must not be larger than its file, it takes ${view.sizeBytes} bytes of ${fileBytes}`,
    );
  }
  return view;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function counts(value: PyValue | undefined): number[] | null {
  const items = value instanceof PyTuple ? value.items : Array.isArray(value) ? value : null;
  return items !== null && items.length <= MAX_AXES && items.every(isCount) ? [...items] : null;
}

/** `("storage", class, key, device, elements[, window])`. */
function storageOf(id: PyValue, options: RulesOptions, fail: Context["fail"]): PyStorage | PyForeign {
  const [tag, type, key, , count, window] = id instanceof PyTuple ? id.items : [];
  // A class, with its source code in files of PyTorch's older form; or elements of a type without a name here.
  if ((tag === "module" || tag === "storage") && type instanceof PyForeign) return type;
  if (tag !== "storage" || !(type instanceof PyGlobal) || typeof key !== "string" || !isCount(count)) {
    return fail("a persistent id must describe a storage: a class, a key, a device and a number of elements");
  }
  const dtype = STORAGES.get(type.name);
  if (dtype === undefined) {
    return fail(`storage "${shorten(key)}" must be of a known class, current class is "${type.name}"`);
  }
  return new PyStorage(options.storage(key, { dtype, count, window }));
}
