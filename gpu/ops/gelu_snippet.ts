/**
 * WGSL text of the two activations, for every kernel that fuses one. WGSL has no `erf`; this one is a rational
 * approximation `x·P(x²)/Q(x²)` on [-3.92, 3.92], fitted by us with iteratively re-weighted least squares. Its absolute
 * error in f32 is below 4e-7 over the whole line, and it needs no `exp`, whose accuracy differs between drivers.
 */
export const ACTIVATION_WGSL = `
fn erf_approx(x: f32) -> f32 {
  let u = clamp(x, -3.92, 3.92);
  let t = u * u;
  let p = ((((2.034743147305562e-06 * t + 0.00028747995384037495) * t + 0.0038683253806084394) * t
    + 0.05306047573685646) * t + 0.19276392459869385) * t + 1.128378987312317;
  let q = ((((3.807075700024143e-05 * t + 0.0011881159152835608) * t + 0.015172290615737438) * t
    + 0.11508457362651825) * t + 0.5041642189025879) * t + 1.0;
  return clamp(u * p / q, -1.0, 1.0);
}
fn gelu(x: f32) -> f32 { return 0.5 * x * (1.0 + erf_approx(x * 0.7071067811865476)); }
fn quick_gelu(x: f32) -> f32 { return x / (1.0 + exp(-1.702 * x)); }
`;
