/** The report of `sidenet doctor` for machines of several kinds, and for this one. */
import assert from "node:assert/strict";
import { command, findingsOf, formatFindings, jsonOf, run, verdictOf } from "../../cli/doctor.ts";
import { type Machine, pinnedDenoVersion } from "../../cli/doctor/machine.ts";
import { createIo } from "../../cli/shared/output.ts";
import { gpuTest } from "../_util/gpu.ts";

const LVP = { path: "/usr/share/vulkan/icd.d/lvp_icd.json", variable: null, problem: null };

const GOOD: Machine = {
  os: "linux",
  adapter: {
    name: "NVIDIA H100",
    vendor: "NVIDIA",
    isSoftware: false,
    features: ["shader-f16", "subgroups", "timestamp-query"],
    limits: {
      maxBufferSize: 2 ** 31,
      maxStorageBufferBindingSize: 2 ** 31,
      maxStorageBuffersPerShaderStage: 8,
      maxComputeWorkgroupStorageSize: 32768,
      maxComputeInvocationsPerWorkgroup: 1024,
    },
    isVulkan: true,
    trials: [
      { what: "a matrix product in f32", needs: null, error: null },
      { what: "a matrix product in f16", needs: "shader-f16", error: null },
    ],
  },
  vulkanDrivers: [{ ...LVP, adapter: "llvmpipe" }],
  devices: [
    { name: "NVIDIA H100", ids: "10de:2330", pci: "0000:3b:00.0", driver: null, number: 0, chosenBy: null },
    {
      name: "llvmpipe",
      ids: "10005:0",
      pci: null,
      driver: LVP.path,
      number: 1,
      chosenBy: "--device",
    },
  ],
  backend: null,
  deno: "2.9.6",
  pinnedDeno: "2.9.6",
  video: {
    ffmpeg: "ffmpeg version 5",
    ffprobe: "ffprobe version 5",
    decodeError: null,
    encoder: "libx264",
    encodeError: null,
  },
  mpi: { launchers: [{ program: "mpiexec", name: "MPICH 4.0.2" }], world: null, isRefused: false },
  jpegError: null,
  freeBytes: 2 ** 40,
  memory: { total: 2 ** 35, available: 2 ** 34 },
  weightsFolder: { path: "/weights", problem: null, weights: ["ViT-B-16"] },
  cacheFolder: { path: "/cache", problem: null, weights: [] },
};

/** State and advice of the finding on a topic. */
function finding(change: Partial<Machine>, topic: string) {
  const found = findingsOf({ ...GOOD, ...change }).find((one) => one.topic === topic);
  assert.ok(found, `no finding on ${topic}`);
  return found;
}

Deno.test("doctor finds nothing to say about a machine that has everything", () => {
  const findings = findingsOf(GOOD);
  assert.deepEqual(findings.filter(({ state, advice }) => state !== "ok" || advice !== undefined), []);
  assert.equal(jsonOf(GOOD, findings).ok, true);
  const { devices } = jsonOf(GOOD, findings) as { devices: { number: number; chosen_by: string | null }[] };
  assert.deepEqual(devices.map((one) => [one.number, one.chosen_by]), [[0, null], [1, "--device"]]);
  assert.equal(verdictOf(findings), "Training can run here.");
});

Deno.test("doctor says what to install where there is no adapter", () => {
  const change = { adapter: null, adapterError: "no adapter", vulkanDrivers: [] };
  assert.equal(finding(change, "GPU adapter").state, "missing");
  assert.match(finding(change, "GPU adapter").advice!, /apt-get install .*mesa-vulkan-drivers/);
  assert.equal(finding(change, "Vulkan drivers").state, "missing");
  const machine = { ...GOOD, ...change }, findings = findingsOf(machine);
  const json = jsonOf(machine, findings);
  assert.deepEqual([json.adapter, json.features, json.limits, json.ok], [null, [], {}, false]);
  assert.match(verdictOf(findings), /^Cannot train here: .*GPU adapter, Vulkan drivers$/);
});

