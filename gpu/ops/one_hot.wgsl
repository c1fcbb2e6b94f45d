// Class labels as smoothed target distributions: out[b, k] = (1 − smoothing) [k = label] + smoothing / K.
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,     // B · K
  classes: u32,   // K
  smoothing: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> labels: array<u32>; // [B]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;    // [B K]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let hit = labels[i / params.classes] == i % params.classes;
  out[i] = select(0.0, 1.0 - params.smoothing, hit) + params.smoothing / f32(params.classes);
}
