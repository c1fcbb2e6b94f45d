/** Every .wgsl file of the project is a whole shader: it compiles as it stands, before any constant is replaced. */
import assert from "node:assert/strict";
import { gpuTest, testDevice } from "./_util/gpu.ts";

const root = new URL("../", import.meta.url);
const SKIPPED_FOLDERS = ["node_modules", "runs", "demo_data"];

/** Paths of the shaders below a folder, relative to the root. */
async function findShaders(folder = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL(`./${folder}`, root))) {
    if (isDirectory && !name.startsWith(".") && !SKIPPED_FOLDERS.includes(name)) {
      found.push(...await findShaders(`${folder}${name}/`));
    } else if (name.endsWith(".wgsl")) found.push(folder + name);
  }
  return found.sort();
}

/** Compile errors, `line:column message`. */
async function compileErrors(device: GPUDevice, label: string, code: string): Promise<string[]> {
  device.pushErrorScope("validation");
  const { messages } = await device.createShaderModule({ label, code }).getCompilationInfo();
  const uncaught = await device.popErrorScope();
  const errors = messages.filter(({ type }) => type === "error");
  if (errors.length === 0 && uncaught !== null) return [uncaught.message];
  return errors.map(({ lineNum, linePos, message }) => `${lineNum}:${linePos} ${message}`);
}

gpuTest("every shader compiles as it stands", async (device) => {
  const { features } = (await testDevice())!;
  const shaders = await findShaders();
  assert.ok(shaders.includes("gpu/ops/add.wgsl"), "no shaders found");
  const failures: string[] = [];
  for (const path of shaders) {
    const code = await Deno.readTextFile(new URL(path, root));
    // An adapter without half floats never sees these.
    if (/^\s*enable\s+f16\s*;/m.test(code) && !features.has("shader-f16")) continue;
    failures.push(...(await compileErrors(device, path, code)).map((error) => `${path}:${error}`));
  }
  assert.deepEqual(failures, []);
});

gpuTest("the shader check sees a syntax error, an unknown name and a wrong type", async (device) => {
  for (const body of ["let a = ;", "let a = missing;", "let a: u32 = 1.5f;"]) {
    const errors = await compileErrors(
      device,
      "planted",
      `@compute @workgroup_size(1)\nfn main() { ${body} }`,
    );
    assert.notDeepEqual(errors, [], body);
  }
});
