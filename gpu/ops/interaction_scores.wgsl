// Scores of sentences with clips from the largest scores of their words and frames:
// out[a, b] = (Σ_l alpha[a, l] · word_largest[a, l, b] + Σ_t beta[b, t] · frame_largest[b, t, a]) / 2.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32,     // A · B
  sentences: u32, // A
  words: u32,     // L
  clips: u32,     // B
  frames: u32,    // T
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> alpha: array<f32>;         // [A L]
@group(0) @binding(2) var<storage, read_write> beta: array<f32>;          // [B T]
@group(0) @binding(3) var<storage, read_write> word_largest: array<f32>;  // [A L B]
@group(0) @binding(4) var<storage, read_write> frame_largest: array<f32>; // [B T A]
@group(0) @binding(5) var<storage, read_write> out: array<f32>;           // [A B]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let a = i / params.clips;
  let b = i % params.clips;
  var of_words = 0.0;
  for (var l = a * params.words; l < (a + 1u) * params.words; l++) {
    of_words += alpha[l] * word_largest[l * params.clips + b];
  }
  var of_frames = 0.0;
  for (var t = b * params.frames; t < (b + 1u) * params.frames; t++) {
    of_frames += beta[t] * frame_largest[t * params.sentences + a];
  }
  out[i] = 0.5 * (of_words + of_frames);
}
