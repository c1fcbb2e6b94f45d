/** CMYK to RGB in Pillow's arithmetic: without colour profiles, in whole numbers. */

/**
 * RGB of CMYK samples.
 *
 * @param samples 0: no ink; channels beyond the four are left out
 */
export function cmykToRgb(samples: Uint8Array, channels: number): Uint8Array {
  const rgb = new Uint8Array(samples.length / channels * 3);
  for (let from = 0, to = 0; to < rgb.length; from += channels) {
    const light = 255 - samples[from + 3];
    for (let ink = 0; ink < 3; ink++, to++) {
      const product = samples[from + ink] * light + 128;
      rgb[to] = light - (((product >> 8) + product) >> 8); // the product over 255, rounded
    }
  }
  return rgb;
}
