// What flows from every frame into every word of a few sentences (or, with the two in each other's place, from words into frames): the
// weight of the word where the frame was its best, plus the weight of the frame where the word was its best, by the pair's own flow.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32,       // elements of out
  sentences: u32,   // A
  words: u32,       // L
  clips: u32,       // B
  frames: u32,      // T
  first_row: u32,   // row of [A·L] where out begins
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> flow: array<f32>;         // [A B]
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;       // [A L]
@group(0) @binding(3) var<storage, read_write> mask: array<f32>;         // [A L]
@group(0) @binding(4) var<storage, read_write> best: array<f32>;         // [A L B], numbers of frames
@group(0) @binding(5) var<storage, read_write> other_weight: array<f32>; // [B T]
@group(0) @binding(6) var<storage, read_write> other_mask: array<f32>;   // [B T]
@group(0) @binding(7) var<storage, read_write> other_best: array<f32>;   // [B T A], numbers of words
@group(0) @binding(8) var<storage, read_write> out: array<f32>;          // [rows B·T]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let columns = params.clips * params.frames;
  let row = params.first_row + i / columns;
  let column = i % columns;
  let a = row / params.words;
  let b = column / params.frames;
  var value = 0.0;
  if (u32(best[row * params.clips + b]) == column % params.frames) {
    value += weight[row];
  }
  if (u32(other_best[column * params.sentences + a]) == row % params.words) {
    value += other_weight[column];
  }
  out[i] = value * flow[a * params.clips + b] * mask[row] * other_mask[column];
}
