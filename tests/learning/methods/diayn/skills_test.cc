// DIAYN in an empty box through the real services in one process: skills come apart without any
// reward, and parts that are broken on purpose fall short of the thresholds.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/registry.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"
#include "methods/diayn/discriminator.h"
#include "tests/learning/broken_parts.h"
#include "tests/learning/learning.h"
#include "tests/torch_testing.h"
#include "tests/wrapped_rule.h"

namespace mentor::TEST_FILE {

using methods::OuterRule;
using torch::Tensor;

// methods/diayn/README.md#acceptance, over the 300 episodes of the last five updates.
constexpr double kAccuracy = 0.97, kPseudoReward = 1.62, kSpread = 8;
constexpr size_t kLast = 5;
constexpr char kSpec[] = "box_diayn.txtpb";

bool Passes(const testing::Learned& learned) {
  const double accuracy = learned.Last("accuracy", kLast),
               reward = learned.Last("pseudo_reward", kLast),
               spread = learned.Last("spread", kLast);
  return accuracy >= kAccuracy && reward >= kPseudoReward && spread >= kSpread;
}

// The discriminator learns from episodes in another order than that of their skills.
class ShuffledRule final : public testing::WrappedRule {
 public:
  ShuffledRule(std::unique_ptr<OuterRule> inner, int64_t episode_steps)
      : WrappedRule(std::move(inner)), episode_steps_(episode_steps) {}

  methods::LifetimeBatch Changed(const methods::LifetimeBatch& batch,
                                 uint32_t outer_step) const override {
    methods::LifetimeBatch shuffled = batch;
    Tensor& last = shuffled.steps.final_observations;
    const int64_t episodes = last.size(1);
    const Tensor order = torch::randperm(episodes, at::detail::createCPUGenerator(outer_step),
                                         torch::dtype(torch::kInt64));
    last = last.index_select(1, order);
    Tensor& observations = shuffled.steps.observations;
    observations =
        observations.unflatten(1, {episodes, episode_steps_}).index_select(1, order).flatten(1, 2);
    return shuffled;
  }

 private:
  const int64_t episode_steps_;
};

// Tells agents nothing: every skill is equally likely, so their reward is 0.
class SilentDiscriminator final : public methods::Discriminator {
 public:
  using Discriminator::Discriminator;
  Tensor LogSkills(const Tensor& weights, const Tensor& observations) const override {
    return torch::full_like(Discriminator::LogSkills(weights, observations),
                            -std::log(static_cast<double>(num_skills())));
  }
};

}  // namespace mentor::TEST_FILE

namespace mentor {

void testing::RegisterBrokenSkills() {
  const auto* rule = Registry<methods::RuleEntry>::Instance().Find("diayn");
  methods::RuleEntry shuffled = *rule;
  shuffled.name = "diayn_shuffled";
  shuffled.make = [rule](const methods::RuleContext& context) {
    return std::make_unique<TEST_FILE::ShuffledRule>(rule->make(context),
                                                     context.shape.episode_steps());
  };
  methods::RegisterRule{shuffled};

  const auto* loop = Registry<methods::InnerLoopEntry>::Instance().Find("skills");
  methods::InnerLoopEntry silent_loop = *loop;
  silent_loop.name = "skills_silent";
  silent_loop.make = [loop](const methods::InnerLoopContext& context) {
    const auto taught = methods::AsDiscriminator(context.network);
    REQUIRE(taught != nullptr);
    const auto& w1 = taught->layout().slices()[0].shape;
    methods::InnerLoopContext own = context;
    own.network =
        std::make_shared<TEST_FILE::SilentDiscriminator>(w1[1], w1[0], taught->num_skills());
    return loop->make(own);
  };
  methods::RegisterInnerLoop{silent_loop};
  methods::RuleEntry silent = *rule;
  silent.name = "diayn_silent";
  silent.inner_loop = silent_loop.name;
  methods::RegisterRule{silent};
}

}  // namespace mentor

namespace mentor::TEST_FILE {

TEST_CASE("learning: DIAYN has the same bits on one actor and on three", "[learning]") {
  testing::CheckSameBits(kSpec, {"rule.outer_updates=6", "lifetime.iterations=4",
                                 "rule.lifetimes_per_update=3", "rule.draw=uniform"});
}
TEST_CASE("learning: DIAYN's skills come apart in an empty box", "[learning][nightly]") {
  for (const char* seed : {"seed=1", "seed=2", "seed=3"})
    CHECK(Passes(testing::Run(kSpec, {seed})));
}
TEST_CASE("learning: broken DIAYN with shuffled labels", "[learning][nightly]") {
  CHECK_FALSE(Passes(testing::Run(kSpec, {"rule.name=diayn_shuffled"})));
}
TEST_CASE("learning: broken DIAYN without a reward", "[learning][nightly]") {
  CHECK_FALSE(Passes(testing::Run(kSpec, {"rule.name=diayn_silent"})));
}

}  // namespace mentor::TEST_FILE
