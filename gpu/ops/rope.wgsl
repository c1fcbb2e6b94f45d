// Rotary positions on a square grid of patches: pairs of channels are turned by the angle of the patch's row in the first
// half of a head, of its column in the second half. Tokens before the patches and columns past `turned_pairs` are copied.
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two
const ENTRIES: u32 = 64u;  // at least grid · head_pairs / 4, rounded up

struct Params {
  count: u32,        // pairs of elements
  row_pairs: u32,    // E / 2
  turned_pairs: u32, // columns that are turned / 2
  head_pairs: u32,   // head size / 2
  tokens: u32,       // N
  skipped: u32,      // tokens before the patches
  grid: u32,         // patches of one side
  direction: f32,    // 1, or -1 for the transposed map
  // cos and sin by place on the grid and frequency [grid head_pairs/2], two of them a vector. A table, because WGSL allows
  // its own cos and sin an error of 2^-11.
  angles: array<vec4f, ENTRIES>,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [B N E]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>; // [B N E]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let column = i % params.row_pairs;
  let token = (i / params.row_pairs) % params.tokens;
  if (token < params.skipped || column >= params.turned_pairs) {
    out[2u * i] = out_t(x[2u * i]);
    out[2u * i + 1u] = out_t(x[2u * i + 1u]);
    return;
  }
  let patch_index = token - params.skipped;
  let frequencies = params.head_pairs / 2u;
  let pair = column % params.head_pairs;
  let place = select(patch_index % params.grid, patch_index / params.grid, pair < frequencies);
  let entry = place * frequencies + pair % frequencies;
  let both = params.angles[entry / 2u];
  let angle = select(both.xy, both.zw, entry % 2u == 1u);
  let turn = vec2f(angle.x, params.direction * angle.y);
  let a = f32(x[2u * i]);
  let b = f32(x[2u * i + 1u]);
  out[2u * i] = out_t(a * turn.x - b * turn.y);
  out[2u * i + 1u] = out_t(b * turn.x + a * turn.y);
}
