/** Driver files of the Vulkan loader: what is wrong with them is told, and whose an adapter is found by taking drivers away. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { isOfVulkan, problemOf, tryVulkanDrivers, vulkanFolders } from "../../../cli/doctor/vulkan.ts";

/** Runs a test in a folder with files of its own. */
async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-vulkan-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const icd = (library: string) => JSON.stringify({ ICD: { library_path: library } });

Deno.test("problemOf() tells each kind of driver file that cannot work", async () => {
  await inFolder(async (folder) => {
    const problem = async (name: string, text: string) => {
      await Deno.writeTextFile(join(folder, name), text);
      return await problemOf(join(folder, name));
    };
    assert.equal(await problemOf(join(folder, "gone.json")), "does not exist");
    assert.equal(await problemOf(folder), "is no file");
    assert.equal(await problem("a.json", "{"), "is no JSON");
    assert.equal(await problem("a.json", "null"), "names no library (ICD.library_path)");
    assert.equal(await problem("a.json", icd("")), "names no library (ICD.library_path)");
    assert.match(
      (await problem("a.json", icd("./no.so")))!,
      /^names the library .*no\.so, which does not exist$/,
    );
    await Deno.writeTextFile(join(folder, "text.so"), "text, and more than twenty bytes of it");
    assert.match((await problem("a.json", icd("./text.so")))!, /text\.so, which is no library$/);
    const elf = new Uint8Array(64);
    elf.set([0x7f, 0x45, 0x4c, 0x46]);
    elf[18] = 8; // MIPS
    await Deno.writeFile(join(folder, "mips.so"), elf);
    assert.match((await problem("a.json", icd("./mips.so")))!, /a library for another kind of processor$/);
    assert.equal(await problem("a.json", icd("libvulkan_of_the_system.so")), null);
  });
});

/** A machine on which these files give these adapters, the first of them that is named counts. */
function places(
  adapters: Readonly<Record<string, string>>,
  options: { env?: Readonly<Record<string, string>>; folders?: string[]; openGl?: string },
) {
  const { env = {}, folders = [], openGl } = options;
  return {
    env: (name: string) => env[name],
    folders,
    see: (variables: Readonly<Record<string, string | null>>) => {
      const named = variables.VK_DRIVER_FILES?.split(":") ?? Object.keys(adapters);
      const found = Object.keys(adapters).find((path) => named.includes(path));
      if (found !== undefined) return Promise.resolve({ name: adapters[found], identity: adapters[found] });
      const other = variables.DENO_WEBGPU_BACKEND === "vulkan" || openGl === undefined
        ? null
        : { name: openGl, identity: openGl };
      return Promise.resolve(other);
    },
  };
}

Deno.test("tryVulkanDrivers() finds which driver gives which adapter, and believes no file that is not there", async () => {
  await inFolder(async (folder) => {
    const path = (name: string) => join(folder, name);
    for (const name of ["a_radeon.json", "b_intel.json", "lvp_icd.json"]) {
      await Deno.writeTextFile(path(name), icd("lib.so"));
    }
    await Deno.writeTextFile(path("c_broken.json"), "");
    const given = { [path("b_intel.json")]: "an Intel", [path("lvp_icd.json")]: "llvmpipe" };
    const drivers = await tryVulkanDrivers(places(given, { folders: [folder, path("none")] }));
    assert.deepEqual(drivers.map(({ adapter, problem }) => adapter ?? problem), [
      null,
      "an Intel",
      "is no JSON",
      "llvmpipe",
    ]);
    assert.ok(drivers.every(({ variable }) => variable === null));

    const env = { VK_DRIVER_FILES: `${path("gone.json")}:${path("lvp_icd.json")}` };
    const chosen = await tryVulkanDrivers(places(given, { env, folders: [folder] }));
    assert.deepEqual(chosen.map(({ variable, problem, adapter }) => [variable, problem, adapter]), [
      ["VK_DRIVER_FILES", "does not exist", null],
      ["VK_DRIVER_FILES", null, "llvmpipe"],
    ]);
    const added = await tryVulkanDrivers(
      places(given, { env: { VK_ADD_DRIVER_FILES: path("b_intel.json") }, folders: [] }),
    );
    assert.deepEqual(added.map(({ adapter }) => adapter), ["an Intel"]);
  });
});

Deno.test("tryVulkanDrivers() believes both of two drivers for the CPU, whichever comes first", async () => {
  await inFolder(async (folder) => {
    const [lvp, swift] = ["lvp_icd.json", "vk_swiftshader_icd.json"].map((name) => join(folder, name));
    for (const path of [lvp, swift]) await Deno.writeTextFile(path, icd("lib.so"));
    const env = { VK_DRIVER_FILES: `${lvp}:${swift}` };
    for (const order of [[lvp, swift], [swift, lvp]]) {
      const adapters = Object.fromEntries(
        order.map((path) => [path, path === lvp ? "llvmpipe" : "SwiftShader"]),
      );
      const drivers = await tryVulkanDrivers(places(adapters, { env }));
      assert.deepEqual(drivers.map(({ adapter }) => adapter), ["llvmpipe", "SwiftShader"]);
    }
  });
});

Deno.test("isOfVulkan() compares the adapter that is taken with the one that Vulkan alone gives", async () => {
  assert.equal(await isOfVulkan(places({ a: "llvmpipe" }, {})), true);
  assert.equal(await isOfVulkan(places({}, { openGl: "llvmpipe" })), false);
  assert.equal(await isOfVulkan(places({}, {})), null);
});

Deno.test("vulkanFolders() are those of the loader", () => {
  const folders = vulkanFolders((name) => ({ HOME: "/home/me", XDG_DATA_HOME: "/data" })[name]);
  for (const folder of ["/usr/share", "/etc", "/data", "/home/me/.config"]) {
    assert.ok(folders.includes(`${folder}/vulkan/icd.d`), folder);
  }
});
