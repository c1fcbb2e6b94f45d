// A rank's sums for the gradient of batch normalisation side by side, so that one exchange sums both over ranks.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  channels: u32, // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> first: array<f32>;  // [C]
@group(0) @binding(2) var<storage, read_write> second: array<f32>; // [C]
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;   // [2 C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.channels) {
    return;
  }
  sums[c] = first[c];
  sums[c + params.channels] = second[c];
}
