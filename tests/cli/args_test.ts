import assert from "node:assert/strict";
import { defineCommand, helpOf, parseArguments } from "../../cli/shared/args.ts";

const COMMAND = defineCommand({
  name: "eval",
  summary: "Evaluate something",
  usage: "RUN [key=value …]",
  positionals: { min: 1, max: 2 },
  options: {
    "test-crops": { type: "integer", help: "crops", choices: [1, 3] },
    scale: { type: "number", help: "factor" },
    count: { type: "integer", help: "how many", min: 1 },
    config: { type: "string", short: "c", placeholder: "FILE", help: "recipe" },
    quick: { type: "boolean", help: "be quick" },
    label: { type: "string", multiple: true, help: "a label" },
  },
});

Deno.test("flags come typed, other arguments in order, and absent flags are absent", () => {
  const { values, positionals } = parseArguments(COMMAND, [
    "runs/x",
    "--test-crops",
    "3",
    "--scale=-1.5e-3",
    "-c",
    "a.yaml",
    "--label",
    "b",
    "--label=c=d",
    "solver.lr=1",
    "--json",
  ]);
  assert.deepEqual(positionals, ["runs/x", "solver.lr=1"]);
  const crops: number | undefined = values["test-crops"];
  assert.equal(crops, 3);
  assert.equal(values.scale, -1.5e-3);
  assert.equal(values.config, "a.yaml");
  assert.deepEqual(values.label, ["b", "c=d"]);
  assert.equal("quick" in values, false);
  assert.deepEqual(parseArguments(COMMAND, ["x"]).values.label, []);
});

Deno.test("a negative number may follow its flag after a space, and -- ends the flags", () => {
  const { values, positionals } = parseArguments(COMMAND, ["--scale", "-2", "--", "--quick"]);
  assert.equal(values.scale, -2);
  assert.equal(values.quick, undefined);
  assert.deepEqual(positionals, ["--quick"]);
});

Deno.test("a negative number that follows no flag is an argument, as the value of a key", () => {
  const { values, positionals } = parseArguments(COMMAND, ["TRAIN.SEED", "-12", "--label", "-.5"]);
  assert.deepEqual(positionals, ["TRAIN.SEED", "-12"]);
  assert.deepEqual(values.label, ["-.5"]);
});

const WRONG: [situation: string, args: string[], message: RegExp][] = [
  [
    "an unknown flag near a known one",
    ["x", "--test-crop", "3"],
    /flag "--test-crop": .* nearest known flag is "--test-crops"$/,
  ],
  [
    "an unknown flag far from all",
    ["x", "--zzzzzzzz"],
    /flag "--zzzzzzzz": eval has no such flag; see "sidenet eval --help"$/,
  ],
  ["an unknown short flag", ["x", "-q"], /flag "-q": eval has no such flag/],
  [
    "text for a number",
    ["x", "--scale", "fast"],
    /flag "--scale": expected a number, current value is "fast"$/,
  ],
  [
    "a fraction for a whole number",
    ["x", "--count", "1.5"],
    /expected a whole number, current value is "1\.5"$/,
  ],
  ["a number below the least", ["x", "--count=0"], /expected at least 1, current value is "0"$/],
  ["a value outside the choices", ["x", "--test-crops", "2"], /expected one of 1, 3, current value is "2"$/],
  ["a missing value", ["x", "--config"], /flag "--config": expected a value, current value is missing$/],
  [
    "a value for a switch",
    ["x", "--quick=yes"],
    /flag "--quick": expected no value, current value is "yes"$/,
  ],
  [
    "too few arguments",
    [],
    /Cannot run "sidenet eval": expected RUN \[key=value …\], current value is no argument$/,
  ],
  ["too many arguments", ["a", "b", "c"], /there is no place for the argument "c"$/],
];

for (const [situation, args, message] of WRONG) {
  Deno.test(`${situation} is one line with exit code 2`, () => {
    assert.throws(() => parseArguments(COMMAND, args), (error: Error & { exitCode?: number }) => {
      assert.match(error.message, message);
      assert.equal(error.exitCode, 2);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  });
}

Deno.test("the help names every flag with its placeholder, choices and help, and the common flags", () => {
  const help = helpOf(COMMAND);
  assert.match(help, /^Usage: sidenet eval RUN/);
  assert.match(help, /-c, --config FILE +recipe/);
  assert.match(help, /--test-crops INTEGER +crops \(1, 3\)/);
  assert.match(help, /--label STRING +a label; may be repeated/);
  for (const common of ["-h, --help", "--json", "--debug"]) assert.ok(help.includes(common), common);
});
