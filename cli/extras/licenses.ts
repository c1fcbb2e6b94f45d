/** `sidenet licenses`: what the product is made of, and under which licences. */
import project from "../../deno.json" with { type: "json" };
import ownText from "../../LICENSE" with { type: "text" };
import { defineCommand, parseArguments } from "../shared/args.ts";
import type { Io } from "../shared/output.ts";
import { licenseText, productPackages } from "./_packages.ts";

/** What is inside besides packages, or in them. */
const NOTES = [
  "Deno has V8 (BSD-3-Clause) and wgpu (MIT or Apache-2.0) in it: https://github.com/denoland/deno",
  "CLIP's table of merges (data/text/clip_merges.txt) is OpenAI's, MIT: https://github.com/openai/CLIP",
  "Pages that compute (sidenet page) have mediabunny and zod in them.",
];

export const command = defineCommand({
  name: "licenses",
  summary: "List versions and licences of what sidenet is made of",
  usage: "",
  positionals: { min: 0, max: 0 },
  details:
    "Sidenet itself, Deno, and the npm packages that verbs import, in the versions that are installed.",
  examples: [
    ["sidenet licenses", "a line each"],
    ["sidenet licenses --texts", "with the texts of the licences"],
  ],
  options: { texts: { type: "boolean", help: "also print the texts of the licences" } },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values } = parseArguments(command, args), packages = await productPackages();
  const parts = [
    { name: project.name, version: project.version, license: project.license, home: "", text: ownText },
    {
      name: "deno",
      version: Deno.version.deno,
      license: "MIT",
      home: "https://github.com/denoland/deno",
      text: null,
    },
    ...await Promise.all(packages.map(async (one) => ({
      name: one.name,
      version: one.version,
      license: one.license,
      home: one.home,
      text: values.texts ? await licenseText(one) : null,
    }))),
  ];
  if (io.json) {
    for (const { text, ...part } of parts) io.printJson({ ...part, ...values.texts && { text } });
    return 0;
  }
  const width = (key: "name" | "version" | "license") => Math.max(...parts.map((part) => part[key].length));
  for (const { name, version, license, home } of parts) {
    io.print(
      `${name.padEnd(width("name"))}  ${version.padEnd(width("version"))}  ${
        license.padEnd(width("license"))
      }  ${home}`
        .trimEnd(),
    );
  }
  for (const note of NOTES) io.print(note);
  if (!values.texts) return 0;
  for (const { name, version, text } of parts) {
    if (text !== null) io.print(`\n--- ${name} ${version}\n\n${text.trim()}`);
  }
  return 0;
}
