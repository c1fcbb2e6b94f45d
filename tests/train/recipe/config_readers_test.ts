/**
 * Every key of the config must have a help text, and must be read somewhere, as `section.key` (`solver.lr`, `config.memory`)
 * or taken out of its section by name (`{ lr } = config.solver`): a key that nothing reads is a promise that nothing keeps. The
 * files that declare and settle the keys do not count as readers.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { recipeSchema } from "../../../train/recipe/schema.ts";

const DECLARATIONS = ["train/recipe/_sections.ts", "train/recipe/_resolve.ts"];
/** Used up while the config is settled: it must equal network.side_dim; it selects the default of data.family. */
const SETTLED_ONLY = ["network.n_emb", "data.dataset"];
/** Constants: options of the published code that are not built. */
const NOT_BUILT = ["tm", "drop_out", "emb_dropout", "drop_fc", "sim_header", "joint_st", "my_fix_clip"];
/** Handed on as one object, to the synthesizer and to the draws of a clip's colours. */
const WHOLE_SECTIONS = ["data.synth", "data.colour_jitter"];

async function sources(): Promise<string> {
  const texts: string[] = [];
  for (const folder of ["cli", "models", "pages", "train"]) {
    for (const name of await readdir(folder, { recursive: true })) {
      const file = `${folder}/${name}`;
      if (!file.endsWith(".ts") || DECLARATIONS.includes(file)) continue;
      const text = await Deno.readTextFile(file);
      // Words in comments and messages read nothing.
      texts.push(text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$|"(?:[^"\\\n]|\\.)*"/gm, ""));
    }
  }
  return texts.join("\n");
}

Deno.test("every config key has a reader", async () => {
  const text = await sources();
  const unread = recipeSchema().keys.map(({ name }) => name).filter((key) => {
    if (SETTLED_ONLY.includes(key) || NOT_BUILT.some((leaf) => key === `network.${leaf}`)) return false;
    const whole = WHOLE_SECTIONS.find((section) => key.startsWith(`${section}.`));
    const path = (whole ?? key).split(".").slice(-2);
    const [section, leaf] = path.length === 1 ? ["(?:config|recipe)", path[0]] : path;
    const read = new RegExp(`\\b${section}\\??\\.${leaf}\\b`);
    const taken = new RegExp(`\\{[^{}=;]*\\b${leaf}\\b[^{}=;]*\\} = (\\w+\\.)*${section}\\b`);
    return !read.test(text) && !taken.test(text);
  });
  assert.deepEqual(unread, []);
});

Deno.test("every config key has a help text", () => {
  const { keys } = recipeSchema();
  assert.deepEqual(keys.filter(({ help }) => help === "").map(({ name }) => name), []);
  assert.ok(keys.length > 100);
});
