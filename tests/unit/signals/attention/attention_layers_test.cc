#include "signals/attention/attention_layers.h"

#include "tests/conformance/recorded_lifetimes.h"
#include "tests/torch_testing.h"

namespace mentor::signals::TEST_FILE {

using testing::RandomNormals;
using torch::Tensor;

TEST_CASE("attention to the past: a step's signal is that of an episode which ends there") {
  const AttentionSizes whole{.inputs = 5,
                             .encoder_hidden = {7},
                             .width = 8,
                             .heads = 2,
                             .blocks = {{}},
                             .head_hidden = std::vector<int64_t>{6},
                             .bounded = false};
  AttentionSizes past = whole;
  past.past_only = true;
  const agents::ParamLayout layout = whole.Layout();
  const Tensor weights = RandomNormals({layout.size()}, 1, torch::kFloat64).requires_grad_(true);
  constexpr int64_t kLifetimes = 2, kSteps = 9;
  const Tensor x = RandomNormals({kLifetimes, kSteps, whole.inputs}, 2, torch::kFloat64),
               shares = RandomNormals({kLifetimes, kSteps}, 3, torch::kFloat64);
  Tensor prev_done = torch::zeros({kLifetimes, kSteps});
  prev_done[0][4] = 1;
  const auto run = [&](const AttentionSizes& sizes, int64_t steps) {
    return RunAttention(sizes, layout.Split(weights), x.narrow(1, 0, steps),
                        Episodes(prev_done.narrow(1, 0, steps)))
        .signals;
  };
  std::vector<Tensor> ends;
  for (int64_t t = 0; t < kSteps; ++t) ends.push_back(run(whole, t + 1).select(1, t));
  const Tensor expected = torch::stack(ends, 1), got = run(past, kSteps);
  CHECK((got - expected).abs().max().item<double>() < 1e-12);
  const auto gradient = [&](const Tensor& signals) {
    return torch::autograd::grad({(shares * signals).sum()}, {weights}, {}, true)[0];
  };
  const Tensor wanted = gradient(expected);
  CHECK((gradient(got) - wanted).abs().max().item<double>() < 1e-12);
  CHECK(wanted.abs().max().item<double>() > 0.1);
  // Later steps count without the option.
  CHECK((run(whole, kSteps) - expected).abs().max().item<double>() > 0.01);
}

}  // namespace mentor::signals::TEST_FILE
