// First stage of the norms of tensors that lie one after another: partials[tensor, part] = Σ grad² over every PARTS-th run of elements.
const WG_SIZE: u32 = 64u; // tunable: power of two
const PARTS: u32 = 32u;   // workgroups of a tensor
const STARTS: u32 = 257u; // vectors of four starts

struct Params {
  starts: array<vec4u, STARTS>, // first element of every tensor, and the end of the last
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad: array<f32>;     // [R]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>; // [tensors PARTS]

var<workgroup> sums: array<f32, WG_SIZE>;

fn start_of(tensor: u32) -> u32 {
  return params.starts[tensor / 4u][tensor % 4u];
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let end = start_of(group.y + 1u);
  var sum = 0.0;
  for (var i = start_of(group.y) + group.x * WG_SIZE + lane; i < end; i += PARTS * WG_SIZE) {
    sum += grad[i] * grad[i];
  }
  sums[lane] = sum;
  for (var step = WG_SIZE / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      sums[lane] += sums[lane + step];
    }
  }
  if (lane == 0u) {
    partials[group.y * PARTS + group.x] = sums[0];
  }
}
