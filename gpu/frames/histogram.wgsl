// Counts how often each 8-bit level occurs in each frame: of the three channels, or of the luminance as the first one.
// source: [T pixels], R | G << 8 | B << 16 · counts: [T 3 256], added to.
const WG_SIZE: u32 = 256u;

struct Params {
  pixels: u32, // of a frame
  grey: u32,   // 1: count luminance
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> source: array<u32>;

var<workgroup> part: array<atomic<u32>, 768>; // starts at zero

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let first = group.z * params.pixels;
  for (var i = group.x * WG_SIZE + local; i < params.pixels; i += groups.x * WG_SIZE) {
    let pixel = source[first + i];
    let rgb = vec3u(pixel, pixel >> 8u, pixel >> 16u) & vec3u(255u);
    if (params.grey == 1u) {
      atomicAdd(&part[(19595u * rgb.x + 38470u * rgb.y + 7471u * rgb.z + 32768u) >> 16u], 1u);
    } else {
      atomicAdd(&part[rgb.x], 1u);
      atomicAdd(&part[256u + rgb.y], 1u);
      atomicAdd(&part[512u + rgb.z], 1u);
    }
  }
  workgroupBarrier();
  for (var entry = local; entry < 768u; entry += WG_SIZE) {
    let count = atomicLoad(&part[entry]);
    if (count > 0u) {
      atomicAdd(&counts[group.z * 768u + entry], count);
    }
  }
}
