#include "agents/ppo_step.h"

#include <numeric>

#include "agents/ppo_values.h"
#include "tests/ppo_problem.h"
#include "tests/testing.h"

namespace mentor::agents::TEST_FILE {

using testing::PpoProblem;
using testing::PpoProblemShape;

using Common = CommonPpoSizes;

struct Reversed {
  void operator()(std::vector<int>* threads) const {
    std::iota(threads->rbegin(), threads->rend(), 0);
  }
};
struct Shuffled {
  uint32_t phase = 0;
  void operator()(std::vector<int>* threads) {
    const RandomStream stream{.seed = 11};
    for (uint32_t i = static_cast<uint32_t>(threads->size()) - 1; i > 0; --i)
      std::swap((*threads)[i], (*threads)[stream.Below(i + 1, phase, i)]);
    ++phase;
  }
};

template <class Order>
struct Emulated {
  template <class Kernel>
  void operator()(const Kernel& kernel, int64_t clusters) const {
    kernels::Emulate(kernel, clusters, Order());
  }
};

template <class Sizes, int blocks, class Order, int workers = 256, typename T>
void CheckEpochs(const Sizes& sizes, int epochs, PpoProblem<T>* problem) {
  for (int epoch = 0; epoch < epochs; ++epoch) {
    problem->template Epoch<Sizes, blocks, workers>(sizes, Emulated<Order>());
    INFO("epoch " << epoch);
    REQUIRE(problem->Difference() == "");
  }
}

template <typename T>
AnyPpoSizes SizesOf(const PpoProblem<T>& problem) {
  const PpoProblemShape& s = problem.shape;
  return {s.inputs, s.hidden, s.actions, s.minibatch};
}

TEST_CASE("ppo phases: 200 steps have the bits of the CPU's kernels", "[unit]") {
  PpoProblem<float> problem({39, 64, 4, true, 500, 125});
  CheckEpochs<Common, 2, kernels::InOrder>({}, 50, &problem);
  CHECK(problem.states[0].adam_steps == 200);
}

TEMPLATE_TEST_CASE("ppo phases: in any order of threads", "[unit]", kernels::InOrder, Reversed,
                   Shuffled) {
  {
    PpoProblem<float> problem({39, 64, 4, true, 510, 120});  // The last minibatch has 30 rows.
    CheckEpochs<Common, 2, TestType>({}, 3, &problem);
  }
  {
    PpoProblem<float> problem({39, 64, 4, false, 250, 125});
    CheckEpochs<Common, 1, TestType>({}, 3, &problem);
  }
  {
    PpoProblem<float> problem({39, 64, 4, true, 500, 120});
    CheckEpochs<AnyPpoSizes, 2, TestType>(SizesOf(problem), 2, &problem);
  }
  {
    PpoProblem<float> problem({11, 33, 3, true, 100, 30});
    CheckEpochs<AnyPpoSizes, 1, TestType, 32>(SizesOf(problem), 3, &problem);
  }
}

TEST_CASE("ppo phases: any sizes, in a workspace", "[unit]") {
  for (const PpoProblemShape& shape : std::vector<PpoProblemShape>{{11, 64, 3, true, 500, 120},
                                                                   {8, 64, 1, true, 200, 64},
                                                                   {5, 33, 2, true, 64, 16},
                                                                   {7, 16, 3, false, 60, 7},
                                                                   {1, 1, 1, true, 20, 7},
                                                                   {2, 1, 1, false, 20, 7},
                                                                   {60, 20, 9, true, 40, 40},
                                                                   {17, 130, 21, true, 90, 33}}) {
    INFO(shape.inputs << "-" << shape.hidden << "-" << shape.actions);
    PpoProblem<float> problem(shape);
    CheckEpochs<AnyPpoSizes, 1, Shuffled>(SizesOf(problem), 3, &problem);
    PpoProblem<double> wide(shape);
    CheckEpochs<AnyPpoSizes, 2, Shuffled>(SizesOf(wide), 2, &wide);
  }
}

TEST_CASE("ppo phases: sizes within bounds, in shared memory", "[unit]") {
  for (const PpoProblemShape& shape : std::vector<PpoProblemShape>{{11, 64, 3, true, 300, 128},
                                                                   {8, 64, 1, true, 100, 37},
                                                                   {111, 64, 8, true, 300, 128},
                                                                   {1, 64, 1, false, 100, 64},
                                                                   {60, 64, 7, false, 90, 33}}) {
    INFO(shape.inputs << "-" << shape.hidden << "-" << shape.actions);
    const SharedPpoSizes sizes = {.inputs = shape.inputs, .actions = shape.actions};
    PpoProblem<float> problem(shape);
    CheckEpochs<SharedPpoSizes, 2, Shuffled>(sizes, 3, &problem);
    if (shape.critic) continue;
    PpoProblem<float> without_critic(shape);
    CheckEpochs<SharedPpoSizes, 1, Shuffled>(sizes, 3, &without_critic);
  }
}

TEST_CASE("ppo phases: each option of the loss", "[unit]") {
  for (int option = 0; option < 9; ++option) {
    PpoProblem<float> problem({39, 64, 4, true, 250, 125});
    PpoConfig& c = problem.config;
    if (option == 0) c.clip_value_loss = false;
    if (option == 1) c.normalize_advantage = false;
    if (option == 2) c.entropy_coef = 0;
    if (option == 3) c.max_grad_norm.reset();
    if (option == 4) c.max_grad_norm = 1e-3;
    if (option == 5) c.clip = 1e-3;       // Most ratios and values are out of range.
    if (option == 6) c.value_coef = 100;  // The value has most of the norm.
    if (option == 7) c.drift.emplace();
    if (option == 8) c.drift = {.alpha = 1e-3, .beta = 1e-3};  // The drift pulls hard.
    INFO("option " << option);
    CheckEpochs<Common, 2, kernels::InOrder>({}, 4, &problem);
  }
}

TEST_CASE("ppo phases: an agent with something not finite stops, the others go on", "[unit]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  PpoProblem<float> problem({39, 64, 4, true, 250, 125, 8});
  problem.observations[1 * 250 * 39 + 33] = nan;
  problem.advantages[2 * 250 + 100] = infinity;
  problem.log_probs[3 * 250 + 7] = -1000;  // The ratio overflows.
  problem.theta[4 * problem.NumParams()] = nan;
  problem.returns[5 * 250 + 249] = infinity;
  // An infinite entropy: the loss is not finite, the gradient is.
  problem.theta[7 * problem.NumParams() + PpoLayout<Common>{}.theta_log_std()] = infinity;
  CheckEpochs<Common, 2, kernels::InOrder>({}, 3, &problem);
  for (int s = 0; s < 8; ++s)
    CHECK(problem.states[s].stop == (s % 6 == 0 ? PpoStop::kNone : PpoStop::kNonfinite));
}

TEST_CASE("ppo phases: the target KL stops an agent after an epoch", "[unit]") {
  PpoProblem<float> problem({39, 64, 4, true, 250, 125, 4});
  problem.config.learning_rate = 3e-3;
  PpoProblem<float> free = problem;
  CheckEpochs<Common, 2, kernels::InOrder>({}, 1, &free);
  // Between the agents' values after the first epoch.
  std::vector<double> kl;
  for (int s = 0; s < 4; ++s) kl.push_back(free.trace[(s * 2 + 1) * kNumTraceColumns + kApproxKl]);
  std::sort(kl.begin(), kl.end());
  problem.config.target_kl = (kl[1] + kl[2]) / 2;
  CheckEpochs<Common, 2, kernels::InOrder>({}, 1, &problem);
  int stopped = 0;
  for (const PpoAgentState& state : problem.states) stopped += state.stop == PpoStop::kTargetKl;
  CHECK(stopped == 2);
  CheckEpochs<Common, 2, kernels::InOrder>({}, 2, &problem);
}

template <class Sizes, class Order>
void CheckValues(const Sizes& sizes, int blocks) {
  const PpoProblemShape shape = {sizes.inputs, sizes.hidden, sizes.actions, true, 333, 111, 2};
  const PpoProblem<float> problem(shape);
  std::vector<float> got(shape.agents * shape.steps, -1), want = got;
  PpoKernels<float> kernels({shape.inputs, shape.actions, shape.hidden, true}, problem.config, 128);
  for (int64_t s = 0; s < shape.agents; ++s) {
    kernels.Values(&problem.theta[s * problem.NumParams()],
                   &problem.observations[s * shape.steps * shape.inputs], shape.steps,
                   &want[s * shape.steps]);
  }
  std::vector<float> workspace(shape.agents * blocks * PpoLayout<Sizes>{sizes}.num_numbers(false));
  kernels::Emulate(
      PpoValues<float, Sizes>(sizes, {problem.theta.data(), problem.observations.data(), got.data(),
                                      shape.steps, blocks, workspace.data()}),
      shape.agents * blocks, Order());
  CHECK(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)) == 0);
}

TEMPLATE_TEST_CASE("ppo phases: values have the bits of the CPU's kernels", "[unit]",
                   kernels::InOrder, Reversed, Shuffled) {
  for (int blocks : {1, 2, 3, 5}) {
    CheckValues<Common, TestType>({}, blocks);
    CheckValues<SharedPpoSizes, TestType>({.inputs = 13, .actions = 3}, blocks);
    CheckValues<AnyPpoSizes, TestType>({11, 33, 3, 100}, blocks);
  }
}

}  // namespace mentor::agents::TEST_FILE
