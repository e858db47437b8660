#include "agents/row_statistics.h"

namespace mentor::agents {

using torch::Tensor;

Tensor Mean(const Tensor& x) {
  return x.sum(1) / static_cast<double>(x.size(1));
}

Tensor SafeSqrt(const Tensor& x) {
  const Tensor positive = x > 0;
  return torch::where(positive, torch::where(positive, x, torch::ones_like(x)).sqrt(),
                      torch::zeros_like(x));
}

Tensor StandardDeviation(const Tensor& x, int64_t ddof) {
  const Tensor centred = x - Mean(x).unsqueeze(1);
  return SafeSqrt(centred.square().sum(1) / static_cast<double>(x.size(1) - ddof));
}

Tensor Standardised(const Tensor& x, const Standardisation& how) {
  Tensor std = StandardDeviation(x, how.ddof);
  if (how.std_floor > 0) std = std.clamp_min(how.std_floor);
  return (x - Mean(x).unsqueeze(1)) / (std.unsqueeze(1) + how.epsilon);
}

Tensor ApproxKl(const Tensor& log_ratio) {
  const Tensor x = log_ratio.detach().to(torch::kFloat64);
  return Mean(x.expm1() - x);
}

}  // namespace mentor::agents
