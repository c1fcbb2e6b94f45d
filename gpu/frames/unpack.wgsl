// Unpacks decoded RGB bytes to one pixel a word. Four pixels are exactly three words, so no invocation shares a word.
// bytes: clip [T H W 3] as bytes, padded to whole words · pixels: [T H W], R | G << 8 | B << 16.
const WG_SIZE: u32 = 64u;

struct Params {
  groups: u32, // groups of four pixels, the last one may be partial
  row: u32,    // invocations in one row of the dispatch
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> bytes: array<u32>;
@group(0) @binding(2) var<storage, read_write> pixels: array<u32>;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let group = id.y * params.row + id.x;
  if (group >= params.groups) {
    return;
  }
  let a = bytes[group * 3u];
  let b = bytes[group * 3u + 1u];
  let c = bytes[group * 3u + 2u];
  let first = group * 4u;
  pixels[first] = a & 0xffffffu;
  pixels[first + 1u] = (a >> 24u) | ((b & 0xffffu) << 8u);
  pixels[first + 2u] = (b >> 16u) | ((c & 0xffu) << 16u);
  pixels[first + 3u] = c >> 8u;
}
