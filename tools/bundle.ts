/**
 * Writes sidenet as one file that runs on machines of this kind without Deno, npm or a network: a shell script with an archive behind it,
 * of Deno, the sources and the packages that verbs need. Its first start unpacks it.
 *
 *     deno run -A tools/bundle.ts [--out=FILE]
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };
import { type Package, productPackages, STORE } from "../cli/extras/_packages.ts";
import { formatBytes } from "../lib/text.ts";
import { OUT_OPTIONS, outFile, prepareFile, toolOptions } from "./_options.ts";
import { ROOMS } from "./layers.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const FILES = ["mod.ts", "deno.json", "deno.lock", "LICENSE", "README.md", "denow"],
  FOLDERS = [...ROOMS, "configs"];
const USAGE = `./denow task bundle [--out=FILE]

Writes sidenet as one file that unpacks itself at its first start and runs without Deno, npm or a network.

  --out=FILE   where it goes; sidenet.run among the builds of this project by default`;
/** Libraries for other kinds of Linux than this one. */
const OTHER_LIBC = Deno.build.target.endsWith("-musl") ? /sharp.*-linux-/ : /linuxmusl/;

/** What is left out of packages: descriptions, maps, sources of what is there compiled. */
const UNUSED = /\.(map|md|markdown|d\.ts|d\.cts|d\.mts|html|umd\.js|min\.cjs)$|^(docs?|examples?|\.github)\//;

/** What of the sources only the sources need: other libraries' measurements, with packages of their own, and results. */
const OF_SOURCES = /^(peers|reference|results)\//;

/** The script in front of the archive. `KEY` and `SKIP` are its name and the lines of the script. */
const HEADER = await Deno.readTextFile(new URL("./bundle_header.sh", import.meta.url));

/** Copies what the archive holds into a folder. */
async function stage(to: string): Promise<Package[]> {
  for (const name of FILES) await copy(join(ROOT, name), join(to, name));
  for (const name of FOLDERS) {
    await copyFolder(join(ROOT, name), join(to, name), name === "bench" ? OF_SOURCES : undefined);
  }
  const packages = (await productPackages()).filter(({ name }) => !OTHER_LIBC.test(name));
  for (const { folder } of packages) {
    const path = fileURLToPath(folder), own = path.slice(ROOT.length);
    await copyFolder(path, join(to, own), UNUSED);
  }
  // The links by which packages find each other, and the project finds them.
  for (const folder of ["node_modules", STORE + "node_modules", ...packages.map(linksOf)]) {
    await copyLinks(join(ROOT, folder), join(to, folder));
  }
  await Deno.copyFile(Deno.execPath(), join(to, "deno"));
  await Deno.chmod(join(to, "deno"), 0o755);
  return packages;
}

/** The folder beside a package in which its dependencies are linked. */
function linksOf({ folder, name }: Package): string {
  return fileURLToPath(folder).slice(ROOT.length).slice(0, -name.length - 2);
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(dirname(to), { recursive: true });
  await Deno.copyFile(from, to);
}

async function copyFolder(from: string, to: string, unused?: RegExp, below = ""): Promise<void> {
  for await (const { name, isDirectory, isFile } of Deno.readDir(from)) {
    const path = below + name;
    if (isDirectory) await copyFolder(join(from, name), join(to, name), unused, `${path}/`);
    else if (isFile && !unused?.test(path)) await copy(join(from, name), join(to, name));
  }
}

/** Copies links, also those in folders of scopes, to where something is. */
async function copyLinks(from: string, to: string): Promise<void> {
  for await (const { name, isSymlink, isDirectory } of Deno.readDir(from)) {
    if (isDirectory && name.startsWith("@")) await copyLinks(join(from, name), join(to, name));
    if (!isSymlink) continue;
    const target = await Deno.readLink(join(from, name)), held = join(to, target);
    if (!await Deno.stat(held).then(() => true, () => false)) continue;
    await Deno.mkdir(to, { recursive: true });
    await Deno.symlink(target, join(to, name));
  }
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args: [...args], stderr: "piped" }).output();
  if (!success) throw new Error(`Cannot bundle: ${program} failed: ${new TextDecoder().decode(stderr)}`);
}

/** Writes the bundle. */
export async function writeBundle(out: string): Promise<{ bytes: number; packages: number }> {
  await Deno.mkdir(dirname(out), { recursive: true });
  const folder = await Deno.makeTempDir({ prefix: "sidenet-bundle-" });
  try {
    const tree = join(folder, "tree"), archive = join(folder, "archive.tar.gz");
    const packages = await stage(tree);
    await run("tar", ["-C", tree, "--sort=name", "--owner=0", "--group=0", "-czf", archive, "."]);
    const packed = await Deno.readFile(archive);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", packed)).toHex().slice(0, 16);
    const lines = HEADER.split("\n").length;
    const header = HEADER.replaceAll("@KEY@", hash).replaceAll("@SKIP@", String(lines))
      .replaceAll("@VERSION@", manifest.version);
    const text = new TextEncoder().encode(header), whole = new Uint8Array(text.length + packed.length);
    whole.set(text);
    whole.set(packed, text.length);
    await Deno.writeFile(out, whole, { mode: 0o755 });
    await Deno.chmod(out, 0o755);
    return { bytes: whole.length, packages: packages.length };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const { path, shown: out } = outFile(toolOptions(OUT_OPTIONS, USAGE), "sidenet.run");
  await prepareFile(path);
  const { bytes, packages } = await writeBundle(path);
  console.log(
    `${out}: ${
      formatBytes(bytes)
    }, ${packages} packages; it needs a shell, tar and gzip, and for GPUs their Vulkan driver`,
  );
  console.log(
    `run it as sidenet: ${out} --help; its first start unpacks it; ${out} licenses lists what is inside`,
  );
}
