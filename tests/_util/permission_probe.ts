/** Tries what no verb may do, and prints what came of it as JSON. Run by `tests/permissions_test.ts`. */
const [address] = Deno.args;

async function outcome(work: () => unknown): Promise<string> {
  try {
    await work();
    return "done";
  } catch (error) {
    return error instanceof Deno.errors.NotCapable ? "refused" : String(error).split("\n")[0];
  }
}

const inWorker = await new Promise<string>((resolve) => {
  const source = `fetch(${
    JSON.stringify(address)
  }).then(() => self.postMessage("done"), (e) => self.postMessage(e.name))`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), {
    type: "module",
  });
  worker.onmessage = ({ data }) => {
    worker.terminate();
    resolve(data);
  };
});

console.log(JSON.stringify({
  fetch: await outcome(() => fetch(address)),
  worker: inWorker,
  listen: await outcome(() => Deno.listen({ port: 0 }).close()),
  shell: await outcome(() => new Deno.Command("sh", { args: ["-c", "true"] }).output()),
  itself: await outcome(() => new Deno.Command(Deno.execPath(), { args: ["--version"] }).output()),
  library: await outcome(() => Deno.dlopen("/lib/libc.so.6", {})),
  remote: await import(`${address}/module.ts`).then(
    () => "done",
    (error) => /Requires import access|--no-remote/.test(String(error)) ? "refused" : String(error),
  ),
}));
