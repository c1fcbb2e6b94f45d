/** Debian's Chromium for tests: they are reported as ignored where it is missing, and fail where CI is set. */
import { type Browser, chromium, type Page } from "playwright-core";
import { join } from "node:path";
import { bundleForPage } from "../../pages/web/bundle.ts";
import type { Harness } from "./harness.ts";

/** The browser on the PATH. */
const program = await found(["chromium", "chromium-browser", "google-chrome"]);

/** Whether the tests can run. */
export const hasBrowser = program !== null;
// In CI a missing program must not pass for a success.
if (!hasBrowser && Deno.env.get("CI")) {
  throw new Error("Cannot test the page: chromium must be on the PATH; apt-get install chromium");
}

async function found(names: readonly string[]): Promise<string | null> {
  for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
    for (const name of names) {
      const path = join(folder, name);
      if (await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return path;
    }
  }
  return null;
}

/** Starts a browser whose WebGPU computes on the CPU, or that offers pages none. */
export function startBrowser(
  { webGpu = true, more = [] }: { webGpu?: boolean; more?: readonly string[] } = {},
): Promise<Browser> {
  const gpu = webGpu ? ["--enable-unsafe-webgpu", "--enable-unsafe-swiftshader"] : [];
  return chromium.launch({ executablePath: program!, args: ["--no-sandbox", ...gpu, ...more] });
}

/** Registers a test that is given a browser. */
export function browserTest(name: string, fn: (browser: Browser) => Promise<void>): void {
  Deno.test({ name, ignore: !hasBrowser, sanitizeOps: false, sanitizeResources: false }, async () => {
    const browser = await startBrowser();
    try {
      await fn(browser);
    } finally {
      await browser.close();
    }
  });
}

/** Opens a page from which the modules of the harness can be called. @param folder Where its file goes. */
export async function openHarness(browser: Browser, folder: string): Promise<Page> {
  const { code } = await bundleForPage(new URL("./harness.ts", import.meta.url), {
    absent: ["../../data/text/tokenizer.ts", "csv-stringify/sync"],
    minify: false,
  });
  const file = join(folder, "harness.html");
  await Deno.writeTextFile(
    file,
    `<!doctype html><meta charset="utf-8"><script>${code.replaceAll("</script", "<\\/script")}</script>`,
  );
  const page = await browser.newPage();
  await page.goto(`file://${file}`);
  return page;
}

/** Calls a function of the harness in its page. */
export async function callHarness<Name extends keyof Harness>(
  page: Page,
  name: Name,
  ...given: Parameters<Harness[Name]>
): Promise<Awaited<ReturnType<Harness[Name]>>> {
  type Called = { harness: Record<string, (...given: unknown[]) => Promise<never>> };
  return await page.evaluate(
    ([name, given]) => (globalThis as unknown as Called).harness[name as string](...given as unknown[]),
    [name, given] as const,
  );
}
