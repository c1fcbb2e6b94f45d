/** Runs a verb as `cli/main.ts` does, and keeps what it prints. */
import { createIo } from "../../cli/shared/output.ts";
import type { VerbModule } from "../../cli/_verbs.ts";

/** Runs a verb. Throws what it throws. */
export async function runVerb(
  verb: Pick<VerbModule, "run">,
  args: string[],
): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = "", stderr = "";
  const streams = {
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    isTerminal: false,
    columns: () => 80,
  };
  const io = createIo(streams, { json: args.includes("--json"), signal: new AbortController().signal });
  const code = await verb.run(args, io);
  return { code, stdout, stderr };
}
