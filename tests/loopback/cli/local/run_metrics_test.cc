// The reports of a rule and its inner loop, from the rule to a run's folder and report.
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agents/numerics.h"
#include "agents/worker_pool.h"
#include "cli/local/run_report.h"
#include "common/check.h"
#include "common/fair_queue.h"
#include "common/pause_point.h"
#include "meta_learner/store/store.h"
#include "methods/base/outer_rule.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using testing::Contains;

constexpr char kSpec[] = R"(
  seed: 5
  benchmark { name: "point_reach" }
  lifetime { iterations: 2 steps_per_iteration: 40 }
  agent { hidden_units: 8 epochs: 2 minibatches: 2 }
  rule { outer_updates: 2 lifetimes_per_update: 4 shard_lifetimes: 2 }
  evaluation { lifetimes_per_goal: 0 }
)";

// Before anything else uses LibTorch.
const absl::Status fixed = agents::FixNumerics();

report::ReportData Run(const std::vector<std::string>& overrides) {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const v1::ExperimentSpec spec = testing::Checked(kSpec, overrides);
  REQUIRE(testing::RunQuietly(spec, folder.path()) == 0);
  const auto data = ReportOf(folder.path());
  INFO(data.status());
  REQUIRE(data.ok());
  REQUIRE(data->training.size() == 2);
  MetricTable promised;
  for (const std::string& name : testing::CheckedSpecOf(spec).reported_numbers)
    promised.push_back({.name = name});
  for (const report::TrainingPoint& point : data->training) {
    for (const auto& [name, value] : point.metrics) {
      INFO(name);
      CHECK(FindMetric(data->metrics, name) != nullptr);
      CHECK(FindMetric(promised, name) != nullptr);
    }
  }
  return *data;
}

const std::vector<std::string> kSmallNetwork = {"signal.enc1=8",   "signal.enc2=8",
                                                "signal.lstm=8",   "signal.heads=8",
                                                "signal.critic=8", "rule.k=20"};

TEST_CASE("metrics: a measured outer gradient leaves the rule's other numbers as they are",
          "[loopback]") {
  std::vector<std::string> usual = kSmallNetwork;
  usual.emplace_back("rule.lifetimes_per_update=20");  // Parts enough for a variance.
  std::vector<std::string> measured = usual;
  measured.emplace_back("rule.gradient_variance=true");
  const report::ReportData without = Run(usual), with = Run(measured);
  for (size_t i = 0; i < with.training.size(); ++i) {
    const std::map<std::string, double>& numbers = with.training[i].metrics;
    CHECK(without.training[i].metrics.count("outer_grad_norm") == 0);
    // Before PPO's steps the norm of the outer gradient, during them that of the loss's gradient.
    CHECK(numbers.at("grad_norm") == without.training[i].metrics.at("grad_norm"));
    CHECK(numbers.at("outer_grad_norm") > 0);
    CHECK(numbers.at("outer_grad_norm") != numbers.at("grad_norm"));
    CHECK(numbers.at("outer_grad_variance") > 0);
    CHECK(numbers.count("grad_variance") == 0);
  }
}

TEST_CASE("metrics: of rule, inner loop and experiment stand beside each other", "[loopback]") {
  const report::ReportData data = Run({"rule.name=meta_gradient", "signal.name=mlp"});
  const std::map<std::string, double>& numbers = data.training.back().metrics;
  for (const char* name : {"outer_grad_norm", "outer_step_norm", "inner_grad_norm", "success",
                           "iteration", "wall_seconds", "outer_seconds"}) {
    INFO(name);
    CHECK(numbers.count(name) == 1);
  }
  CHECK(FindMetric(data.metrics, "entropy")->label == "entropy of the agents");
}

// A rule that looks for its turn, because another experiment's work comes in between.
class Polite : public methods::OuterRule {
 public:
  explicit Polite(const methods::RuleContext& context)
      : weights_(context.network->InitialWeights(context.spec.seed())), pool_(context.pool) {}
  methods::RuleNeeds needs() const override { return {}; }
  torch::Tensor meta_parameters() const override { return weights_; }
  void State(methods::StateFields* fields) override { fields->Add("weights", &weights_); }

 private:
  absl::StatusOr<methods::RuleReport> DoUpdate(const methods::LifetimeBatch&, uint32_t) override {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const auto early = [&] { return std::chrono::steady_clock::now() < deadline; };
    const int places = pool_->num_threads();
    std::atomic<int> begun = 0;
    std::atomic<bool> done = false, waited = false;
    std::jthread other([&] {
      const v1::WorkShare share = ToProto("experiments/other", {.priority = v1::PRIORITY_HIGH});
      const agents::CallerScope caller(/*interrupt=*/nullptr, &share);
      // Takes all places, so that only this rule can be waiting.
      static_cast<void>(pool_->ParallelFor(places, [&](int64_t) {
        ++begun;
        while (!waited && early())
          if (begun == places && pool_->num_waiting() > 0) waited = true;
        return absl::OkStatus();
      }));
      done = true;
    });
    while (!done && early()) MENTOR_RETURN_IF_ERROR(PausePoint());
    other.join();
    return methods::RuleReport{{"waited", waited ? 1 : 0}};
  }
  torch::Tensor weights_;
  agents::WorkerPool* const pool_;
};

const methods::RegisterRule kPolite({
    .name = "polite",
    .summary = "for tests",
    .options = {},
    .metrics = {{.name = "waited", .help = "It had its place, and lost it for a while."}},
    .make = methods::MadeRule<Polite>,
});

TEST_CASE("metrics: an outer update computes in a place of the pool", "[loopback]") {
  for (const report::TrainingPoint& point : Run({"rule.name=polite"}).training)
    CHECK(point.metrics.at("waited") == 1);
}

// A rule that says more than it declared.
class Talker : public methods::OuterRule {
 public:
  explicit Talker(const methods::RuleContext& context)
      : weights_(context.network->InitialWeights(context.spec.seed())) {}
  methods::RuleNeeds needs() const override { return {}; }
  torch::Tensor meta_parameters() const override { return weights_; }
  void State(methods::StateFields* fields) override { fields->Add("weights", &weights_); }

 private:
  absl::StatusOr<methods::RuleReport> DoUpdate(const methods::LifetimeBatch&, uint32_t) override {
    return methods::RuleReport{{"promised", 1}, {"secret", 2}};
  }
  torch::Tensor weights_;
};

const methods::RegisterRule kTalker({
    .name = "talker",
    .summary = "for tests",
    .options = {},
    .metrics = {{.name = "promised", .help = "One."}},
    .make = methods::MadeRule<Talker>,
});

TEST_CASE("metrics: an experiment whose rule reports more than it declared fails and says so",
          "[loopback]") {
  const testing::TempFolder folder;
  CHECK(testing::RunQuietly(testing::Checked(kSpec, {"rule.name=talker"}), folder.path()) == 1);
  const auto store = meta_learner::OpenStore(folder.path());
  REQUIRE(store.ok());
  const auto failed = (*store)->records.InStates({v1::Experiment::STATE_FAILED});
  REQUIRE(failed.ok());
  REQUIRE(failed->size() == 1);
  CHECK(Contains((*failed)[0].error().message(),
                 "outer rule 'talker' reports 'secret', which it does not declare"));
}

}  // namespace mentor::TEST_FILE
