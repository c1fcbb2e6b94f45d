// First stage of counting: partials[i] = how many of bits[i + n · count] are NaN or infinite. The values are read as bits and
// never as floats, because a compiler may take it that no float is either.
const WG_SIZE: u32 = 64u; // tunable: power of two
const EXPONENT: u32 = 0x7f800000u; // all ones in NaN and infinity alone

struct Params {
  count: u32, // partial counts
  size: u32,  // elements of bits
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> bits: array<u32>;     // [size], of f32 values
@group(0) @binding(2) var<storage, read_write> partials: array<f32>; // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  var found = 0u;
  for (var at = i; at < params.size; at += params.count) {
    found += select(0u, 1u, (bits[at] & EXPONENT) == EXPONENT);
  }
  partials[i] = f32(found);
}