Deno.test("doctor names the driver file that is wrong, and the variable to unset", () => {
  const driver = {
    path: "/no.json",
    variable: "VK_DRIVER_FILES",
    problem: "does not exist",
    adapter: null,
  };
  const wrong = finding({ vulkanDrivers: [driver] }, "Vulkan drivers");
  assert.deepEqual([wrong.state, wrong.text], ["warning", "/no.json does not exist"]);
  assert.match(wrong.advice!, /unset VK_DRIVER_FILES/);
  const silent = { ...driver, problem: null };
  assert.match(finding({ vulkanDrivers: [silent] }, "Vulkan drivers").text, /^\/no.json gives no adapter/);
  assert.equal(finding({ vulkanDrivers: [driver], adapter: null }, "Vulkan drivers").state, "missing");
});

Deno.test("doctor tells an adapter that comes through OpenGL, why, and what it lacks", () => {
  const adapter = { ...GOOD.adapter!, isVulkan: false, features: [] };
  const openGl = finding({ adapter, vulkanDrivers: [] }, "OpenGL");
  assert.equal(openGl.state, "slow");
  assert.match(openGl.text, /through OpenGL, not Vulkan: without half precision and subgroups/);
  assert.match(openGl.advice!, /install a Vulkan driver/);
  assert.match(finding({ adapter, backend: "opengl" }, "OpenGL").advice!, /unset DENO_WEBGPU_BACKEND/);
  const machine = { ...GOOD, adapter };
  assert.equal(jsonOf(machine, findingsOf(machine)).opengl, true);
});

Deno.test("doctor says in a line each what is slow because of the adapter", () => {
  const limits = { ...GOOD.adapter!.limits, maxStorageBufferBindingSize: 2 ** 27 };
  const adapter = { ...GOOD.adapter!, isSoftware: true, features: [], limits };
  const slow = findingsOf({ ...GOOD, adapter }).filter(({ state }) => state === "slow");
  assert.deepEqual(slow.map(({ topic }) => topic), ["GPU adapter", "shader-f16", "subgroups", "binding"]);
  assert.match(slow[0].text, /software adapter/);
  assert.match(slow[3].text, /128 MiB/);
  // Kernels for GPUs use no subgroups.
  assert.equal(finding({ adapter: { ...adapter, isSoftware: false } }, "subgroups").state, "ok");
  const small = { ...adapter, limits: { ...limits, maxComputeWorkgroupStorageSize: 8192 } };
  assert.match(
    finding({ adapter: small }, "limits").text,
    /workgroup memory 16.0 KiB is what WebGPU promises/,
  );
});

Deno.test("doctor believes no adapter that computes something else", () => {
  const wrong = (needs: "shader-f16" | null) => {
    const trials = [{ what: "a matrix product", needs, error: "gives 1 where 2 is right" }];
    const machine = { ...GOOD, adapter: { ...GOOD.adapter!, trials } };
    return { ...finding(machine, "kernels"), ok: jsonOf(machine, findingsOf(machine)).ok };
  };
  assert.deepEqual([wrong(null).state, wrong(null).ok], ["missing", false]);
  assert.match(wrong(null).text, /gives 1 where 2 is right/);
  assert.deepEqual([wrong("shader-f16").state, wrong("shader-f16").ok], ["warning", true]);
});

Deno.test("doctor takes ffmpeg, ffprobe and MPI for what they are: not needed to train", () => {
  const video = { ...GOOD.video, ffprobe: null, decodeError: "none", encoder: null };
  const mpi = { launchers: [], world: null, isRefused: false };
  const machine: Machine = { ...GOOD, video, mpi };
  const findings = findingsOf(machine);
  const absent = findings.filter(({ state }) => state === "optional").map(({ topic }) => topic);
  assert.deepEqual(absent, ["ffmpeg", "MPI"]);
  const json = jsonOf(machine, findings);
  assert.deepEqual([json.ffmpeg, json.mpi, json.ok], [null, mpi, true]);
  assert.match(finding({ video }, "ffmpeg").text, /^ffprobe not found/);
});

