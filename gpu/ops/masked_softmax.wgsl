// Softmax of each row over the places where the mask is not 0: out = exp(x − max) / Σ exp(x − max) there, and 0 elsewhere.
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias mask_t = f32;
alias out_t = f32;
const ROWS: u32 = 1u;   // rows of a workgroup
const LANES: u32 = 64u; // invocations of a row: power of two; 1 needs no barrier
const WG_SIZE: u32 = ROWS * LANES;

struct Params {
  rows: u32,    // R
  columns: u32, // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;       // [R C]
@group(0) @binding(2) var<storage, read_write> mask: array<mask_t>; // [R C]
@group(0) @binding(3) var<storage, read_write> out: array<out_t>;   // [R C]

var<workgroup> slots: array<f32, WG_SIZE>;

// Sum over the lanes of a row. The last barrier keeps the slots until every lane has read them.
fn row_sum(slot: u32, lane: u32, value: f32) -> f32 {
  if (LANES == 1u) {
    return value;
  }
  slots[slot] = value;
  for (var step = LANES / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      slots[slot] += slots[slot + step];
    }
  }
  workgroupBarrier();
  let total = slots[slot - lane];
  workgroupBarrier();
  return total;
}

// Largest value over the lanes of a row.
fn row_max(slot: u32, lane: u32, value: f32) -> f32 {
  if (LANES == 1u) {
    return value;
  }
  slots[slot] = value;
  for (var step = LANES / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      slots[slot] = max(slots[slot], slots[slot + step]);
    }
  }
  workgroupBarrier();
  let largest = slots[slot - lane];
  workgroupBarrier();
  return largest;
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) slot: u32) {
  let row = (group.y * groups.x + group.x) * ROWS + slot / LANES;
  let lane = slot % LANES;
  // Rows past the end take part in barriers with an empty range and write nothing.
  let begin = row * params.columns;
  let end = select(begin, begin + params.columns, row < params.rows);
  var largest = -3.4e38;
  for (var i = begin + lane; i < end; i += LANES) {
    if (mask[i] != 0.0) {
      largest = max(largest, f32(x[i]));
    }
  }
  largest = row_max(slot, lane, largest);
  var sum = 0.0;
  for (var i = begin + lane; i < end; i += LANES) {
    if (mask[i] != 0.0) {
      sum += exp(f32(x[i]) - largest);
    }
  }
  sum = row_sum(slot, lane, sum);
  for (var i = begin + lane; i < end; i += LANES) {
    if (mask[i] != 0.0) {
      out[i] = out_t(exp(f32(x[i]) - largest) / sum);
    } else {
      out[i] = out_t(0.0);
    }
  }
}
