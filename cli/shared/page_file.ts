/** The name that a verb is given for a page. */
import { dirname } from "node:path";
import { requireWritableFolder } from "../../data/files.ts";
import { ConfigError } from "../../lib/errors.ts";

/** A page that cannot take its name is refused before the work, not after. */
export async function requirePageFile(file: string | undefined): Promise<void> {
  if (file === undefined) return;
  await requireWritableFolder(dirname(file));
  if (!(await Deno.stat(file).catch(() => null))?.isDirectory) return;
  throw new ConfigError(
    `Cannot write "${file}": --html must be the name of a file, current value is a folder`,
  );
}
