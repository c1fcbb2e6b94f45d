// Gradient of temporal_deficit: with f = ½ dout + ½ mean over channels of dout, dx[t] = f[t] − Σ f[u] over the frames u of
// t − 1, t, t + 1 whose maximum stands at t. The maximum of u is the first of u − 1, u, u + 1 that none after it exceeds.
// One invocation per row of channels, as in the forward pass.
alias x_t = f32; // storage types: f32 or f16; sums are always f32
alias dout_t = f32;
alias dx_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32,     // rows, B · T · P
  frames: u32,    // T
  positions: u32, // P
  channels: u32,  // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;       // [B T P C]
@group(0) @binding(2) var<storage, read_write> dout: array<dout_t>; // [B T P C]
@group(0) @binding(3) var<storage, read_write> dx: array<dx_t>;     // [B T P C]

const LOWEST: f32 = -3.4e38; // stands for a frame outside of the clip

fn half_mean(start: u32) -> f32 {
  var sum = 0.0;
  for (var c = 0u; c < params.channels; c++) {
    sum += f32(dout[start + c]);
  }
  return 0.5 * sum / f32(params.channels);
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (row >= params.count) {
    return;
  }
  let t = (row / params.positions) % params.frames;
  let frame = params.positions * params.channels;
  let start = row * params.channels;
  let has_before = t > 0u;
  let has_after = t + 1u < params.frames;
  let has_second_before = t > 1u;
  let has_second_after = t + 2u < params.frames;
  // Places that lie outside of the clip are never used; they point at the row itself.
  let before = select(start, start - frame, has_before);
  let after = select(start, start + frame, has_after);
  let second_before = select(start, start - 2u * frame, has_second_before);
  let second_after = select(start, start + 2u * frame, has_second_after);
  let mean = half_mean(start);
  let mean_before = half_mean(before);
  let mean_after = half_mean(after);
  for (var c = 0u; c < params.channels; c++) {
    let value = f32(x[start + c]);
    let x_before = select(LOWEST, f32(x[before + c]), has_before);
    let x_after = select(LOWEST, f32(x[after + c]), has_after);
    let x_second_before = select(LOWEST, f32(x[second_before + c]), has_second_before);
    let x_second_after = select(LOWEST, f32(x[second_after + c]), has_second_after);
    // A later frame must exceed an earlier one to be the maximum.
    let own = value > x_before && value >= x_after;
    let of_before = has_before && value > x_before && value > x_second_before;
    let of_after = has_after && value >= x_after && value >= x_second_after;
    let flow = 0.5 * f32(dout[start + c]) + mean;
    var sum = select(flow, 0.0, own);
    sum -= select(0.0, 0.5 * f32(dout[before + c]) + mean_before, of_before);
    sum -= select(0.0, 0.5 * f32(dout[after + c]) + mean_after, of_after);
    dx[start + c] = dx_t(sum);
  }
}
