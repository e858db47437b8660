// The elementary functions of simd.h and lanes.h, one number at a time and also on a device: the
// same bits. Doubles serve tests of the mathematics. Pure; threads may share.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/device_code.h"
#include "common/exact_math_inline.h"

namespace mentor::kernels::scalar {

// a b + c, rounded once.
MENTOR_HD float Fma(float a, float b, float c) {
  return fmaf(a, b, c);
}
MENTOR_HD double Fma(double a, double b, double c) {
  return fma(a, b, c);
}

// NaN stays NaN in all of them: the order of MinOrSecond's operands matters.
MENTOR_HD float Tanh(float x) {
  x = MaxOrSecond(-9.0f, MinOrSecond(9.0f, x));
  const float y = x * x;
  float p = Fma(1.339599751e-8f, y, 2.063878245e-5f);
  p = Fma(p, y, 3.49738953e-3f);
  p = Fma(p, y, 0.1338254179f);
  p = Fma(p, y, 0.99999998f);
  float q = Fma(7.793433324e-7f, y, 3.28858285e-4f);
  q = Fma(q, y, 0.02588383327f);
  q = Fma(q, y, 0.4671585781f);
  q = Fma(q, y, 1.0f);
  const float h = x * p / q;
  return MaxOrSecond(-1.0f, MinOrSecond(1.0f, h));
}
MENTOR_HD double Tanh(double x) {
  return exact::inlined::Tanh(x);
}

MENTOR_HD float Exp(float x) {
  x = MaxOrSecond(-87.0f, MinOrSecond(87.0f, x));
  const float k = rintf(x * 0x1.715476p+0f);
  float r = Fma(k, -0.693359375f, x);
  r = Fma(k, 2.12194440e-4f, r);
  float p = 0.00138147714f;
  p = Fma(p, r, 0.00836869327f);
  p = Fma(p, r, 0.0416683835f);
  p = Fma(p, r, 0.166665209f);
  p = Fma(p, r, 0.499999935f);
  p = Fma(p, r, 1.0f);
  p = Fma(p, r, 1.0f);
  // A NaN has no integer; its power of two does not matter, because p is NaN.
  const uint32_t n = k == k ? static_cast<uint32_t>(static_cast<int32_t>(k)) : 0;
  return p * FloatOfBits((n + 127u) << 23);
}
MENTOR_HD float Sigmoid(float x) {
  return 1.0f / (1.0f + Exp(0.0f - x));
}
MENTOR_HD double Sigmoid(double x) {
  return 1.0 / (1.0 + exact::inlined::Exp(-x));
}

}  // namespace mentor::kernels::scalar
