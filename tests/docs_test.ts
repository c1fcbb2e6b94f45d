/** Every command that a document tells people to type is one that the tool takes: verb, flags, values, keys and paths. `docs_runs_test.ts` runs them. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };
import { VERBS } from "../cli/_verbs.ts";
import { COMMON_OPTIONS, parseArguments } from "../cli/shared/args.ts";
import { splitAssignments } from "../cli/shared/overrides.ts";
import { loadConfig } from "../train/recipe/config.ts";
import { readRecipes } from "../tools/recipes_page.ts";
import { readTexts } from "../tools/sources.ts";
import { inDistProject } from "./_util/dist_project.ts";
import { commandsOfPage, type DocCommand, docCommands, placeOf, shellWords } from "./_util/doc_commands.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const COMMANDS = await docCommands();
const RECIPES = (await readRecipes()).map(({ file }) => file);

/** What stands for a verb or a task in general. */
const ANY = ["VERB", "NAME", "…"];
/** The authors' own recipes, which a checkout of theirs holds; here the tests write them. */
const OF_A_CHECKOUT = "configs/projects/";

/** Fails, in words, where the tool would not take a command. @param checkout A folder that stands for the authors'. */
async function check(
  { args: [first, ...rest], isInline }: Pick<DocCommand, "args" | "isInline">,
  checkout: string,
): Promise<void> {
  if (ANY.includes(first) || first === "deno" || ["fmt", "lint", "run"].includes(first)) return;
  const task = first === "task" ? rest[0] : ["test", "ok"].includes(first) ? first : null;
  if (task === "sidenet" && rest.length > 1) {
    return await check({ args: rest.slice(1), isInline }, checkout);
  }
  if (task !== null) {
    assert.ok(ANY.includes(task) || task in manifest.tasks, `there is no task "${task}"`);
    return;
  }
  if (first.startsWith("-")) {
    assert.ok(["--help", "--version", "-h", "-V"].includes(first), `there is no flag "${first}"`);
    return;
  }
  const verb = VERBS.find(({ name }) => name === first);
  assert.ok(verb, `there is no verb "${first}"`);
  // In a sentence a verb may stand alone.
  if (isInline && rest.length === 0) return;
  const { command } = await verb.load(), { values, positionals } = parseArguments(command, rest);
  if (command.words !== undefined && !/[|…]/.test(positionals[0] ?? "")) {
    assert.ok(
      command.words.includes(positionals[0]),
      `the first argument must be one of ${command.words.join(", ")}`,
    );
  }
  for (const path of [...positionals, ...Object.values(values)].flat().map(String)) {
    if (!/^(configs|docs|tests)\//.test(path) || path.includes("…") || path.includes("=")) continue;
    // Of a pattern, the folder it begins with.
    const [folder] = path.split(/\/[^/]*\*/);
    const at = path.startsWith(OF_A_CHECKOUT) ? `${checkout}/${path}` : ROOT + folder;
    assert.ok(existsSync(at), `there is no file "${path}"`);
  }
  const { overrides, others } = splitAssignments(positionals);
  const given = overrides.filter((one) => !/^key=value|…$/.test(one));
  if (given.length === 0) return;
  assert.match(command.usage, /key=value/, `${first} takes no keys of a recipe`);
  await loadConfig(recipeFor([values as Record<string, unknown>, others], checkout), given);
}

/** The recipe that keys belong to: the one that is named, that of a run of this name, or that for a folder. */
function recipeFor([values, others]: [Record<string, unknown>, string[]], checkout: string): string {
  const named = [...others, String(values.config ?? "")].find((path) => /^configs\/.*\.yaml$/.test(path));
  if (named?.startsWith(OF_A_CHECKOUT)) return `${checkout}/${named}`;
  const run = /^runs\/(\w+)$/.exec(others[0] ?? "")?.[1];
  return ROOT + (named ?? RECIPES.find((file) => file.endsWith(`/${run}.yaml`)) ?? "configs/own_videos.yaml");
}

async function failuresOf(commands: readonly DocCommand[]): Promise<string[]> {
  const failures: string[] = [];
  await inDistProject(async (checkout) => {
    for (const command of commands) {
      await check(command, checkout).catch(({ message }) =>
        failures.push(`${placeOf(command)}\n    ${message}`)
      );
    }
  });
  return failures;
}

Deno.test("every command in the documents is one that the tool takes", async () => {
  assert.ok(COMMANDS.length > 100, `${COMMANDS.length} commands`);
  assert.ok(COMMANDS.some(({ file }) => file === "docs/tutorial.md"));
  const failures = await failuresOf(COMMANDS);
  assert.deepEqual(failures, [], failures.join("\n"));
});

Deno.test("a slip in a document is named with its file and line, whatever it is in", async () => {
  const slips: [string, RegExp][] = [
    ["./denow trian videos", /there is no verb "trian"/],
    ["./denow train videos --tinny", /the nearest known flag is "--tiny"/],
    ["./denow eval runs/demo --test-crops many", /expected a whole number/],
    ["./denow train videos solver.epoch=3", /"solver\.epoch" is not known/],
    ["./denow train configs/side4video/ssv2_vitb16_f8.yaml solver.lr=fast", /must be a number/],
    ["./denow plan configs/side4vidoe/ssv2_vitb16_f8.yaml", /there is no file/],
    ["./denow explain runs/demo", /expected RUN\|CHECKPOINT CLIP/],
    ["./denow card RUN --licence mit", /"--license"/],
    ["./denow completions tcsh", /must be one of bash, zsh, fish/],
    ["./denow bench laoder", /must be one of matmul/],
    ["./denow task docs:configs", /there is no task/],
    ["./denow task sidenet predict RUN clip.mp4 --windows 4", /"--window"/],
    ["./denow compare runs/* data.root=x", /compare takes no keys/],
  ];
  for (const [line, message] of slips) {
    const found = await failuresOf(commandsOfPage("docs/x.md", "Text\n\n```\n" + line + "\n```\n"));
    assert.equal(found.length, 1, line);
    assert.ok(found[0].startsWith(`docs/x.md:4: ${line}`), found[0]);
    assert.match(found[0], message);
  }
});

Deno.test("commands are found in blocks, in sentences, over line ends and within other commands", () => {
  const page = [
    "Take `./denow eval RUN", // goes over the line
    "--top 3` or `denow` or `sidenet explain RUN CLIP`, not `train`.",
    "```sh",
    "SIDENET_GPU=off ./denow train a.yaml \\",
    '  "data.root=my clips"   # a remark',
    "./denow check a | less",
    'eval "$(./denow completions bash)"',
    "mpiexec -n 2 ./denow train b > log",
    "sidenet: a line of output",
    "```",
  ].join("\n");
  assert.deepEqual(commandsOfPage("x.md", page).map(({ line, args }) => [line, ...args]), [
    [1, "eval", "RUN", "--top", "3"],
    [2, "explain", "RUN", "CLIP"],
    [4, "train", "a.yaml", "data.root=my clips"],
    [6, "check", "a"],
    [7, "completions", "bash"],
    [8, "train", "b"],
  ]);
  assert.deepEqual(shellWords(`a 'b c'"d" e\\ f #g`), ["a", "b cd", "e f"]);
});

Deno.test("the README's table has every verb once, with flags that it has", async () => {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const rows = [...readme.matchAll(/^\| `([a-z]+)(?: [^`]*)?` +\| (.*)$/gm)].map(([row, name]) => ({
    name,
    row,
  }));
  const table = rows.filter(({ name }) => VERBS.some((verb) => verb.name === name));
  const names = table.map(({ name }) => name);
  for (const { name } of VERBS) assert.ok(names.includes(name), `README.md has no row for ${name}`);
  for (const { name, row } of table) {
    const { command } = await VERBS.find((verb) => verb.name === name)!.load();
    for (const [, flag] of row.matchAll(/--([a-z-]+)/g)) {
      assert.ok(
        flag in { ...command.options, ...COMMON_OPTIONS },
        `README.md: ${name} has no flag --${flag}`,
      );
    }
  }
});

Deno.test("the examples in the help of verbs are commands that the tool takes", async () => {
  const commands: DocCommand[] = [];
  for (const { name, load } of VERBS) {
    for (const [line] of (await load()).command.examples ?? []) {
      commands.push(...commandsOfPage(`${name} --help`, "```\n" + line + "\n```"));
    }
  }
  assert.ok(commands.length > 40, `${commands.length}`);
  const failures = await failuresOf(commands);
  assert.deepEqual(failures, [], failures.join("\n"));
});

Deno.test("what the documents link to and picture is there", async () => {
  const pages = await readTexts(new URL("../", import.meta.url), {
    folders: ["docs", "configs"],
    endings: [".md"],
  });
  pages.push({ file: "README.md", text: await Deno.readTextFile(`${ROOT}README.md`) });
  const broken = pages.flatMap(({ file, text }) =>
    [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map(([, target]) => ({ file, target }))
  ).filter(({ file, target }) => !/^[a-z]+:/.test(target) && !existsSync(join(ROOT, dirname(file), target)));
  assert.deepEqual(broken, []);
});
