/** A device that is opened after another, whose Worker and GPU tests keep. */
import assert from "node:assert/strict";
import { RemoteDevice } from "../../../../train/runtime/device/remote_device.ts";
import { gpuTest } from "../../../_util/gpu.ts";

gpuTest(
  "a device that is opened after another has its own choices, and Workers for two at a time",
  async () => {
    const choicesOf = ({ info }: RemoteDevice) => [...info.environment.choices];
    for (const choices of [[["a", "one"]], [["b", "two"]], []] as [string, string][][]) {
      await using device = await RemoteDevice.open({ choices: new Map(choices) });
      await using other = await RemoteDevice.open();
      assert.deepEqual([choicesOf(device), choicesOf(other)], [choices, []]);
      assert.equal(device.info.name, other.info.name);
    }
  },
);
