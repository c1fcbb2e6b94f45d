// Gradient of unfold (col2im): every pixel sums the entries of the patches that contain it.
alias dout_t = f32; // storage types: f32 or f16; sums are always f32
alias dx_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32,    // elements of dx
  columns: u32,  // channels · kernel
  frames: u32,   // T
  channels: u32,
  height: u32,   // of x, in pixels
  width: u32,
  out_frames: u32,
  out_height: u32,
  out_width: u32,
  kernel: vec3u, // time, rows, columns
  stride: vec3u,
  padding: vec3u,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> dout: array<dout_t>; // [B · out_frames · out_height · out_width, columns]
@group(0) @binding(2) var<storage, read_write> dx: array<dx_t>;     // [B · T, channels, height, width]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let column = i % params.width;
  let row = (i / params.width) % params.height;
  let channel = (i / (params.width * params.height)) % params.channels;
  let frame = i / (params.width * params.height * params.channels);
  let clip = frame / params.frames;
  let place = vec3u(frame % params.frames, row, column) + params.padding;
  // Patches o with o · stride ≤ place < o · stride + kernel.
  let first = (max(place + 1u, params.kernel) - params.kernel + params.stride - 1u) / params.stride;
  let last = min(place / params.stride + 1u, vec3u(params.out_frames, params.out_height, params.out_width));
  var sum = 0.0;
  for (var t = first.x; t < last.x; t++) {
    for (var y = first.y; y < last.y; y++) {
      for (var z = first.z; z < last.z; z++) {
        let k = place - vec3u(t, y, z) * params.stride;
        let patch_row = ((clip * params.out_frames + t) * params.out_height + y) * params.out_width + z;
        let entry = ((channel * params.kernel.x + k.x) * params.kernel.y + k.y) * params.kernel.z + k.z;
        sum += f32(dout[patch_row * params.columns + entry]);
      }
    }
  }
  dx[i] = dx_t(sum);
}
