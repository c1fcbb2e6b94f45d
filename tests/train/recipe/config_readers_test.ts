/**
 * Every key of the config must be read somewhere, as `section.key` (`solver.lr`, `config.memory`) or taken out of its
 * section by name (`{ lr } = config.solver`): a key that nothing reads is a promise that nothing keeps. The files that declare and settle the keys do not count as readers.
 */
import assert from "node:assert/strict";
import { CONFIG_KEYS, KEYS_WITHOUT_EFFECT } from "../../../train/recipe/config.ts";

const DECLARATIONS = ["_config_schema.ts", "_config_resolve.ts"];
/** Used up while the config is settled: it must equal network.side_dim; it selects the default of data.family; it sets data.shots. */
const SETTLED_ONLY = ["network.n_emb", "data.dataset", "data.shot"];

/** Handed on as one object, to the synthesizer and to the draws of a clip's colours. */
const WHOLE_SECTIONS = ["data.synth", "data.colour_jitter"];

async function sources(): Promise<string> {
  const texts: string[] = [];
  for (const folder of ["cli", "train"]) {
    for await (const { name, isFile } of Deno.readDir(folder)) {
      if (!isFile || !name.endsWith(".ts") || DECLARATIONS.includes(name)) continue;
      const text = await Deno.readTextFile(`${folder}/${name}`);
      // Words in comments and messages read nothing.
      texts.push(text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$|"(?:[^"\\\n]|\\.)*"/gm, ""));
    }
  }
  return texts.join("\n");
}

Deno.test("every config key has a reader", async () => {
  const text = await sources();
  const unread = CONFIG_KEYS.filter((key) => {
    if (KEYS_WITHOUT_EFFECT.includes(key) || SETTLED_ONLY.includes(key)) return false;
    const whole = WHOLE_SECTIONS.find((section) => key.startsWith(`${section}.`));
    const path = (whole ?? key).split(".").slice(-2);
    const [section, leaf] = path.length === 1 ? ["config", path[0]] : path;
    const read = new RegExp(`\\b${section}\\??\\.${leaf}\\b`);
    const taken = new RegExp(`\\{[^{}=;]*\\b${leaf}\\b[^{}=;]*\\} = (\\w+\\.)*${section}\\b`);
    return !read.test(text) && !taken.test(text);
  });
  assert.deepEqual(unread, []);
});
