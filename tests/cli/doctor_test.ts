/** The report of `sidenet doctor` for machines of several kinds, and for this one. */
import assert from "node:assert/strict";
import {
  command,
  findingsOf,
  formatFindings,
  jsonOf,
  type Machine,
  pinnedDenoVersion,
  run,
} from "../../cli/doctor.ts";
import { createIo } from "../../cli/shared/output.ts";
import { gpuTest } from "../_util/gpu.ts";

const GOOD: Machine = {
  os: "linux",
  adapter: {
    name: "llvmpipe",
    vendor: "Mesa",
    isSoftware: true,
    features: ["shader-f16", "subgroups", "timestamp-query"],
    limits: {
      maxBufferSize: 2 ** 31,
      maxStorageBufferBindingSize: 2 ** 27,
      maxComputeWorkgroupStorageSize: 32768,
      maxComputeInvocationsPerWorkgroup: 1024,
    },
  },
  vulkanDrivers: ["lvp_icd.x86_64.json"],
  deno: "2.9.6",
  pinnedDeno: "2.9.6",
  ffmpeg: "ffmpeg version 5",
  ffprobe: "ffprobe version 5",
  mpi: "HYDRA build details",
  jpegError: null,
  freeBytes: 2 ** 40,
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
});

Deno.test("doctor says what to install where there is no adapter", () => {
  const change = { adapter: null, adapterError: "no adapter", vulkanDrivers: [] };
  assert.equal(finding(change, "GPU adapter").state, "missing");
  assert.match(finding(change, "GPU adapter").advice!, /apt-get install mesa-vulkan-drivers/);
  assert.equal(finding(change, "Vulkan drivers").state, "missing");
  const machine = { ...GOOD, ...change };
  const json = jsonOf(machine, findingsOf(machine));
  assert.deepEqual([json.adapter, json.features, json.limits, json.ok], [null, [], {}, false]);
});

Deno.test("doctor warns of an adapter that comes through OpenGL", () => {
  assert.equal(finding({ vulkanDrivers: [] }, "Vulkan drivers").state, "warning");
  assert.match(finding({ vulkanDrivers: [] }, "Vulkan drivers").text, /OpenGL/);
});

Deno.test("doctor takes ffmpeg, ffprobe, MPI and optional features for what they are: not needed to train", () => {
  const adapter = { ...GOOD.adapter!, features: [] };
  const machine: Machine = { ...GOOD, adapter, ffprobe: null, mpi: null };
  const findings = findingsOf(machine);
  const absent = findings.filter(({ state }) => state === "optional").map(({ topic }) => topic);
  assert.deepEqual(absent, ["shader-f16", "subgroups", "timestamp-query", "ffmpeg", "MPI"]);
  const json = jsonOf(machine, findings);
  assert.deepEqual([json.ffmpeg, json.mpi, json.ok], [null, null, true]);
  assert.match(finding({ ffprobe: null }, "ffmpeg").text, /^ffprobe not found/);
});

Deno.test("doctor reports another Deno, a JPEG decoder that fails and a full disk", () => {
  assert.equal(finding({ deno: "2.0.0" }, "Deno").state, "warning");
  assert.match(finding({ deno: "2.0.0" }, "Deno").text, /tested with 2\.9\.6/);
  assert.equal(finding({ jpegError: "no libvips" }, "JPEG decoder").state, "missing");
  assert.equal(finding({ freeBytes: 2 ** 20 }, "disk").state, "warning");
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
  for (const key of ["features", "ffmpeg", "mpi"]) assert.ok(key in report, key);
});

Deno.test("doctor takes no argument", async () => {
  const streams = { stdout() {}, stderr() {}, isTerminal: false, columns: () => 80 };
  const io = createIo(streams, { json: false, signal: new AbortController().signal });
  await assert.rejects(run(["gpu"], io), /there is no place for the argument "gpu"/);
  assert.equal(command.name, "doctor");
});
