// Counts the update that was made or skipped. The next one has no mark yet, unless as many have been skipped in a row as may be:
// then nothing changes any more.
struct Params {
  most: f32, // updates that may be skipped in a row
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> guard: array<f32>; // [3]: skip, skipped, skipped in a row

@compute @workgroup_size(1)
fn main() {
  let skip = guard[0];
  let in_a_row = select(0.0, guard[2] + 1.0, skip != 0.0);
  guard[0] = select(0.0, 1.0, in_a_row >= params.most);
  guard[1] = guard[1] + skip;
  guard[2] = in_a_row;
}
