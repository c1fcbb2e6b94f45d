/** A device that is opened ahead: what it lacks is told at once. */
import assert from "node:assert/strict";
import { PLAIN_GPU } from "../../../gpu/tuning/family.ts";
import { AdapterError } from "../../../lib/errors.ts";
import { EarlyDevice } from "../../../train/runtime/open_session.ts";
import type { RemoteDevice } from "../../../train/runtime/device/remote_device.ts";
import { halvesNeed } from "../../../train/tasks/session_options.ts";

/** An adapter's device with some features, and how often it was closed. */
function deviceWith(features: string[]) {
  const told = { closed: 0, adopted: 0 };
  const device = {
    info: { name: "Toy", environment: { ...PLAIN_GPU, features: new Set(features) } },
    adopt: () => void told.adopted++,
    [Symbol.asyncDispose]: () => Promise.resolve(void told.closed++),
  };
  return { told, open: () => Promise.resolve(device as unknown as RemoteDevice) };
}

Deno.test("a device that lacks what the recipe needs is refused when it is opened, and closed", async () => {
  const halves = halvesNeed({ precision: "f16", arithmetic: "f32" });
  const plain = deviceWith([]);
  await assert.rejects(EarlyDevice.open({ halves, open: plain.open }), (error) => {
    assert.ok(error instanceof AdapterError);
    assert.match(
      error.message,
      /^Cannot use precision f16 on adapter "Toy": it must have the feature shader-f16; use precision=f32$/,
    );
    return true;
  });
  assert.equal(plain.told.closed, 1);

  const other = deviceWith(["shader-f16"]);
  const early = await EarlyDevice.open({ halves, open: other.open });
  await early[Symbol.asyncDispose]();
  assert.deepEqual(other.told, { closed: 1, adopted: 1 });
});
