/** Recipes that were written to harm, or by a slip of the hand: refused by name, whatever they hold, before anything is planned. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ConfigError } from "../../../lib/errors.ts";
import { configFrom, loadConfig, parseConfig } from "../../../train/recipe/config.ts";
import { recipeSchema } from "../../../train/recipe/schema.ts";

const BASE = "data: {num_classes: 3}\n";

/** The error of a recipe's text. */
function refusal(text: string, overrides: string[] = []): string {
  try {
    parseConfig(text, { source: "x.yaml", overrides });
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.ok(error.message.length < 500 && !error.message.includes("\n"), error.message.slice(0, 500));
    return error.message;
  }
  return "";
}

/** Each anchor holds nine of the one before: 9^10 values. */
const BILLION = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"].concat(
  Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(", ")}]`),
).join("\n");

const HOSTILE: Record<string, [text: string, words: RegExp]> = {
  "an alias bomb": [BILLION, /it must have (few aliases|at most 10000 values)/],
  "an anchor that holds itself": ["data: &a {x: *a}", /nested at most 32 deep|few aliases/],
  "an anchor that holds itself in a list": ["data: &a [*a, *a]", /nested at most 32 deep|few aliases/],
  "a hundred mappings deep": [
    Array.from({ length: 100 }, (_, i) => " ".repeat(i) + "a:").join("\n"),
    /nested at most 32 deep/,
  ],
  "a thousand lists deep": ["a: " + "[".repeat(1000) + "]".repeat(1000), /nested at most 32 deep/],
  // The parser takes minutes to name such keys.
  "five hundred keys inside keys": ["? ".repeat(500), /nested at most 32 deep|plain keys/],
  "a list for a key": ["? [a, b]\n: 1", /plain keys/],
  "700,000 keys": [
    Array.from({ length: 700_000 }, (_, i) => `k${i}: 1`).join("\n"),
    /at most 32768 characters/,
  ],
  "5,000 keys": [Array.from({ length: 5000 }, (_, i) => `${i}:`).join("\n"), /is not known/],
  "a key of 1,000 letters": ["x".repeat(1000) + ": 1", /key "x+…" is not known/],
  "a value of 30,000 letters": [`memory: ${"x".repeat(30_000)}`, /memory must be one of .*x…/],
  "a list of a thousand values": [
    `data: {num_segments: [${Array(1000).fill(1)}]}`,
    /current value is \[1,1,.*…/,
  ],
  "a key given twice": ["seed: 1\nseed: 2", /must be unique at line 2, column 1/],
  "quotes without end": ['"'.repeat(32_000), /Missing|Unexpected|quote/i],
};

for (const [name, [text, words]] of Object.entries(HOSTILE)) {
  Deno.test(`a recipe is refused with its file's name: ${name}`, () => {
    const message = refusal(text);
    assert.match(message, /^Cannot read config "x\.yaml": /);
    assert.match(message, words);
  });
}

Deno.test("an argument is held to the same bounds, and named in a short form", () => {
  const message = refusal(BASE, [`data.resize=${"[".repeat(500)}${"]".repeat(500)}`]);
  assert.match(message, /^Cannot use argument "data\.resize=\[+…": it must be nested at most 32 deep/);
  assert.match(refusal(BASE, [`data.resize=&a [*a]`]), /^Cannot use argument ".*": it must/);
});

Deno.test("a recipe inside a checkpoint is held to the same bounds", () => {
  const of = (value: unknown) => configFrom(value, { source: "a.safetensors", overrides: [] });
  let deep: unknown = 1;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  for (const value of [deep, { data: deep }, Array(20_000).fill(1), { data: Array(20_000).fill(1) }]) {
    assert.throws(() => of(value), {
      name: "ConfigError",
      message: /^Cannot read config "a\.safetensors": it must/,
    });
  }
  for (const value of [null, 3, "text", []]) {
    assert.throws(() => of(value), { name: "ConfigError", message: /must be a mapping of keys/ });
  }
  const { config } = parseConfig(BASE, { source: "a.yaml" });
  assert.deepEqual(
    configFrom(JSON.parse(JSON.stringify(config)), { source: "b", overrides: [] }).config,
    config,
  );
});

