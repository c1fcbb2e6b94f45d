// Mixes clips with those in their place of the reversed batch, in place: weighted (mixup), or a box of them (CutMix).
// values: [B planes S S], f32. An invocation writes a value of a clip and of its partner, so nobody reads what is mixed.
const WG_X: u32 = 16u;
const WG_Y: u32 = 4u;

struct Params {
  size: u32,   // S
  planes: u32, // of a clip
  clips: u32,  // B
  weight: f32, // of the clip itself
  rest: f32,   // of its partner
  cut: u32,    // 1: exchange the box instead
  left: u32,
  top: u32,
  right: u32,  // exclusive
  bottom: u32, // exclusive
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.size || id.y >= params.size) {
    return;
  }
  let clip = id.z / params.planes;
  let within = ((id.z % params.planes) * params.size + id.y) * params.size + id.x;
  let clip_values = params.planes * params.size * params.size;
  let at = clip * clip_values + within;
  let partner = (params.clips - 1u - clip) * clip_values + within;
  let a = values[at];
  let b = values[partner];
  if (params.cut == 1u) {
    if (id.x >= params.left && id.x < params.right && id.y >= params.top && id.y < params.bottom) {
      values[at] = b;
      values[partner] = a;
    }
    return;
  }
  values[at] = a * params.weight + b * params.rest;
  values[partner] = b * params.weight + a * params.rest;
}
