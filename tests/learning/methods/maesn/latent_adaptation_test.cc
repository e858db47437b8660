// MAESN on a half circle of goals through the real services in one process. Steps of a latent find
// unseen goals; parts that are broken on purpose fall short of the threshold.
#include <memory>
#include <string>
#include <vector>

#include "common/registry.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"
#include "tests/learning/broken_parts.h"
#include "tests/learning/learning.h"
#include "tests/torch_testing.h"
#include "tests/wrapped_rule.h"

namespace mentor::TEST_FILE {

using methods::InnerLoop;
using methods::OuterRule;
using torch::Tensor;

// methods/maesn/README.md#acceptance: success after two steps, and its ratio to that before any.
constexpr double kSuccess = 0.22, kGain = 1.8;
constexpr char kSpec[] = "maesn_half_circle.txtpb";

bool Passes(const std::vector<double>& successes) {
  return successes.at(2) >= kSuccess && successes.at(2) >= kGain * successes.at(0);
}

std::vector<double> Learned(std::vector<std::string> overrides, const std::string& broken = {}) {
  if (!broken.empty()) overrides.push_back("rule.name=" + broken);
  overrides.emplace_back("evaluation.baseline=");
  std::vector<double> successes = testing::Run(kSpec, overrides).Successes().at("learned");
  std::string text;
  for (const double x : successes) text += " " + std::to_string(x);
  WARN("success after 0, 1, ... steps:" << text);
  return successes;
}

// Latents adapt towards the opposite of success, in the agents and in the rule alike.
class TurnedLoop final : public InnerLoop {
 public:
  explicit TurnedLoop(std::unique_ptr<InnerLoop> inner) : inner_(std::move(inner)) {}

  void Begin() override { inner_->Begin(); }
  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const methods::Collect& collect,
                                          methods::LoopReport* report) override {
    return inner_->Iterate(
        iteration,
        [&](std::vector<v1::PolicyWeights> policies) {
          auto segment = collect(std::move(policies));
          if (segment.ok()) segment->success_signals = -segment->success_signals;
          return segment;
        },
        report);
  }
  std::vector<v1::PolicyWeights> Policies() const override { return inner_->Policies(); }
  void State(methods::StateFields* fields) override { inner_->State(fields); }

 private:
  const std::unique_ptr<InnerLoop> inner_;
};

// A policy that does not see the latent: its weights are 0 whatever the rule learns.
class BlindRule final : public testing::WrappedRule {
 public:
  BlindRule(std::unique_ptr<OuterRule> inner, int64_t hidden, int64_t observation, int64_t latent)
      : WrappedRule(std::move(inner)), hidden_(hidden), observation_(observation), latent_(latent) {
    REQUIRE(Blind().ok());
  }

  absl::StatusOr<methods::RuleReport> DoRun(methods::Fleet* fleet, uint32_t outer_step) override {
    auto report = inner_->Run(fleet, outer_step);
    if (report.ok()) REQUIRE(Blind().ok());
    return report;
  }

 private:
  absl::Status Blind() {
    methods::TensorMap state = inner_->Save();
    const int64_t inputs = observation_ + latent_;
    state["weights"]
        .narrow(0, 0, hidden_ * inputs)
        .view({hidden_, inputs})
        .narrow(1, observation_, latent_)
        .zero_();
    return inner_->Load(state);
  }

  const int64_t hidden_, observation_, latent_;
};

}  // namespace mentor::TEST_FILE

namespace mentor {

void testing::RegisterBrokenLatents() {
  const auto* loop = Registry<methods::InnerLoopEntry>::Instance().Find("latent_adaptation");
  methods::InnerLoopEntry turned_loop = *loop;
  turned_loop.name = "latent_adaptation_turned";
  turned_loop.make = [loop](const methods::InnerLoopContext& context) {
    return std::make_unique<TEST_FILE::TurnedLoop>(loop->make(context));
  };
  methods::RegisterInnerLoop{turned_loop};
  const auto* rule = Registry<methods::RuleEntry>::Instance().Find("maesn");
  methods::RuleEntry turned = *rule;
  turned.name = "maesn_turned";
  turned.inner_loop = turned_loop.name;
  methods::RegisterRule{turned};
  methods::RuleEntry blind = *rule;
  blind.name = "maesn_blind";
  blind.make = [rule](const methods::RuleContext& context) {
    const OptionValues& options = context.options;
    return std::make_unique<TEST_FILE::BlindRule>(
        rule->make(context), OptionInteger(options.text("hidden_units")),
        context.shape.observation_size(), OptionInteger(options.text("latent")));
  };
  methods::RegisterRule{blind};
}

}  // namespace mentor

namespace mentor::TEST_FILE {

TEST_CASE("learning: MAESN has the same bits on one actor and on three", "[learning]") {
  testing::CheckSameBits(kSpec, {"rule.outer_updates=3", "evaluation.lifetimes_per_goal=0"});
}
// Half the goals and a third of the updates: seconds instead of a minute.
const std::vector<std::string> kShort = {"rule.outer_updates=80", "lifetime.iterations=3",
                                         "evaluation.goals=50"};

TEST_CASE("learning: steps of MAESN's latent find unseen goals", "[learning][nightly]") {
  CHECK(Passes(Learned(kShort)));
}
TEST_CASE("learning: MAESN's ready spec on three seeds", "[learning][nightly]") {
  for (const char* seed : {"seed=1", "seed=2", "seed=3"}) CHECK(Passes(Learned({seed})));
}
TEST_CASE("learning: broken MAESN whose adaptation is turned", "[learning][nightly]") {
  CHECK_FALSE(Passes(Learned(kShort, "maesn_turned")));
}
TEST_CASE("learning: broken MAESN whose policy does not see the latent", "[learning][nightly]") {
  CHECK_FALSE(Passes(Learned(kShort, "maesn_blind")));
}

}  // namespace mentor::TEST_FILE