Deno.test("a number that is not finite is shown as one, and an argument on one line", () => {
  for (const [text, name] of [[".nan", "NaN"], ["1e999", "Infinity"], ["-.inf", "-Infinity"]]) {
    assert.match(
      refusal(BASE, [`solver.lr=${text}`]),
      new RegExp(`solver\\.lr must be a number, current value is ${name}$`),
    );
  }
  assert.match(refusal("data: {num_classes: [.nan]}\n"), /current value is \["NaN"\]$/);
  assert.match(refusal(BASE, ["system=\n\0"]), /^Cannot use argument "system=\\u000a\\u0000": /);
});

Deno.test("no key takes a number that nobody needs", () => {
  // Any seed is as good as another, a factor may be of any size, and epochs that never come may be left out.
  const unbounded = ["seed", "data.synth.seed", "data.synth.speed", "data.synth.radius", "network.sme_scale"];
  unbounded.push("logging.skip_epoch", "solver.clip_grad_norm", "solver.lr");
  const taken = recipeSchema().keys.map(({ name }) => name).filter((name) =>
    ["10000000000", "[10000000000, 10000000000]"].some((value) => {
      const message = refusal(BASE, [`${name}=${value}`]);
      return message === "" || !/must|is not known/.test(message);
    })
  );
  assert.deepEqual(taken.filter((name) => !unbounded.includes(name)), []);
});

Deno.test("whatever a key is set to, the recipe is read or refused as a recipe", () => {
  const keys = recipeSchema().keys.map(({ name }) => name);
  const value = fc.oneof(
    fc.constantFrom(
      "1e308",
      "-1e308",
      ".inf",
      "-.inf",
      ".nan",
      "9007199254740993",
      "-1",
      "0",
      "0.5",
      "1e999",
      "{}",
    ),
    fc.constantFrom(
      "[]",
      "null",
      "[[[]]]",
      "!!binary aGk=",
      "!!set {a}",
      "2026-11-28",
      "0x7fffffff",
      "*x",
      "&x 1",
    ),
    fc.integer().map(String),
    fc.double().map(String),
    fc.string({ unit: "binary", maxLength: 30 }),
  );
  fc.assert(fc.property(fc.constantFrom(...keys), value, (key, text) => {
    refusal(BASE, [`${key}=${text}`]);
  }));
});

Deno.test("whatever a file holds, it is read or refused as a recipe", () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "data:",
      "solver: ",
      "- ",
      "? ",
      ": ",
      "&a ",
      "*a",
      "[",
      "]",
      "{",
      "}",
      "\n",
      "  ",
      "'",
      '"',
    ),
    fc.constantFrom(
      "!!str ",
      "%YAML 1.1\n",
      "---\n",
      "<<: ",
      "__proto__: ",
      "constructor: ",
      "|\n",
      "#",
      ",",
    ),
    fc.string({ unit: "binary", maxLength: 8 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      refusal(pieces.join(""));
    }),
    { numRuns: 300 },
  );
});

Deno.test("no more of a file is read than a recipe has, and a pipe is not waited for", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-" });
  try {
    const large = `${folder}/large.yaml`;
    await Deno.writeTextFile(large, "a");
    await Deno.truncate(large, 2 ** 33); // takes no place on the disk
    await assert.rejects(loadConfig(large), {
      name: "ConfigError",
      message: `Cannot read config "${large}": it must be a recipe of at most 32768 bytes, the file has more`,
    });
    const pipe = `${folder}/pipe.yaml`;
    if (Deno.build.os !== "windows") {
      assert.ok((await new Deno.Command("mkfifo", { args: [pipe] }).output()).success);
      await assert.rejects(loadConfig(pipe), {
        name: "ConfigError",
        message: /it must be a file, current value is a pipe$/,
      });
    }
    await assert.rejects(loadConfig("/dev/zero"), {
      name: "ConfigError",
      message: /current value is a device$/,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