Deno.test("doctor tells an ffmpeg that cannot read H.264, and one that cannot write it", () => {
  const deaf = finding({ video: { ...GOOD.video, decodeError: "Decoder (codec h264) not found" } }, "ffmpeg");
  assert.equal(deaf.state, "warning");
  assert.match(deaf.text, /cannot read a small H\.264 clip \(Decoder/);
  const video = { ...GOOD.video, encoder: "mpeg4", encodeError: "Unknown encoder" };
  assert.match(
    finding({ video }, "video encoder").text,
    /^mpeg4: .*libx264 does not work \(Unknown encoder\)/,
  );
  const none = { ...GOOD.video, encoder: null, encodeError: "no codec" };
  assert.equal(finding({ video: none }, "video encoder").state, "optional");
});

Deno.test("doctor reports another Deno, a JPEG decoder that fails, a full disk, little memory and folders that are not there", () => {
  assert.equal(finding({ deno: "2.0.0" }, "Deno").state, "warning");
  assert.match(finding({ deno: "2.0.0" }, "Deno").text, /tested with 2\.9\.6/);
  assert.equal(finding({ jpegError: "no libvips" }, "JPEG decoder").state, "missing");
  assert.equal(finding({ freeBytes: 2 ** 20 }, "disk").state, "warning");
  assert.equal(finding({ memory: { total: 2 ** 31, available: 2 ** 28 } }, "memory").state, "warning");
  const gone = { path: "/gone", problem: "does not exist", weights: [] };
  const folder = finding({ weightsFolder: gone }, "weights folder");
  assert.deepEqual([folder.state, folder.text], ["warning", "/gone: does not exist"]);
  assert.match(folder.advice!, /SIDENET_WEIGHTS/);
});

Deno.test("formatFindings() puts the advice under the text it belongs to", () => {
  assert.deepEqual(
    formatFindings([
      { topic: "Deno", state: "ok", text: "2.9.6" },
      { topic: "ffmpeg", state: "optional", text: "not found", advice: "apt-get install ffmpeg" },
    ]),
    [
      "ok        Deno    2.9.6",
      "optional  ffmpeg  not found",
      "                  → apt-get install ffmpeg",
    ],
  );
});

Deno.test("pinnedDenoVersion() reads the version from denow and fails without one", () => {
  assert.equal(pinnedDenoVersion("#!/bin/sh\nDENO_VERSION=1.2.3\n"), "1.2.3");
  assert.throws(() => pinnedDenoVersion("DENO=1\n"), /must have a DENO_VERSION line/);
});

gpuTest("doctor --json prints one object with the fields others rely on, and exits with 0", async () => {
  let stdout = "";
  const streams = {
    stdout: (text: string) => stdout += text,
    stderr() {},
    isTerminal: false,
    columns: () => 80,
  };
  const io = createIo(streams, { json: true, signal: new AbortController().signal });
  assert.equal(await run(["--json"], io), 0);
  const report = JSON.parse(stdout);
  assert.equal(typeof report.adapter, "string");
  assert.ok(report.limits.maxBufferSize > 0);
  assert.equal(report.deno, Deno.version.deno);
  assert.equal(report.ok, true);
  for (const key of ["features", "ffmpeg", "mpi", "memory"]) assert.ok(key in report, key);
  assert.deepEqual(report.kernels.filter(({ error }: { error: string | null }) => error !== null), []);
  assert.ok(report.kernels.length >= 2);
});

Deno.test("doctor takes no argument", async () => {
  const streams = { stdout() {}, stderr() {}, isTerminal: false, columns: () => 80 };
  const io = createIo(streams, { json: false, signal: new AbortController().signal });
  await assert.rejects(run(["gpu"], io), /there is no place for the argument "gpu"/);
  assert.equal(command.name, "doctor");
});
