/**
 * Globals that a checkpoint is refused for: those through which a hostile pickle reaches the machine. Nothing is ever called,
 * whatever its name; but a file that names one of these was made to do harm, and who opens it should know.
 */

/** Modules, with all that they hold, that run code or reach files, processes and the network. */
const MODULES: ReadonlySet<string> = new Set(
  ("_io _pickle _posixsubprocess _thread ast asyncio atexit bdb cProfile cloudpickle codeop compileall concurrent " +
    "ctypes dill dis distutils doctest ensurepip fileinput ftplib functools gc glob http httplib idlelib imaplib imp importlib " +
    "inspect io joblib lib2to3 linecache mailbox marshal mmap modulefinder multiprocessing nntplib nt ntpath operator os pdb " +
    "pickle pickletools pip pkg_resources pkgutil poplib popen2 posix posixpath pty py_compile pydoc requests " +
    "runpy select selectors setuptools shelve shlex shutil signal site smtplib socket socketserver sqlite3 ssl subprocess sys " +
    "tarfile telnetlib tempfile threading timeit types urllib urllib2 urllib3 venv webbrowser winreg xmlrpc zipapp zipfile " +
    "zipimport numpy.testing numpy.f2py numpy.distutils torch.hub torch.jit torch.package torch._inductor torch._dynamo " +
    "torch.utils.cpp_extension torch.utils.bottleneck torch.distributed.rpc torch.serialization").split(" "),
);

/** Single functions: their modules hold harmless things besides, or share their names with people's own. */
const FUNCTIONS: ReadonlySet<string> = new Set(
  ("code.interact code.InteractiveInterpreter code.InteractiveConsole code.compile_command commands.getoutput " +
    "commands.getstatusoutput platform.popen profile.run profile.runctx profile.Profile trace.Trace " +
    "numpy.load numpy.fromfile numpy.loadtxt numpy.genfromtxt numpy.save numpy.savetxt torch.load torch.save torch.compile " +
    "_operator.attrgetter _operator.itemgetter _operator.methodcaller _operator.call torch.storage._load_from_bytes pandas.read_pickle pandas.eval")
    .split(" "),
);

/** Modules of the first list that are reached through any other as well: `numpy.os`. */
const ANYWHERE: ReadonlySet<string> = new Set(
  "os sys posix nt subprocess builtins __builtin__ ctypes importlib runpy shutil socket pty".split(" "),
);

/** What modules of the first list, or the built-in functions, hold that is plain data. */
const HARMLESS: ReadonlySet<string> = new Set(
  ("functools.partial types.SimpleNamespace torch.serialization._get_layout " +
    ["__builtin__", "builtins"].flatMap((module) =>
      "Ellipsis NotImplemented bool bytearray bytes complex dict float frozenset int list long object range slice str tuple unicode xrange"
        .split(" ")
        .map((name) => `${module}.${name}`)
    ).join(" ")).split(" "),
);

/** Whether a file is refused for naming a global, `module.name`. */
export function isRefusedGlobal(name: string): boolean {
  if (HARMLESS.has(name)) return false;
  if (FUNCTIONS.has(name) || /^(builtins|__builtin__)\./.test(name)) return true;
  const parts = name.split(".");
  return parts.slice(1, -1).some((part) => ANYWHERE.has(part)) ||
    parts.some((_, i) => MODULES.has(parts.slice(0, i + 1).join(".")));
}
