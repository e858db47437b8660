// Agents of rule disco on made-up segments: which steps they learn from, what follows what, and
// refusals.
#include "methods/disco/loop.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "agents/numerics.h"
#include "common/spec/spec.h"
#include "methods/base/outer_rule.h"
#include "tests/normals.h"
#include "tests/pools.h"
#include "tests/specs.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using Catch::Contains;
using mentor::testing::Settings;
using torch::Tensor;

const absl::Status fixed = agents::FixNumerics();

constexpr int64_t kSteps = 8, kObservation = 3, kActions = 3;
constexpr DiscoSizes kSizes = {.prediction = 5, .hidden = 4, .memory = 3};

Settings With(const Settings& more) {
  Settings all = {{"prediction", "5"}, {"hidden", "4"}, {"memory", "3"},
                  {"cells", "4"},      {"units", "4"},  {"rollout", "4"}};
  for (const auto& setting : more) {
    std::erase_if(all, [&](const auto& one) { return one.first == setting.first; });
    all.push_back(setting);
  }
  return all;
}

v1::Shard MakeShard(const Settings& settings, bool discrete = true) {
  v1::ExperimentSpec spec;
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(5);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_agent()->set_hidden_units(4);
  spec.mutable_agent()->set_learning_rate(1e-2);
  spec.mutable_signal()->set_input(v1::SHAPED);
  v1::Shard shard;
  *shard.mutable_spec() = WithDefaults(spec);
  for (uint32_t i = 0; i < 3; ++i) shard.add_lifetimes()->set_number(i);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  *shard.mutable_shape() = testing::Shape({.observation = kObservation,
                                           .action = kActions,
                                           .episode_steps = 4,
                                           .discrete_actions = discrete});
  shard.set_collections(1);
  shard.set_iterations(5);
  shard.mutable_inner_loop()->set_name("disco");
  testing::SetOptions(shard.mutable_inner_loop(), With(settings));
  return shard;
}

// A loop, and the shard that must outlive it.
struct Life {
  std::unique_ptr<v1::Shard> shard;
  std::unique_ptr<InnerLoop> loop;
  InnerLoop* get() const { return loop.get(); }
};

