// Last stage of a norm, one workgroup: out[0] = √Σ partials.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  size: u32, // partial sums
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // [size]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [1]

var<workgroup> sums: array<f32, WG_SIZE>;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var at = lane; at < params.size; at += WG_SIZE) {
    sum += partials[at];
  }
  sums[lane] = sum;
  for (var step = WG_SIZE / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      sums[lane] += sums[lane + step];
    }
  }
  if (lane == 0u) {
    out[0] = sqrt(sums[0]);
  }
}
