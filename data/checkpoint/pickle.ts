/**
 * A pickle machine that builds plain data and nothing else (format: Python's Lib/pickletools.py). Its opcodes are a closed list,
 * and so are the globals that mean something to it. Any other global is refused by name or stands for itself, as its rules say:
 * what is made of such a one is a record of its name. Nothing that a pickle names is ever imported or called.
 *
 * Its memory is bounded by the limits below, whatever the bytes say: a length is compared with the bytes that are there
 * before anything is made of it. One file, because the closed list of opcodes is one table over one stack.
 */
import { DataError } from "../../lib/errors.ts";
import { OPCODE_NAMES, unescapeString, unescapeUnicode } from "./_pickle_opcodes.ts";
import { shorten } from "../../lib/text.ts";
import {
  PyDict,
  PyFloat,
  PyForeign,
  PyGlobal,
  type PyKey,
  PyObject,
  PyTuple,
  type PyValue,
} from "./pickle_values.ts";

/** A checkpoint's pickle names tensors and holds no data: ten thousand tensors take about 2 MiB. */
export const MAX_PICKLE_BYTES = 2 ** 25;
const MAX_STACK = 2 ** 20,
  MAX_MEMO = 2 ** 20,
  MAX_CONTAINERS = 2 ** 19,
  MAX_MARKS = 1000,
  MAX_LONG_BYTES = 64,
  MAX_NAME = 1024,
  MAX_KEY = 200,
  MAX_KEY_PARTS = 8;
const MAX_PROTOCOL = 5;

/** What a pickle may refer to. */
export interface PickleRules {
  /** The meaning of a global `module.name`; undefined: it is refused. */
  global(name: string): PyGlobal | PyForeign | undefined;
  /** The value that calling a known global would give; undefined: it may not be called. */
  reduce(callee: PyGlobal, args: readonly PyValue[]): PyValue | undefined;
  /** An empty object of a known global's class; undefined: it may not be made. */
  create(callee: PyGlobal, args: readonly PyValue[]): PyValue | undefined;
  /** The value of a persistent id. */
  persistent(id: PyValue): PyValue;
}

/** A pickle that goes on after the bytes at hand. */
export class TruncatedPickle extends DataError {}

/** Runs a pickle that starts at `offset`. Returns its value and the place after its STOP. */
export function readPickle(
  bytes: Uint8Array,
  options: { label: string; rules: PickleRules; offset?: number },
): { value: PyValue; end: number } {
  const machine = new PickleMachine(bytes, options.offset ?? 0, options);
  return { value: machine.run(), end: machine.position };
}

class PickleMachine {
  position: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #label: string;
  readonly #rules: PickleRules;
  #stack: PyValue[] = [];
  readonly #marks: PyValue[][] = [];
  readonly #memo = new Map<number, PyValue>();
  #stacked = 0;
  #containers = 0;

