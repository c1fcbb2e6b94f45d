import assert from "node:assert/strict";
import { main } from "../../cli/main.ts";
import { defineCommand, parseArguments } from "../../cli/shared/args.ts";
import type { Io } from "../../cli/shared/output.ts";
import { type Verb, VERBS } from "../../cli/_verbs.ts";
import { AdapterError, DataError, InterruptedError } from "../../lib/errors.ts";

/** A tool with one verb, `work`, that does what a test says. */
async function runTool(
  args: string[],
  body: (io: Io) => void | Promise<void> = () => {},
  isTerminal = false,
  signal = new AbortController().signal,
) {
  const command = defineCommand({
    name: "work",
    summary: "Do work",
    usage: "[FILE]",
    positionals: { max: 1 },
    options: { hard: { type: "boolean", help: "work hard" } },
  });
  const verbs: Verb[] = [{
    name: "work",
    summary: "Do work",
    load: () =>
      Promise.resolve({
        command,
        async run(verbArgs: string[], io: Io) {
          parseArguments(command, verbArgs);
          await body(io);
          return 0;
        },
      }),
  }];
  let stdout = "", stderr = "";
  const streams = {
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    isTerminal,
    columns: () => 80,
  };
  const code = await main(args, { streams, signal, verbs });
  return { code, stdout, stderr };
}

const fail = (error: unknown) => () => {
  throw error;
};

Deno.test("help goes to stdout: of the tool, and of a verb in three spellings", async () => {
  for (const args of [[], ["--help"], ["-h"], ["help"]]) {
    const { code, stdout, stderr } = await runTool(args);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /work +Do work/);
  }
  for (const args of [["work", "--help"], ["help", "work"], ["work", "--wrong", "-h"]]) {
    const { code, stdout, stderr } = await runTool(args);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^Usage: sidenet work \[FILE\]/);
  }
});

Deno.test("--version prints the version of deno.json", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  assert.deepEqual(await runTool(["--version"]), { code: 0, stdout: `sidenet ${version}\n`, stderr: "" });
});

Deno.test("an unknown verb is exit code 2 and names the nearest", async () => {
  assert.deepEqual(await runTool(["wrok"]), {
    code: 2,
    stdout: "",
    stderr: 'sidenet: Cannot run "wrok": there is no such verb; the nearest known verb is "work"\n',
  });
  assert.match((await runTool(["quantize"])).stderr, /run "sidenet --help" for the list\n$/);
});

Deno.test("an error becomes one line on stderr and its own exit code", async () => {
  const cases: [unknown, number, string][] = [
    [new Error("Cannot do it"), 1, "Cannot do it"],
    [new AdapterError("no adapter"), 3, "no adapter"],
    [new DataError("Cannot read list:\n  line 3 is bad"), 4, "Cannot read list: line 3 is bad"],
    [new InterruptedError("Interrupted at step 7"), 130, "Interrupted at step 7"],
    [new DOMException("stopped", "AbortError"), 130, "stopped"],
    ["a bare string", 1, "a bare string"],
  ];
  for (const [error, code, line] of cases) {
    assert.deepEqual(await runTool(["work"], fail(error)), {
      code,
      stdout: "",
      stderr: `sidenet: ${line}\n`,
    });
  }
  const wrongFlag = await runTool(["work", "--hrad"]);
  assert.equal(wrongFlag.code, 2);
  assert.match(wrongFlag.stderr, /^sidenet: Cannot parse flag "--hrad": .*"--hard"\n$/);
});

Deno.test("--debug adds the stack and the causes", async () => {
  const error = new Error("outer", { cause: new TypeError("inner") });
  const { stderr } = await runTool(["work", "--debug"], fail(error));
  assert.match(stderr, /^sidenet: outer\nError: outer\n +at /);
  assert.match(stderr, /caused by TypeError: inner/);
});

Deno.test("with --json stdout holds JSON alone", async () => {
  const body = (io: Io) => {
    io.print("top-1 is 90 %");
    io.printJson({ top1: 0.9 });
    io.note("working");
  };
  assert.deepEqual(await runTool(["work"], body), {
    code: 0,
    stdout: "top-1 is 90 %\n",
    stderr: "working\n",
  });
  assert.deepEqual(await runTool(["work", "--json"], body), {
    code: 0,
    stdout: '{"top1":0.9}\n',
    stderr: "top-1 is 90 %\nworking\n",
  });
});

Deno.test("a status line is rewritten in place on a terminal and silent elsewhere", async () => {
  const body = (io: Io) => {
    io.status("10 %");
    io.status("20 %");
    io.note("done");
  };
  assert.equal((await runTool(["work"], body, true)).stderr, "\r\x1b[K10 %\r\x1b[K20 %\r\x1b[Kdone\n");
  assert.equal((await runTool(["work"], body, false)).stderr, "done\n");
});

for (const verb of VERBS) {
  Deno.test(`verb ${verb.name} has the name and summary of the table, and help for every flag`, async () => {
    const { command, run } = await verb.load();
    assert.equal(command.name, verb.name);
    assert.equal(command.summary, verb.summary);
    assert.equal(typeof run, "function");
    for (const [flag, { help }] of Object.entries(command.options)) {
      assert.match(flag, /^[a-z0-9]+(-[a-z0-9]+)*$/);
      assert.ok(help.length > 0 && !help.endsWith("."), `--${flag}: ${help}`);
    }
  });
}

Deno.test("an interrupted verb ends with 130 when it cannot be stopped, and with 0 when it is done all the same", async () => {
  const stop = new AbortController();
  const interrupt = () => stop.abort(new InterruptedError("Interrupted"));
  assert.equal((await runTool(["work"], interrupt, false, stop.signal)).code, 0);
  const again = new AbortController();
  const endless = () => {
    again.abort(new InterruptedError("Interrupted"));
    return new Promise<void>(() => {});
  };
  const { code, stderr } = await runTool(["work"], endless, false, again.signal);
  assert.deepEqual([code, stderr], [130, "sidenet: Interrupted\n"]);
});

Deno.test("help and messages name the program as it was called, so that their commands can be copied", async () => {
  let said = "";
  const add = (text: string) => void (said += text);
  const streams = { stdout: add, stderr: add, isTerminal: false, columns: () => 80 };
  const options = { streams, signal: new AbortController().signal, program: "./denow" };
  await main(["plan", "--help"], options);
  assert.match(said, /^Usage: \.\/denow plan CONFIG/);
  assert.match(said, /^ {2}\.\/denow plan configs\//m);
  said = "";
  await main(["--help"], options);
  assert.match(said, /^Usage: \.\/denow VERB(.*\n)*.*\.\/denow deno ARGUMENT/);
  said = "";
  await main(["plan", "--wrong"], options);
  assert.equal(
    said,
    'sidenet: Cannot parse flag "--wrong": plan has no such flag; see "./denow plan --help"\n',
  );
});
