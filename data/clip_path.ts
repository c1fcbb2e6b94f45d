/** Where the clips of a list lie. */
import { isAbsolute, join, normalize } from "node:path";

/** The place of a clip: an absolute path as it stands, as in the published loaders; any other below the root. */
export function clipPath(root: string, path: string): string {
  return isAbsolute(path) ? path : join(root, path);
}

/** A clip's path in its one spelling: `a` for `./a`, `a/` and `b/../a`. */
export function oneSpelling(path: string): string {
  return normalize(path).replace(/(?<=.)\/$/, "");
}