Life Make(const v1::Shard& shard, agents::WorkerPool* pool = nullptr) {
  Life life{.shard = std::make_unique<v1::Shard>(shard), .loop = nullptr};
  Violations violations;
  life.loop = MakeInnerLoop(*life.shard, RandomDisco(kSizes, 2), pool, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(life.loop != nullptr);
  life.loop->Begin();
  return life;
}

std::string Refusal(const v1::Shard& shard, const Tensor& weights = {}) {
  Violations violations;
  CHECK(MakeInnerLoop(shard, weights, nullptr, {}, &violations) == nullptr);
  return std::string(violations.ToStatus().message());
}

// Episodes of `length` steps.
agents::Segment Collected(uint64_t seed, int64_t length = 4) {
  const int64_t s = 3;
  const Tensor x = torch::rand({s, kSteps + 1, kObservation + kActions + 1},
                               at::detail::createCPUGenerator(seed));
  agents::Segment segment;
  segment.observations = x.narrow(1, 0, kSteps).narrow(2, 0, kObservation).contiguous();
  segment.next_observations = x.select(1, kSteps).narrow(1, 0, kObservation).contiguous();
  segment.actions =
      torch::one_hot(x.narrow(1, 0, kSteps).narrow(2, kObservation, kActions).argmax(2), kActions)
          .to(torch::kFloat32);
  segment.shaped_rewards = x.narrow(1, 0, kSteps).select(2, 6).to(torch::kFloat64);
  segment.prev_done = torch::zeros({s, kSteps});
  for (int64_t t = 0; t < kSteps; t += length) segment.prev_done.select(1, t).fill_(1);
  segment.last_done = torch::ones({s});
  return segment;
}

LoopReport Live(InnerLoop* loop, uint32_t iteration, const agents::Segment& segment) {
  const torch::NoGradGuard no_grad;
  LoopReport report;
  const auto lived = loop->Iterate(
      iteration, [&](const std::vector<v1::PolicyWeights>&) { return segment; }, &report);
  INFO(lived.status());
  REQUIRE(lived.ok());
  return report;
}

Tensor Field(InnerLoop* loop, const std::string& name) {
  const TensorMap state = loop->Save();
  REQUIRE(state.contains(name));
  return state.at(name).clone();
}

TEST_CASE("disco: the target network follows by a tenth, from the weights before the update",
          "[unit]") {
  const auto loop = Make(MakeShard({{"replay", "0"}}));
  const Tensor born = Field(loop.get(), "agents.theta");
  CHECK(torch::equal(Field(loop.get(), "target"), born));
  LoopReport report = Live(loop.get(), 0, Collected(1));
  CHECK(report.nonfinite_updates == 0);
  CHECK(report.statistics.at("policy_entropy") == Approx(std::log(3)).margin(0.1));
  const Tensor first = Field(loop.get(), "agents.theta");
  CHECK((first - born).abs().amax(1).min().item<double>() > 1e-3);
  // Adam's first step is bounded by the learning rate.
  CHECK((first - born).abs().max().item<double>() < 1.01e-2);
  CHECK(torch::allclose(Field(loop.get(), "target"), born, 1e-6, 1e-7));
  Live(loop.get(), 1, Collected(2));
  CHECK(torch::allclose(Field(loop.get(), "target"), 0.9 * born + 0.1 * first, 1e-5, 1e-6));
  CHECK(Field(loop.get(), "memory.hidden").abs().max().item<double>() > 0);
  // Decays of two updates.
  CHECK(Field(loop.get(), "average")[0][2].item<double>() == Approx(0.99 * 0.99));
}

TEST_CASE("disco: no update before a batch is there, then one from what is kept", "[unit]") {
  const auto loop = Make(MakeShard({{"replay", "5"}, {"batch", "4"}, {"updates", "3"}}));
  const Tensor born = Field(loop.get(), "agents.theta");
  CHECK(Live(loop.get(), 0, Collected(1)).statistics.empty());
  CHECK(torch::equal(Field(loop.get(), "agents.theta"), born));
  CHECK(Live(loop.get(), 1, Collected(2)).statistics.size() == 3);
  CHECK(Field(loop.get(), "average")[2][2].item<double>() == Approx(0.99 * 0.99 * 0.99));
  // The newest five of six rollouts are kept; the sixth is in the place of the first.
  const agents::Segment third = Collected(3);
  Live(loop.get(), 2, third);
  const Tensor rewards = Field(loop.get(), "kept.rewards");
  CHECK(rewards.sizes() == at::IntArrayRef({3, 5, 4}));
  CHECK(
      torch::equal(rewards.select(1, 0), third.shaped_rewards.narrow(1, 4, 4).to(torch::kFloat32)));
  CHECK(
      torch::equal(rewards.select(1, 4), third.shaped_rewards.narrow(1, 0, 4).to(torch::kFloat32)));
  // The observation after a rollout is the next one's first.
  const Tensor seen = Field(loop.get(), "kept.observations");
  CHECK(torch::equal(seen.select(1, 4).select(1, 4), third.observations.select(1, 4)));
  CHECK(torch::equal(seen.select(1, 0).select(1, 4), third.next_observations));
  CHECK(
      torch::equal(Field(loop.get(), "kept.terminal").select(1, 0).select(1, 3), torch::ones({3})));
  // After the last iteration nobody learns.
  CHECK(Live(loop.get(), 4, Collected(4)).statistics.empty());
}

TEST_CASE("disco: first steps are left out on demand", "[unit]") {
  // Episodes of one step, so that every step is a first one.
  for (const bool first : {true, false}) {
    const auto loop = Make(MakeShard({{"replay", "0"}, {"first_steps", first ? "true" : "false"}}));
    const Tensor born = Field(loop.get(), "agents.theta");
    Live(loop.get(), 0, Collected(1, /*length=*/1));
    CHECK(torch::equal(Field(loop.get(), "agents.theta"), born) == !first);
  }
}

TEST_CASE("disco: agents are alike for any number of threads, and each has its own life",
          "[unit]") {
  const v1::Shard shard = MakeShard({{"replay", "5"}, {"batch", "2"}});
  const auto one = Make(shard), three = Make(shard, testing::Pool(3));
  for (uint32_t i = 0; i < 3; ++i) {
    Live(one.get(), i, Collected(i));
    Live(three.get(), i, Collected(i));
  }
  const TensorMap a = one.get()->Save(), b = three.get()->Save();
  for (const auto& [name, tensor] : a) CHECK(torch::equal(tensor, b.at(name)));
  CHECK_FALSE(torch::equal(a.at("agents.theta")[0], a.at("agents.theta")[1]));
}

TEST_CASE("disco: an update that is not finite leaves the agent as it was", "[unit]") {
  const auto loop = Make(MakeShard({{"replay", "0"}}));
  const Tensor born = Field(loop.get(), "agents.theta");
  agents::Segment segment = Collected(1);
  segment.shaped_rewards[1][2] = std::numeric_limits<double>::infinity();
  CHECK(Live(loop.get(), 0, segment).nonfinite_updates == 1);
  const Tensor now = Field(loop.get(), "agents.theta");
  CHECK(torch::equal(now[1], born[1]));
  CHECK_FALSE(torch::equal(now[0], born[0]));
}

TEST_CASE("disco: refusals name the setting and the remedy", "[unit]") {
  CHECK_THAT(Refusal(MakeShard({{"batch", "2"}}, /*discrete=*/false)),
             Contains("continuous actions") && Contains("catch or maze"));
  CHECK_THAT(Refusal(MakeShard({{"rollout", "3"}})),
             Contains("rule.option.rollout") && Contains("no multiple of it"));
  CHECK_THAT(Refusal(MakeShard({{"replay", "1"}})),
             Contains("rule.option.replay") && Contains("2 rollouts of an iteration"));
  CHECK_THAT(Refusal(MakeShard({{"batch", "11"}})),
             Contains("rule.option.batch") && Contains("at most 10 rollouts"));
  v1::Shard shard = MakeShard({{"batch", "2"}});
  CHECK_THAT(Refusal(shard, torch::zeros({7})), Contains("has 7 meta-parameters"));
  Tensor weights = RandomDisco(kSizes, 2);
  weights[5] = NAN;
  CHECK_THAT(Refusal(shard, weights), Contains("all finite"));
  shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(true);
  CHECK_THAT(Refusal(shard), Contains("agent.bootstrap_on_truncation"));
}

TEST_CASE("disco: without a bundle the rule says that it teaches nothing; a wrong one is refused",
          "[unit]") {
  v1::ExperimentSpec spec =
      testing::SpecOfRule("disco", {.lifetimes = 2, .iterations = 4, .steps = kSteps}, With({}));
  const auto make = [&](Violations* violations) {
    return MakeOuterRule(
        {.spec = WithDefaults(spec),
         .shape = testing::Shape(
             {.observation = kObservation, .action = kActions, .discrete_actions = true})},
        violations);
  };
  Violations none;
  const auto rule = make(&none);
  REQUIRE(rule != nullptr);
  REQUIRE(rule->Warnings().size() == 1);
  CHECK_THAT(rule->Warnings()[0], Contains("rule.option.bundle") && Contains("--bundle"));
  CHECK(rule->meta_parameters().numel() == DiscoLayout(kSizes).size());
  testing::SetOption(spec.mutable_rule(), "bundle", "sha256:" + std::string(64, '0'));
  Violations violations;
  CHECK(make(&violations) == nullptr);
  CHECK_THAT(std::string(violations.ToStatus().message()), Contains("rule.option.bundle"));
}

}  // namespace mentor::methods::TEST_FILE
