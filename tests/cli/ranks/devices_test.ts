/** Which card is computed on: the list of a machine, the choice by number, name and address, and each rank's turn. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  chooseDevice,
  type DeviceChoice,
  deviceFor,
  deviceLines,
  environmentFor,
  givenVariable,
  listDevices,
  listedDevices,
} from "../../../cli/ranks/devices.ts";

const CARDS: Record<string, { class: string; vendor: string; device: string }> = {
  "0000:00:02.0": { class: "0x030000", vendor: "0x1234", device: "0x1111" }, // a console
  "0000:3b:00.0": { class: "0x030200", vendor: "0x10de", device: "0x2330" },
  "0000:5e:00.0": { class: "0x030200", vendor: "0x10de", device: "0x2330" },
  "0000:86:00.0": { class: "0x038000", vendor: "0x1002", device: "0x744c" },
  "0000:87:00.0": { class: "0x020000", vendor: "0x8086", device: "0x1592" }, // a network card
};

async function machine(): Promise<{ devices: DeviceChoice[]; drivers: string }> {
  const root = await Deno.makeTempDir({ prefix: "sidenet-" }), drivers = join(root, "icd.d");
  try {
    await Deno.mkdir(drivers);
    for (const name of ["lvp_icd.json", "radeon_icd.json"]) {
      await Deno.writeTextFile(join(drivers, name), "{}");
    }
    for (const [pci, files] of Object.entries(CARDS)) {
      await Deno.mkdir(join(root, "pci", pci), { recursive: true });
      for (const [name, text] of Object.entries(files)) {
        await Deno.writeTextFile(join(root, "pci", pci, name), `${text}\n`);
      }
    }
    const devices = await listDevices({
      env: {},
      pciFolder: join(root, "pci"),
      driverFolders: [drivers, join(root, "missing")],
      nvidiaNames: () => Promise.resolve("00000000:3B:00.0, NVIDIA H100\n00000000:5E:00.0, NVIDIA H100\n"),
    });
    return { devices, drivers };
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("cards are chosen by number, name or address, and ranks take them in turn", async () => {
  const { devices, drivers } = await machine();
  const driver = join(drivers, "lvp_icd.json");
  assert.deepEqual(devices, [
    { name: "NVIDIA H100", ids: "10de:2330", pci: "0000:3b:00.0", driver: null },
    { name: "NVIDIA H100", ids: "10de:2330", pci: "0000:5e:00.0", driver: null },
    { name: "AMD 744c", ids: "1002:744c", pci: "0000:86:00.0", driver: null },
    { name: "llvmpipe", ids: "10005:0", pci: null, driver },
  ]);
  const alone = { localRank: 0, localSize: 1 };
  for (
    const [wanted, at] of [["1", 1], ["amd", 2], ["5e:00.0", 1], ["0000:86:00.0", 2], [
      "llvmpipe",
      3,
    ]] as const
  ) {
    assert.equal(deviceFor(devices, { wanted, ...alone }), devices[at], wanted);
  }
  assert.equal(deviceFor(devices, { wanted: null, ...alone }), null);
  const turns = [0, 1, 2, 3].map((localRank) =>
    deviceFor(devices, { wanted: null, localRank, localSize: 4 })
  );
  assert.deepEqual(turns, [0, 1, 2, 0].map((at) => devices[at]), "drivers on the CPU are no cards");
  const chosen = [0, 1, 2].map((localRank) =>
    deviceFor(devices, { wanted: "2, 0", localRank, localSize: 3 })
  );
  assert.deepEqual(chosen, [2, 0, 2].map((at) => devices[at]));
  assert.throws(
    () => deviceFor(devices, { wanted: "4", ...alone }),
    /Cannot use device "4" .* of 0 \(NVIDIA H100, PCI 0000:3b:00.0\), 1 .* 3 \(llvmpipe\)/,
  );
  assert.deepEqual(environmentFor(devices[2], devices), {
    MESA_VK_DEVICE_SELECT: "1002:744c!",
    VK_LOADER_DEVICE_SELECT: "1002:744c",
  });
  assert.equal(environmentFor(devices[1], devices).DRI_PRIME, "pci-0000_5e_00_0");
  assert.equal(environmentFor(devices[3], devices).VK_DRIVER_FILES, driver);
});

Deno.test("a device that was chosen hides no other: all keep their numbers, and it is marked", async () => {
  const drivers = "/icd.d/lvp_icd.json:/icd.d/vk_swiftshader_icd.json";
  const names = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"], before = names.map((name) => Deno.env.get(name));
  try {
    Deno.env.set("VK_DRIVER_FILES", drivers);
    const devices = await listedDevices();
    assert.ok(devices.every(({ chosenBy }) => chosenBy === null));
    await chooseDevice("swiftshader", { localRank: 0, localSize: 1 });
    assert.equal(Deno.env.get("VK_DRIVER_FILES"), "/icd.d/vk_swiftshader_icd.json");
    assert.equal(givenVariable("VK_DRIVER_FILES"), drivers);
    const chosen = await listedDevices(), last = devices.length - 1;
    assert.deepEqual(chosen, devices.with(last, { ...devices[last], chosenBy: "--device" }));
    const lines = deviceLines(chosen);
    assert.equal(lines[last - 1], `device ${last - 1}: llvmpipe`);
    assert.equal(lines[last], `device ${last}: SwiftShader  ← chosen by --device`);
  } finally {
    names.forEach((name, i) =>
      before[i] === undefined ? Deno.env.delete(name) : Deno.env.set(name, before[i])
    );
  }
});
