/**
 * What lies beside the weights of training checkpoints: objects become records of their globals' names, whatever their classes
 * would do; those that reach the machine are refused by name.
 */
import assert from "node:assert/strict";
import { openCheckpointFile, selectWeights } from "../../../data/checkpoint/open.ts";
import { DataError } from "../../../lib/errors.ts";
import { archiveOf } from "../../_util/checkpoint_fuzz.ts";
import { memorySource } from "../../_util/memory_source.ts";
import { call, dict, global, storage, tensor, textOf, THREE, tuple } from "../../_util/pickle_pieces.ts";

async function open(pickle: number[], isScript = false) {
  const bytes = await archiveOf(Uint8Array.from([0x80, 2, ...pickle, 0x2e]), isScript);
  return await openCheckpointFile(memorySource(bytes), { label: "x.pt" });
}

const BUILD = 0x62, NEWOBJ = 0x81, APPEND = 0x61, EMPTY_TUPLE = 0x29;
/** A made object with attributes. */
const object = (name: string, state = dict()) => [...global(name), EMPTY_TUPLE, NEWOBJ, ...state, BUILD];

const RECORDS: [what: string, value: number[], name: string][] = [
  ["an object with attributes", object("argparse.Namespace", dict(["lr", [0x4b, 1]])), "argparse.Namespace"],
  ["the result of a call", call("pathlib.PosixPath", textOf("/"), textOf("x")), "pathlib.PosixPath"],
  ["a class", global("torch.optim.sgd.SGD"), "torch.optim.sgd.SGD"],
  ["an object of a package of one's own", object("code.config.Config"), "code.config.Config"],
  ["a member of an enumeration", call("builtins.getattr", global("my.Mode"), textOf("A")), "my.Mode.A"],
  [
    "a method of an object",
    call("__builtin__.getattr", object("my.Scheduler"), textOf("step")),
    "my.Scheduler.step",
  ],
  ["the class of None", call("builtins.type", [0x4e]), "builtins.type"],
  ["a built-in class", global("builtins.dict"), "builtins.dict"],
  [
    "an array, whose class is what its rebuilding is told",
    [
      ...call(
        "numpy.core.multiarray._reconstruct",
        global("numpy.ndarray"),
        [...tuple([0x4b, 0])],
        textOf("b"),
      ),
      ...tuple([0x4b, 1], tuple([0x4b, 3]), call("numpy.dtype", textOf("i8"))),
      BUILD,
    ],
    "numpy.ndarray",
  ],
  [
    "an object of an older protocol",
    call("copyreg._reconstructor", global("easydict.EasyDict"), global("builtins.object"), [0x4e]),
    "easydict.EasyDict",
  ],
  ["a list of a class of its own", [...object("my.List"), 0x4b, 1, APPEND], "my.List"],
  ["a dict of a class of its own", [...object("my.Dict"), ...textOf("a"), 0x4b, 1, 0x73], "my.Dict"],
  ["the call of an object", call(object("functools.partial"), [0x4b, 1]), "functools.partial"],
  [
    "a sparse tensor",
    call(
      "torch._utils._rebuild_sparse_tensor",
      call("torch.serialization._get_layout", textOf("torch.sparse_coo")),
      THREE,
    ),
    "torch._utils._rebuild_sparse_tensor",
  ],
  [
    "a quantised tensor",
    call("torch._utils._rebuild_qtensor", storage({ type: "torch.QInt8Storage" }), [0x4b, 0]),
    "torch._utils._rebuild_qtensor",
  ],
  [
    "a tensor of elements without a name here",
    tensor({ type: "torch.Float3Storage", shape: [3n], strides: [1n] }),
    "torch.Float3Storage",
  ],
  [
    "a tensor of a class whose rebuilding is its own",
    call("torch._tensor._rebuild_from_type_v2", global("my._rebuild"), global("my.Tensor"), tuple(THREE), [
      0x7d,
    ]),
    "my.Tensor",
  ],
];

for (const [what, value, name] of RECORDS) {
  Deno.test(`${what} becomes a record of its name, and the weights beside it are read`, async () => {
    const file = await open(dict(["w", THREE], ["other", value]));
    assert.deepEqual(file.names(), ["w"]);
    assert.deepEqual([...file.foreign], [["other", name]]);
    assert.deepEqual([...file.values], []);
    assert.equal((await file.readRaw("w")).length, 12);
  });
}

Deno.test("a defaultdict holds what it holds, and a tensor of a class is the tensor", async () => {
  const state = [...call("collections.defaultdict", global("builtins.dict")), ...textOf("m"), ...THREE, 0x73];
  const typed = call(
    "torch._tensor._rebuild_from_type_v2",
    global("torch._utils._rebuild_tensor_v2"),
    global("my.Tensor"),
    tuple(storage(), [0x4b, 0], tuple([0x4b, 3]), tuple([0x4b, 1]), [0x89], [0x7d]),
    [0x7d],
  );
  const file = await open(dict(["state", state], ["typed", typed]));
  assert.deepEqual(file.names(), ["state/m", "typed"]);
});

