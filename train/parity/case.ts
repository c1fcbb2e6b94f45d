/** A recorded reference case: a JSON description beside a safetensors file (docs/architecture.md, "Reference cases"). */

import { type OpenCheckpoint, openCheckpoint } from "../files/checkpoint.ts";
import { textOfFile } from "../../data/files.ts";
import { DataError } from "../../lib/errors.ts";
import { type CaseDescription, type ReferenceCase, referenceCase, requireDescription } from "./reference.ts";

/** Opens `path` (JSON) and the safetensors file it names. */
export async function openCase(path: string): Promise<ReferenceCase> {
  let description: CaseDescription;
  try {
    description = JSON.parse(await textOfFile(path));
  } catch (error) {
    throw new DataError(`Cannot read case "${path}": ${(error as Error).message}`);
  }
  requireDescription(description, path);
  const file = description.file ?? `${path.replace(/^.*[\\/]/, "").replace(/\.json$/, "")}.safetensors`;
  const folder = /^(.*[\\/])?/.exec(path)![0];
  const source: OpenCheckpoint = await openCheckpoint(`${folder}${file}`);
  return referenceCase(source, { ...description, case: description.case ?? path });
}
