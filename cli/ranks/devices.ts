/**
 * Which card is computed on. WebGPU here gives one adapter and takes no number, but the Vulkan loader and Mesa's layer look at
 * environment variables when it is asked: so the choice is made before that, for the whole process. Cards come from the system's list
 * of PCI devices and from the drivers' files; nothing is loaded for that.
 */
import { basename, join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";

/** A card, or a driver that computes on the CPU. */
export interface DeviceChoice {
  /** For people and to be chosen by: its name. */
  readonly name: string;
  /** "10de:2330", as PCI numbers vendor and device; null where it is not known. */
  readonly ids: string | null;
  /** "0000:65:00.0"; null for what is no PCI device. */
  readonly pci: string | null;
  /** File of its driver, where that alone chooses it. */
  readonly driver: string | null;
}

/** Environment variables by name. */
type Environment = Readonly<Record<string, string | undefined>>;

/** Where to look; replaced by tests. */
export interface DeviceSources {
  readonly env: Environment;
  readonly pciFolder: string;
  readonly driverFolders: readonly string[];
  /** Lines of "PCI address, name" of NVIDIA's own tool. */
  readonly nvidiaNames: () => Promise<string>;
}

const VARIABLE = "SIDENET_DEVICE", TURN = "turn";
const VENDORS: Readonly<Record<string, string>> = {
  "10de": "NVIDIA",
  "1002": "AMD",
  "8086": "Intel",
  "106b": "Apple",
  "5143": "Qualcomm",
  "1d17": "Zhaoxin",
  "1ed5": "Moore Threads",
};
/** Drivers that compute on the CPU, by a word of their file's name. */
const SOFTWARE = [
  { word: "lvp", name: "llvmpipe", ids: "10005:0" },
  { word: "swiftshader", name: "SwiftShader", ids: "1ae0:c0de" },
] as const;

/** The devices of this machine: cards in the order of their PCI addresses, then drivers on the CPU. */
export async function listDevices(sources: DeviceSources = thisMachine()): Promise<DeviceChoice[]> {
  return [...await pciCards(sources), ...await softwareDrivers(sources)];
}

/**
 * The devices that ranks of one machine take in turn: cards, and drivers on the CPU only where there is no card.
 *
 * @param wanted What `--device` or `SIDENET_DEVICE` says: numbers, names or PCI addresses, with commas between several.
 * @returns null: the system's own choice.
 * @throws {ConfigError} where there is no such device.
 */
export function deviceFor(
  devices: readonly DeviceChoice[],
  { wanted, localRank, localSize }: { wanted: string | null; localRank: number; localSize: number },
): DeviceChoice | null {
  if (wanted !== null) {
    const all = wanted.split(",").map((one) => findDevice(devices, one.trim()));
    return all[localRank % all.length];
  }
  const cards = devices.filter(({ pci }) => pci !== null), most = cards.length > 0 ? cards : devices;
  return localSize > 1 && most.length > 1 ? most[localRank % most.length] : null;
}

function findDevice(devices: readonly DeviceChoice[], wanted: string): DeviceChoice {
  const words = wanted.toLowerCase(),
    address = /^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(words) ? `0000:${words}` : words;
  const found = /^\d+$/.test(words) ? devices[Number(words)] : devices.find(({ pci }) => pci === address) ??
    devices.find(({ name }) => words !== "" && name.toLowerCase().includes(words));
  if (found) return found;
  const known = devices.map((one, i) => `${i} (${describeDevice(one)})`).join(", ") || "none";
  throw new ConfigError(
    `Cannot use device "${wanted}" (--device, ${VARIABLE}): it must be a number, a name or a PCI address of ${known}`,
  );
}

/** Name and place of a device. */
export function describeDevice({ name, pci }: DeviceChoice): string {
  return pci === null ? name : `${name}, PCI ${pci}`;
}

/** A device with its number, and whether this process computes on it. */
export interface ListedDevice extends DeviceChoice {
  readonly number: number;
  /** What chose it for this process: "--device", "SIDENET_DEVICE", or "turn" of a rank; null: it was not chosen. */
  readonly chosenBy: string | null;
}

/** What this process has chosen, among which devices, and the environment before that. */
let choice: {
  readonly devices: readonly DeviceChoice[];
  readonly device: DeviceChoice;
  readonly by: string;
  readonly env: Environment;
} | null = null;

/** All devices of this machine, which a choice that has been made does not hide. */
export async function listedDevices(): Promise<ListedDevice[]> {
  const devices = choice?.devices ?? await listDevices();
  return devices.map((device, number) => ({
    ...device,
    number,
    chosenBy: device === choice?.device ? choice.by : null,
  }));
}

/** A variable as it was given to this process, before a device was chosen. */
export function givenVariable(name: string): string | undefined {
  return choice === null ? Deno.env.get(name) : choice.env[name];
}

/** Lines for `doctor`: devices, and which of them each rank of this machine would take. */
export function deviceLines(devices: readonly ListedDevice[]): string[] {
  const cards = devices.filter(({ pci }) => pci !== null).length;
  const lines = devices.map((device) =>
    `device ${device.number}: ${describeDevice(device)}${markOf(device.chosenBy)}`
  );
  const turn = cards > 0 ? cards : devices.length;
  if (turn > 1) {
    lines.push(
      `ranks of one machine take devices 0 to ${turn - 1} in turn; --device or ${VARIABLE} chooses others`,
    );
  }
  return lines;
}

function markOf(chosenBy: string | null): string {
  if (chosenBy === null) return "";
  return chosenBy === TURN ? "  ← taken by rank 0, in turn" : `  ← chosen by ${chosenBy}`;
}

/** What to set so that the next adapter is this device. */
export function environmentFor(
  device: DeviceChoice,
  devices: readonly DeviceChoice[],
): Record<string, string> {
  const { ids, pci, driver } = device;
  if (driver !== null) return { VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver };
  const twins = devices.filter((other) => other.ids === ids).length > 1;
  if (twins) {
    return {
      DRI_PRIME: `pci-${pci!.replaceAll(/[:.]/g, "_")}`,
      MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: "1",
    };
  }
  return { MESA_VK_DEVICE_SELECT: `${ids}!`, VK_LOADER_DEVICE_SELECT: ids! };
}

/** Lets this process compute on the device that was asked for, or that falls to its rank. @returns What was chosen; null: nothing. */
export async function chooseDevice(
  flag: string | null,
  world: { localRank: number; localSize: number },
): Promise<DeviceChoice | null> {
  const wanted = flag ?? (Deno.env.get(VARIABLE) || null);
  if (wanted === null && world.localSize === 1) return null;
  const devices = await listDevices(), chosen = deviceFor(devices, { wanted, ...world });
  if (chosen === null) return null;
  const by = flag !== null ? "--device" : wanted !== null ? VARIABLE : TURN;
  choice = { devices, device: chosen, by, env: Deno.env.toObject() };
  for (const [name, value] of Object.entries(environmentFor(chosen, devices))) Deno.env.set(name, value);
  return chosen;
}

async function pciCards({ pciFolder, nvidiaNames }: DeviceSources): Promise<DeviceChoice[]> {
  const cards: DeviceChoice[] = [];
  let nvidia: string | null = null;
  for (const pci of await namesIn(pciFolder)) {
    const read = (file: string) =>
      Deno.readTextFile(join(pciFolder, pci, file)).then((text) => text.trim(), () => "");
    if (!/^0x03/.test(await read("class"))) continue;
    const vendor = (await read("vendor")).replace(/^0x/, ""),
      device = (await read("device")).replace(/^0x/, "");
    if (!(vendor in VENDORS)) continue; // a console without a driver of Vulkan
    if (vendor === "10de") nvidia ??= await nvidiaNames();
    const named = vendor === "10de" ? nvidiaName(nvidia!, pci) : null;
    const name = named ?? `${VENDORS[vendor]} ${device}`;
    cards.push({ name, ids: `${vendor}:${device}`, pci, driver: null });
  }
  return cards;
}

/** nvidia-smi writes eight digits where the system writes four. */
function nvidiaName(lines: string, pci: string): string | null {
  const line = lines.split("\n").find((one) => one.toLowerCase().split(",")[0].trim().endsWith(pci));
  return line?.slice(line.indexOf(",") + 1).trim() || null;
}

async function softwareDrivers({ env, driverFolders }: DeviceSources): Promise<DeviceChoice[]> {
  const given = env.VK_DRIVER_FILES || env.VK_ICD_FILENAMES;
  const files = given ? given.split(":") : (await Promise.all(
    driverFolders.map(async (folder) => (await namesIn(folder)).map((name) => join(folder, name))),
  )).flat();
  if (!given && env.VK_ADD_DRIVER_FILES) files.push(...env.VK_ADD_DRIVER_FILES.split(":"));
  return SOFTWARE.flatMap(({ word, name, ids }) => {
    const driver = files.find((file) => basename(file).includes(word));
    return driver === undefined ? [] : [{ name, ids, pci: null, driver }];
  });
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  } catch {
    return []; // another system, or no such folder
  }
}

function thisMachine(): DeviceSources {
  return {
    env: Deno.env.toObject(),
    pciFolder: "/sys/bus/pci/devices",
    driverFolders: ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"],
    nvidiaNames: async () => {
      try {
        const { stdout } = await new Deno.Command("nvidia-smi", {
          args: ["--query-gpu=pci.bus_id,name", "--format=csv,noheader"],
          stderr: "null",
        }).output();
        return new TextDecoder().decode(stdout);
      } catch {
        return ""; // without it the cards go by their numbers
      }
    },
  };
}