  constructor(bytes: Uint8Array, offset: number, options: { label: string; rules: PickleRules }) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = offset;
    this.#label = options.label;
    this.#rules = options.rules;
  }

  run(): PyValue {
    while (true) {
      const at = this.position, opcode = this.#byte();
      if (opcode === 0x2e) { // STOP
        const value = this.#pop();
        if (this.#stack.length > 0 || this.#marks.length > 0) {
          this.#fail("a pickle must leave one value on its stack");
        }
        return value;
      }
      this.#step(opcode, at);
    }
  }

  #step(opcode: number, at: number): void {
    switch (opcode) {
      case 0x80: { // PROTO
        const protocol = this.#byte();
        if (protocol > MAX_PROTOCOL) {
          this.#fail(`the pickle protocol must be at most ${MAX_PROTOCOL}, current value is ${protocol}`);
        }
        return;
      }
      case 0x95: // FRAME: a hint about reading ahead
        this.#take(8);
        return;
      case 0x28: // MARK
        if (this.#marks.length >= MAX_MARKS) this.#fail(`a pickle may nest at most ${MAX_MARKS} marks`);
        this.#marks.push(this.#stack);
        this.#stack = [];
        return;
      case 0x30: // POP
        if (this.#stack.length === 0) this.#popMark();
        else this.#pop();
        return;
      case 0x31: // POP_MARK
        this.#popMark();
        return;
      case 0x4e:
        return this.#push(null);
      case 0x88:
        return this.#push(true);
      case 0x89:
        return this.#push(false);
      case 0x4b:
        return this.#push(this.#byte());
      case 0x4d:
        return this.#push(this.#view.getUint16(this.#take(2), true));
      case 0x4a:
        return this.#push(this.#view.getInt32(this.#take(4), true));
      case 0x8a:
        return this.#push(this.#long(this.#byte()));
      case 0x8b:
        return this.#push(this.#long(this.#uint32()));
      case 0x47: // BINFLOAT is big-endian
        return this.#push(new PyFloat(this.#view.getFloat64(this.#take(8), false)));
      case 0x8c:
        return this.#push(this.#text(this.#byte()));
      case 0x58:
        return this.#push(this.#text(this.#uint32()));
      case 0x8d:
        return this.#push(this.#text(this.#uint64()));
      case 0x55: // SHORT_BINSTRING: a Python 2 string
        return this.#push(this.#text(this.#byte()));
      case 0x54:
        return this.#push(this.#text(this.#uint32()));
      case 0x53: // STRING and UNICODE: the text of protocol 0
        return this.#push(
          unescapeString(this.#line()) ?? this.#fail("a STRING of the pickle must be in quotes"),
        );
      case 0x56:
        return this.#push(unescapeUnicode(this.#lineBytes()));
      case 0x43:
        return this.#push(this.#blob(this.#byte()));
      case 0x42:
        return this.#push(this.#blob(this.#uint32()));
      case 0x8e:
      case 0x96: // BYTEARRAY8: an array's bytes in protocol 5
        return this.#push(this.#blob(this.#uint64()));
      case 0x29:
        return this.#push(this.#counted(new PyTuple([])));
      case 0x85:
        return this.#push(this.#counted(new PyTuple(this.#popSome(1))));
      case 0x86:
        return this.#push(this.#counted(new PyTuple(this.#popSome(2))));
      case 0x87:
        return this.#push(this.#counted(new PyTuple(this.#popSome(3))));
      case 0x74:
        return this.#push(this.#counted(new PyTuple(this.#popMark())));
      case 0x5d:
        return this.#push(this.#counted([]));
      case 0x8f: // EMPTY_SET: the order of a set means nothing, a list holds the same
        return this.#push(this.#counted([]));
      case 0x6c:
        return this.#push(this.#counted(this.#popMark()));
      case 0x91:
        return this.#push(this.#counted(this.#popMark()));
      case 0x7d:
        return this.#push(this.#counted(new PyDict(false)));
      case 0x64: { // DICT
        const items = this.#popMark();
        this.#push(this.#counted(new PyDict(false)));
        return this.#setItems(items);
      }
      case 0x61:
        return this.#append(this.#popSome(1), opcode);
      case 0x65:
      case 0x90:
        return this.#append(this.#popMark(), opcode);
      case 0x73:
        return this.#setItems(this.#popSome(2));
      case 0x75:
        return this.#setItems(this.#popMark());
      case 0x71:
        return this.#remember(this.#byte());
      case 0x72:
        return this.#remember(this.#uint32());
      case 0x70:
        return this.#remember(this.#decimal());
      case 0x94:
        return this.#remember(this.#memo.size);
      case 0x68:
        return this.#recall(this.#byte());
      case 0x6a:
        return this.#recall(this.#uint32());
      case 0x67:
        return this.#recall(this.#decimal());
      case 0x63: {
        const module = this.#line();
        return this.#global(module, this.#line());
      }
      case 0x93: {
        const [module, name] = this.#popSome(2);
        if (typeof module !== "string" || typeof name !== "string") {
          this.#fail("the name of a global must be text");
        }
        return this.#global(module as string, name as string);
      }
      case 0x52:
        return this.#call("reduce");
      case 0x81:
        return this.#call("create");
      case 0x62:
        return this.#build();
      case 0x51:
        return this.#push(this.#counted(this.#rules.persistent(this.#pop())));
      default:
        return this.#refuse(opcode, at);
    }
  }

  /** Opcodes that no checkpoint needs; those that would call something say what. */
  #refuse(opcode: number, at: number): never {
    const name = OPCODE_NAMES[opcode];
    if (name === undefined) {
      return this.#fail(
        `byte ${at} of the pickle must be an opcode, current value is 0x${opcode.toString(16)}`,
      );
    }
    const target = opcode === 0x69 ? ` of "${this.#line()}.${this.#line()}"` : "";
    return this.#fail(
      `the pickle uses ${name}${target}, which no state dict needs: refused, nothing was called`,
    );
  }

  #global(module: string, name: string): void {
    if (module.length + name.length > MAX_NAME) {
      this.#fail(`a global must have at most ${MAX_NAME} characters`);
    }
    const full = `${module}.${name}`;
    const known = this.#rules.global(full);
    if (known === undefined) {
      this.#fail(
        `the pickle refers to "${
          shorten(full)
        }", which is not on the list of what a state dict needs: refused, nothing was called`,
      );
    }
    this.#push(known!);
  }

  #call(how: "reduce" | "create"): void {
    const [callee, args] = this.#popSome(2);
    const isForeign = callee instanceof PyForeign;
    if (!isForeign && !(callee instanceof PyGlobal)) return this.#fail("only a named global may be called");
    if (!(args instanceof PyTuple)) {
      const name = isForeign ? callee.globalName : callee.name;
      return this.#fail(`the arguments of "${shorten(name)}" must be a tuple`);
    }
    if (isForeign) return this.#push(this.#counted(foreignObject(callee, args.items)));
    const value = this.#rules[how](callee, args.items);
    if (value === undefined) {
      return this.#fail(`"${shorten(callee.name)}" must not be called: refused, nothing was called`);
    }
    this.#push(this.#counted(value));
  }

  /** Sets attributes: kept for objects, dropped for dicts (`_metadata` of a state dict) and for what is foreign. */
  #build(): void {
    const [target, state] = this.#popSome(2);
    if (target instanceof PyForeign) return this.#push(target);
    if (target instanceof PyObject && state instanceof PyDict && target.attributes === null) {
      target.attributes = state;
    } else if (!(target instanceof PyDict && state instanceof PyDict)) {
      this.#fail("only an object or a dict may be given attributes, and they must be a dict");
    }
    this.#push(target);
  }

  #append(items: readonly PyValue[], opcode: number): void {
    const list = this.#stack.at(-1);
    if (list instanceof PyForeign) return;
    if (!Array.isArray(list)) return this.#fail(`${OPCODE_NAMES[opcode]} must find a list`);
    for (const item of items) list.push(item);
  }

  #setItems(items: readonly PyValue[]): void {
    const dict = this.#stack.at(-1);
    if (dict instanceof PyForeign) return;
    if (!(dict instanceof PyDict)) return this.#fail("items must be set in a dict");
    if (items.length % 2 !== 0) this.#fail("the items of a dict must come in pairs");
    for (let i = 0; i < items.length; i += 2) {
      dict.entries.set(keyOf(items[i], dict.entries.size), items[i + 1]);
    }
  }

  #remember(index: number): void {
    if (this.#stack.length === 0) this.#fail("a pickle must not remember what is not there");
    if (this.#memo.size >= MAX_MEMO) this.#fail(`a pickle may remember at most ${MAX_MEMO} values`);
    this.#memo.set(index, this.#stack.at(-1)!);
  }

  #recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) return this.#fail(`memo ${index} of the pickle must be set before it is used`);
    this.#push(value);
  }

  #push(value: PyValue): void {
    if (++this.#stacked > MAX_STACK) this.#fail(`the stack of a pickle may hold at most ${MAX_STACK} values`);
    this.#stack.push(value);
  }

  #counted<V extends PyValue>(value: V): V {
    if (++this.#containers > MAX_CONTAINERS) {
      this.#fail(`a pickle may make at most ${MAX_CONTAINERS} containers`);
    }
    return value;
  }

  #pop(): PyValue {
    return this.#popSome(1)[0];
  }

  #popSome(count: number): PyValue[] {
    if (this.#stack.length < count) this.#fail("the stack of the pickle must not run empty");
    this.#stacked -= count;
    return this.#stack.splice(this.#stack.length - count, count);
  }

  #popMark(): PyValue[] {
    const below = this.#marks.pop();
    if (below === undefined) return this.#fail("the pickle must set a mark before it uses one");
    const items = this.#stack;
    this.#stacked -= items.length;
    this.#stack = below;
    return items;
  }

  #byte(): number {
    return this.#bytes[this.#take(1)];
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #uint64(): number {
    return Number(this.#view.getBigUint64(this.#take(8), true));
  }

  /** Moves past `count` bytes and returns where they start. */
  #take(count: number): number {
    const at = this.position;
    if (!(count <= this.#bytes.length - at)) {
      throw new TruncatedPickle(
        `Cannot read "${this.#label}": the pickle must end in STOP, it goes on after byte ${this.#bytes.length}; the file is truncated or damaged`,
      );
    }
    this.position = at + count;
    return at;
  }

  #blob(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.slice(at, at + length);
  }

  #text(length: number): string {
    const at = this.#take(length);
    // Lone surrogates and Python 2 strings are not UTF-8; as names of tensors they are of no use, but they do no harm.
    return decoder.decode(this.#bytes.subarray(at, at + length));
  }

  /** A line of a text opcode. */
  #line(): string {
    return decoder.decode(this.#lineBytes());
  }

  #lineBytes(): Uint8Array {
    const end = this.#bytes.indexOf(0x0a, this.position);
    if (end < 0) this.#take(this.#bytes.length - this.position + 1);
    const at = this.position;
    this.position = end + 1;
    return this.#bytes.subarray(at, end);
  }

  /** The number of a memo, as text. */
  #decimal(): number {
    const digits = this.#line();
    return /^\d{1,9}$/.test(digits) ? Number(digits) : this.#fail("a memo of the pickle must have a number");
  }

  /** Little-endian two's complement. */
  #long(length: number): number | bigint {
    if (length > MAX_LONG_BYTES) {
      this.#fail(`a number may have at most ${MAX_LONG_BYTES} bytes, current value is ${length}`);
    }
    const at = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = value << 8n | BigInt(this.#bytes[at + i]);
    value = BigInt.asIntN(8 * length, value);
    return BigInt.asIntN(53, value) === value ? Number(value) : value;
  }

  #fail(what: string): never {
    throw new DataError(`Cannot read "${this.#label}": ${what}`);
  }
}

const decoder = new TextDecoder();

/** What calling a foreign global gives; Python's own rebuilding functions are given the class first. */
function foreignObject(callee: PyForeign, [first]: readonly PyValue[]): PyForeign {
  return /\._reconstruct(or)?$/.test(callee.globalName) && first instanceof PyForeign
    ? first
    : new PyForeign(callee.globalName);
}

/** A key of a dict: what is neither text nor a number is no name of a weight, and stands for itself by its place. */
function keyOf(value: PyValue, place: number): PyKey {
  if (value instanceof PyFloat) return value.value;
  if (isPlainKey(value)) return value;
  if (value instanceof PyForeign) return `${shorten(value.globalName, MAX_KEY)} ${place}`;
  const parts = value instanceof PyTuple && value.items.length <= MAX_KEY_PARTS ? value.items : [];
  return parts.length > 0 && parts.every(isPlainKey)
    ? `(${parts.map((part) => shorten(String(part), MAX_KEY)).join(", ")})`
    : `key ${place}`;
}

function isPlainKey(value: PyValue): value is PyKey {
  return value === null || typeof value !== "object";
}
