/** The name that a verb is given for a page. */
import { dirname } from "node:path";
import { requireWritableFolder } from "../../data/files.ts";
import { ConfigError } from "../../lib/errors.ts";

/** A page that cannot take its name is refused before the work, not after; so is one that would replace another kind of file. */
export async function requirePageFile(file: string | undefined, flag = "--html"): Promise<void> {
  if (file === undefined) return;
  await requireWritableFolder(dirname(file));
  const info = await Deno.stat(file).catch(() => null);
  if (!info?.isDirectory && !/\.html?$/i.test(file)) {
    throw new ConfigError(
      `Cannot write "${file}": ${flag} must be the name of a page, which ends in .html, current value is "${file}"`,
    );
  }
  if (info === null || info.isFile && (info.size === 0 || await isPage(file))) return;
  const what = info.isDirectory ? "a folder" : "a file of another kind, which would be lost";
  throw new ConfigError(
    `Cannot write "${file}": ${flag} must be the name of a new file or of a page, current value is ${what}`,
  );
}

/** Whether a file begins like the pages that are written here. */
async function isPage(file: string): Promise<boolean> {
  using handle = await Deno.open(file).catch(() => null);
  const bytes = new Uint8Array(64), count = await handle?.read(bytes) ?? 0;
  return /^\uFEFF?\s*<(!doctype html|html)/i.test(new TextDecoder().decode(bytes.subarray(0, count)));
}
