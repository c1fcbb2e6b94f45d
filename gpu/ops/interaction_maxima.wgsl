// Largest masked score of every word with the frames of a clip, or of every frame with the words of a sentence, and which it was: the
// first one among equals. Scores are those of a few sentences with all clips. A padded word scores 0; a padded frame is left out, and
// where nothing is left the largest is 0.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32,       // maxima
  length: u32,      // scores that one of them is over
  columns: u32,     // B · T
  inner: u32,       // elements between two of those scores: 1 over frames, B · T over words
  row_step: u32,    // rows between two of them
  column_step: u32, // columns between two of them
  first_row: u32,   // row of word_mask where the scores begin
  first_out: u32,   // place of the first maximum
  out_stride: u32,  // places between maxima of neighbouring columns, over words
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scores: array<f32>;     // [rows B·T]
@group(0) @binding(2) var<storage, read_write> word_mask: array<f32>;  // [A·L]
@group(0) @binding(3) var<storage, read_write> frame_mask: array<f32>; // [B·T]
@group(0) @binding(4) var<storage, read_write> largest: array<f32>;    // [A L B] over frames, [B T A] over words
@group(0) @binding(5) var<storage, read_write> best: array<f32>;       // the same shape; whole numbers

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let start = (i / params.inner) * params.inner * params.length + i % params.inner;
  var row = start / params.columns;
  var column = start % params.columns;
  var highest = 0.0;
  var place = 0u;
  var is_first = true;
  for (var k = 0u; k < params.length; k++) {
    if (frame_mask[column] != 0.0) {
      let score = scores[row * params.columns + column] * word_mask[params.first_row + row] * frame_mask[column];
      if (is_first || score > highest) {
        highest = score;
        place = k;
      }
      is_first = false;
    }
    row += params.row_step;
    column += params.column_step;
  }
  let at = params.first_out + i / params.inner + (i % params.inner) * params.out_stride;
  largest[at] = highest;
  best[at] = f32(place);
}
