// dm_control's tolerance: 1 while a number lies between two bounds, and falling outside. Immutable;
// threads may share.
#pragma once

#include <string_view>
#include <utility>

namespace mentor::envs {

// How it falls with s, the distance outside as a share of the margin. The first four never reach 0.
enum class Sigmoid {
  kGaussian,    // exp(-(k s)^2 / 2)
  kHyperbolic,  // 1 / cosh(k s)
  kLongTail,    // 1 / ((k s)^2 + 1)
  kReciprocal,  // 1 / (|k s| + 1)
  kLinear,      // 1 - k s
  kQuadratic,   // 1 - (k s)^2
  kCosine,      // (1 + cos(pi k s)) / 2
  kTanhSquared  // 1 - tanh(k s)^2
};
inline constexpr std::pair<std::string_view, Sigmoid> kSigmoids[] = {
    {"gaussian", Sigmoid::kGaussian},  {"hyperbolic", Sigmoid::kHyperbolic},
    {"long_tail", Sigmoid::kLongTail}, {"reciprocal", Sigmoid::kReciprocal},
    {"linear", Sigmoid::kLinear},      {"quadratic", Sigmoid::kQuadratic},
    {"cosine", Sigmoid::kCosine},      {"tanh_squared", Sigmoid::kTanhSquared}};

class Tolerance {
 public:
  // value_at_margin: the value at the margin, between 0 and 1; linear, quadratic and cosine also
  // accept 0.
  explicit Tolerance(Sigmoid sigmoid, double value_at_margin = 0.1);

  // NaN for a negative margin. With a margin of 0 it is 0 outside.
  double operator()(double x, double low, double high, double margin) const;

 private:
  Sigmoid sigmoid_;
  double k_;
};

}  // namespace mentor::envs
