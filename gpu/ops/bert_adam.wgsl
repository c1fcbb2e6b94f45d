// One step of BertAdam, the AdamW of BERT's code before torch had one: no bias correction, eps outside the square root, and a decay that
// is added to the update. The step's constants lie in `hyper` from `hyper_offset` on: lr, beta1, beta2, eps, weight decay, gradient
// scale. The gradient is multiplied by that scale and by clip[0].
// Where the guard marks the update as one to skip, nothing changes. After n skipped updates the constants are those n · hyper_stride
// further on, at most hyper_last.
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,        // elements
  hyper_offset: u32, // in elements, as the next two
  hyper_stride: u32,
  hyper_last: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> param: array<f32>; // [count]
@group(0) @binding(2) var<storage, read_write> grad: array<f32>;  // [count]
@group(0) @binding(3) var<storage, read_write> m: array<f32>;     // [count]
@group(0) @binding(4) var<storage, read_write> v: array<f32>;     // [count]
@group(0) @binding(5) var<storage, read_write> hyper: array<f32>; // [H]
@group(0) @binding(6) var<storage, read_write> clip: array<f32>;  // [1]
@group(0) @binding(7) var<storage, read_write> guard: array<f32>; // [3]: skip, skipped, skipped in a row

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count || guard[0] != 0.0) {
    return;
  }
  let h = params.hyper_offset + min(u32(guard[1]) * params.hyper_stride, params.hyper_last);
  let beta1 = hyper[h + 1u];
  let beta2 = hyper[h + 2u];
  let gradient = grad[i] * hyper[h + 5u] * clip[0];
  let first = beta1 * m[i] + (1.0 - beta1) * gradient;
  let second = beta2 * v[i] + (1.0 - beta2) * gradient * gradient;
  m[i] = first;
  v[i] = second;
  param[i] -= hyper[h] * (first / (sqrt(second) + hyper[h + 3u]) + hyper[h + 4u] * param[i]);
}
