/**
 * The timing behind `run.ts`: rounds of sidenet, jax-js and TensorFlow.js on the same product, so that whatever else the
 * machine does falls on all three; each keeps its best round. Results are compared before anything is timed.
 */

import { plainSpec } from "../matmul.ts";
import { openGpu } from "../../gpu/device.ts";
import type { Gpu } from "../../gpu/device.ts";
import { defaultVariant } from "../../gpu/tuning/family.ts";
import { MATMUL } from "../../gpu/ops/matmul_kernel.ts";
import type { MatmulSpec } from "../../gpu/ops/matmul_kernel.ts";

const ROUNDS = 5;
const [M, N, K] = [1576, 768, 768];

/** One contestant: `run` computes the product `times` times and waits until the adapter has finished. */
interface Contestant {
  name: string;
  /** Products in one timed run: enough that the 10 ms poll for completion does not matter. */
  times: number;
  run(times: number): Promise<void>;
  result(): Promise<ArrayLike<number>>;
}

/** The packages are found at run time, so that this file type-checks where they are not installed. */
// deno-lint-ignore no-explicit-any
const load = (name: string): Promise<any> => import(name);

function randomMatrix(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

function sidenet(
  gpu: Gpu,
  spec: MatmulSpec,
  a: Float32Array<ArrayBuffer>,
  b: Float32Array<ArrayBuffer>,
): Contestant {
  const { device } = gpu;
  const variant = defaultVariant(MATMUL, spec, gpu.environment);
  const kernel = variant.build(spec);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST |
    GPUBufferUsage.COPY_SRC;
  const upload = (
    data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>,
    flags: number,
  ) => {
    const buffer = device.createBuffer({ size: data.byteLength, usage: flags });
    device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  };
  const buffers: Record<string, GPUBuffer> = {
    params: upload(
      kernel.params,
      GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    ),
    a: upload(a, usage),
    b: upload(b, usage),
    c: upload(new Float32Array(M * N), usage),
  };
  const module = device.createShaderModule({
    label: kernel.label,
    code: kernel.code,
  });
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module, entryPoint: kernel.entryPoint },
  });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: kernel.bindings.map((name, binding) => ({
      binding,
      resource: { buffer: buffers[name] },
    })),
  });
  return {
    name: variant.name,
    times: 8,
    async run(times) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < times; i++) {
        pass.dispatchWorkgroups(...kernel.workgroups);
      }
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
    },
    async result() {
      const readback = device.createBuffer({
        size: M * N * 4,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(buffers.c, 0, readback, 0, M * N * 4);
      device.queue.submit([encoder.finish()]);
      await readback.mapAsync(GPUMapMode.READ);
      return new Float32Array(readback.getMappedRange());
    },
  };
}

async function jaxJs(
  spec: MatmulSpec,
  a: Float32Array,
  b: Float32Array,
): Promise<Contestant> {
  const { init, defaultDevice, blockUntilReady, numpy } = await load(
    "@jax-js/jax",
  );
  await init("webgpu");
  defaultDevice("webgpu");
  const left = numpy.array(a).reshape([M, K]);
  const right = numpy.array(b).reshape(spec.transposeB ? [N, K] : [K, N]);
  const product = () =>
    numpy.matmul(
      left.ref,
      spec.transposeB ? numpy.transpose(right.ref) : right.ref,
    );
  await blockUntilReady([left, right]);
  return {
    name: "jax-js",
    times: 2,
    async run(times) {
      const outputs = Array.from({ length: times }, product);
      await blockUntilReady(outputs);
      for (const output of outputs) output.dispose();
    },
    result: () => product().data(),
  };
}

async function tensorflowJs(
  spec: MatmulSpec,
  a: Float32Array,
  b: Float32Array,
): Promise<Contestant> {
  const tf = await load("@tensorflow/tfjs-core");
  await load("@tensorflow/tfjs-backend-webgpu");
  if (!(await tf.setBackend("webgpu"))) {
    throw new Error("Cannot time TensorFlow.js: its webgpu backend must start");
  }
  const left = tf.tensor2d(a, [M, K]);
  const right = tf.tensor2d(b, spec.transposeB ? [N, K] : [K, N]);
  const product = () => tf.matMul(left, right, false, spec.transposeB);
  return {
    name: "TensorFlow.js",
    times: 2,
    async run(times) {
      const outputs = Array.from({ length: times }, product);
      await outputs.at(-1)!.data(); // its queue is only sure to be submitted when something is read
      for (const output of outputs) output.dispose();
    },
    result: () => product().data(),
  };
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
}

const gpu = await openGpu();
const adapter = gpu.name;
for (const transposeB of [true, false]) {
  const spec = plainSpec(M, N, K, { transposeB });
  const a = randomMatrix(M * K, 1);
  const b = randomMatrix(K * N, 2);
  const contestants = [
    sidenet(gpu, spec, a, b),
    await jaxJs(spec, a, b),
    await tensorflowJs(spec, a, b),
  ];
  const results: ArrayLike<number>[] = [];
  for (const contestant of contestants) {
    await contestant.run(1);
    results.push(await contestant.result());
  }
  for (let peer = 1; peer < contestants.length; peer++) {
    for (let i = 0; i < M * N; i++) {
      if (!(Math.abs(results[0][i] - results[peer][i]) < 1e-3)) {
        throw new Error(
          `Cannot compare with ${contestants[peer].name}: C[${i}] must be equal, current values are ${
            results[0][i]
          } ` +
            `and ${results[peer][i]}`,
        );
      }
    }
  }
  const best = contestants.map(() => Infinity);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, contestant] of contestants.entries()) {
      const start = performance.now();
      await contestant.run(contestant.times);
      best[i] = Math.min(
        best[i],
        (performance.now() - start) / contestant.times,
      );
    }
  }
  const name = `matmul ${M}x${N}x${K} ${transposeB ? "nt" : "nn"} f32`;
  const flops = 2 * M * N * K;
  for (const [i, contestant] of contestants.entries()) {
    const ms = Number(best[i].toFixed(2));
    const gflops = Number((flops / best[i] / 1e6).toFixed(2));
    const ratio = Number((best[i] / best[0]).toFixed(2));
    if (!Deno.args.includes("--json")) {
      print(
        `${name.padEnd(30)}${contestant.name.padEnd(34)}${ms.toFixed(1).padStart(9)} ms ` +
          `${gflops.toFixed(1).padStart(6)} GFLOP/s  ratio ${ratio.toFixed(2)}`,
      );
    } else if (i > 0) {
      print(JSON.stringify({ name, peer: contestant.name, ms, ratio }));
    } else {
      const gbps = Number(
        (4 * (M * K + K * N + M * N) / best[0] / 1e6).toFixed(2),
      );
      const shape = `${M}x${N}x${K} ${transposeB ? "nt" : "nn"} f32`;
      print(
        JSON.stringify({
          name,
          variant: contestant.name,
          shape,
          ms,
          gflops,
          gbps,
          adapter,
        }),
      );
    }
  }
}
Deno.exit(0); // the peers keep their devices open