Deno.test("complex numbers keep their bytes and have no f32", async () => {
  const pickle = dict([
    "c",
    tensor({ type: "torch.ComplexFloatStorage", count: 1n, shape: [1n], strides: [1n] }),
  ]);
  const file = await open(pickle), weights = selectWeights(file);
  assert.deepEqual(file.describe("c"), { dtype: "C64", shape: [1], sizeBytes: 8 });
  assert.equal((await file.readRaw("c")).length, 8);
  assert.equal(weights.converts("c"), false);
  await assert.rejects(
    weights.readF32("c"),
    /tensor "c" must have a dtype that converts to F32, current value is C64/,
  );
});

Deno.test("keys of dicts may be tuples and classes", async () => {
  const keys = dict([tuple([0x4b, 1], textOf("a")), [0x4b, 5]], [global("my.Key"), [0x4b, 6]]);
  const file = await open(dict(["w", THREE], ["by", keys]));
  assert.deepEqual([...file.values], [["by/(1, a)", 5], ["by/my.Key 1", 6]]);
  const long = tuple(...Array.from({ length: 8 }, () => textOf("x".repeat(5000))));
  const [path] = (await open(dict(["w", THREE], ["by", dict([long, [0x4b, 5]])]))).values.keys();
  assert.ok(path.length < 2000);
});

const REACH_OUT = [
  "os.system",
  "posix.system",
  "nt.system",
  "subprocess.Popen",
  "builtins.eval",
  "builtins.exec",
  "builtins.__import__",
  "__builtin__.compile",
  "runpy._run_code",
  "importlib.import_module",
  "socket.create_connection",
  "urllib.request.urlopen",
  "shutil.rmtree",
  "functools.reduce",
  "operator.attrgetter",
  "ctypes.CDLL",
  "pickle.loads",
  "_pickle.loads",
  "marshal.loads",
  "types.CodeType",
  "webbrowser.open",
  "multiprocessing.util.spawnv_passfds",
  "torch.load",
  "torch.hub.load",
  "torch.jit.load",
  "torch.storage._load_from_bytes",
  "torch.utils.cpp_extension.load_inline",
  "numpy.load",
  "code.interact",
  "commands.getoutput",
  "numpy.testing._private.utils.runstring",
];

Deno.test("globals that reach the machine are refused by name, called or not, beside whatever weights", async () => {
  for (const name of REACH_OUT) {
    for (const value of [global(name), call(name, textOf("touch /tmp/x")), object(name)]) {
      await assert.rejects(
        open(dict(["w", THREE], ["other", value])),
        (error) =>
          error instanceof DataError &&
          error.message ===
            `Cannot read "x.pt": the pickle refers to "${name}", which is not on the list of what a state dict needs: ` +
              "refused, nothing was called",
        name,
      );
    }
  }
});

const getattr = (...args: number[][]) => dict(["w", THREE], ["o", call("builtins.getattr", ...args)]);

const STILL_REFUSED: [what: string, pickle: number[], message: RegExp, isScript?: boolean][] = [
  [
    "a member of a dict",
    getattr(dict(["a", THREE]), textOf("get")),
    /"builtins\.getattr" must not be called: refused/,
  ],
  [
    "a member of a built-in class",
    getattr(global("builtins.dict"), textOf("get")),
    /"builtins\.getattr" must not be called/,
  ],
  [
    "a member of what reaches the machine",
    getattr(call("builtins.getattr", global("numpy.core"), textOf("os")), textOf("system")),
    /"builtins\.getattr" must not be called/,
  ],
  [
    "a module within another",
    dict(["w", THREE], ["o", global("numpy.os.system")]),
    /refers to "numpy\.os\.system"/,
  ],
  [
    "a class that it makes",
    dict(["w", THREE], ["o", call("builtins.type", textOf("A"), tuple(), dict())]),
    /"builtins\.type" must not be called/,
  ],
  [
    "an object of a TorchScript archive",
    dict(["w", THREE], ["o", object("argparse.Namespace")]),
    /"argparse\.Namespace", which is not on the list/,
    true,
  ],
  [
    "nothing but objects",
    dict(["model", object("my.Model", dict(["w", THREE]))]),
    /under "model" it holds an object of "my\.Model": save the state_dict\(\)/,
  ],
  ["a whole model", object("my.Model", dict(["w", THREE])), /it is an object of "my\.Model"/],
  [
    "a call of a foreign global without a tuple",
    dict(["w", THREE], ["o", [...global("my.f"), 0x4e, 0x52]]),
    /arguments of "my\.f" must be a tuple/,
  ],
  [
    "a defaultdict that starts full",
    dict(["o", call("collections.defaultdict", [0x4e], dict(["w", THREE]))]),
    /a defaultdict must start empty/,
  ],
  [
    "a name of 2 MB",
    dict(["n".repeat(2e6), THREE]),
    /a name may have at most 1024 characters, "n{80}…" has 2000000$/,
  ],
  [
    "the name of a global of 3 MB",
    dict(["w", THREE], ["o", global(`my.${"n".repeat(3e6)}`)]),
    /a global must have at most 1024 characters$/,
  ],
];

for (const [what, pickle, message, isScript] of STILL_REFUSED) {
  Deno.test(`a pickle with ${what} is refused`, async () => {
    const start = performance.now();
    await assert.rejects(open(pickle, isScript), (error) => {
      assert.ok(error instanceof DataError, String(error));
      assert.match(error.message, message);
      assert.ok(error.message.length < 400);
      return true;
    });
    assert.ok(performance.now() - start < 8000);
  });
}
