/**
 * Asked for it, tells of the adapter that WebGPU takes under the environment as it is then: it reads that once a thread, when the first
 * adapter is asked for.
 */
import { adapterName } from "../../gpu/adapter.ts";

/** An adapter, as far as it can be told apart from others. */
export interface SeenAdapter {
  readonly name: string;
  /** Everything that it says of itself: adapters of other drivers or other APIs say something else. */
  readonly identity: string;
}

/** What is answered. */
export type AdapterAnswer = { readonly seen: SeenAdapter | null } | { readonly error: string };

async function seeAdapter(): Promise<SeenAdapter | null> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) return null;
  const { info, limits } = adapter, all = limits as unknown as Record<string, number>;
  const numbers: [string, number][] = [];
  for (const name in all) numbers.push([name, all[name]]); // they stand on the prototype
  const { vendor, architecture, device, description } = info;
  const identity = JSON.stringify([vendor, architecture, device, description, numbers]);
  return { name: adapterName(info), identity };
}

const scope = self as unknown as {
  onmessage: () => Promise<void>;
  postMessage(answer: AdapterAnswer): void;
};

scope.onmessage = async () => {
  try {
    scope.postMessage({ seen: await seeAdapter() });
  } catch (error) {
    scope.postMessage({ error: (error as Error).message });
  }
};
