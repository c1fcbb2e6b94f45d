// Marks the update under way as one to skip, where any of the values that it depends on is not finite.
struct Params {
  count: u32, // parts that were counted
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> non_finite: array<f32>; // [count], values of each part that are not finite
@group(0) @binding(2) var<storage, read_write> guard: array<f32>;      // [3]: skip, skipped, skipped in a row

@compute @workgroup_size(1)
fn main() {
  for (var i = 0u; i < params.count; i++) {
    if (non_finite[i] != 0.0) {
      guard[0] = 1.0;
    }
  }
}
