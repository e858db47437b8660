// Agents of episodic control on made-up segments: their writes, resuming from a snapshot in the
// middle of an episode, and refusals.
#include "methods/episodic_control/loop.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "agents/numerics.h"
#include "common/spec/spec.h"
#include "tests/normals.h"
#include "tests/specs.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using Catch::Contains;
using mentor::testing::Settings;
using torch::Tensor;

const absl::Status fixed = agents::FixNumerics();

constexpr int64_t kSteps = 6, kObservation = 2, kActions = 2;

v1::Shard MakeShard(const Settings& settings, int agents = 1, bool discrete = true) {
  v1::ExperimentSpec spec;
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(5);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  v1::Shard shard;
  *shard.mutable_spec() = WithDefaults(spec);
  for (int i = 0; i < agents; ++i) shard.add_lifetimes()->set_number(static_cast<uint32_t>(i));
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  *shard.mutable_shape() = testing::Shape({.observation = kObservation,
                                           .action = kActions,
                                           .episode_steps = 20,
                                           .discrete_actions = discrete});
  shard.set_collections(1);
  shard.set_iterations(5);
  shard.mutable_inner_loop()->set_name("episodic_control");
  testing::SetOptions(shard.mutable_inner_loop(), settings);
  return shard;
}

std::unique_ptr<InnerLoop> Make(const v1::Shard& shard, agents::WorkerPool* pool = nullptr) {
  Violations violations;
  auto loop = MakeInnerLoop(shard, torch::zeros({1}), pool, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  return loop;
}

std::string Refusal(const v1::Shard& shard) {
  Violations violations;
  CHECK(MakeInnerLoop(shard, {}, nullptr, {}, &violations) == nullptr);
  return std::string(violations.ToStatus().message());
}

// Steps of one agent: place (the observation is [place, 1]), action, reward, whether it ended.
struct Step {
  float place;
  int action;
  double reward;
  bool ends = false;
};

agents::Segment Collected(const std::vector<Step>& steps, int64_t agents = 1) {
  REQUIRE(steps.size() == kSteps);
  agents::Segment segment;
  segment.observations = torch::ones({agents, kSteps, kObservation});
  segment.actions = torch::zeros({agents, kSteps, kActions});
  segment.shaped_rewards = torch::zeros({agents, kSteps}, torch::kFloat64);
  segment.prev_done = torch::zeros({agents, kSteps});
  segment.last_done = torch::zeros({agents});
  for (int64_t t = 0; t < kSteps; ++t) {
    const Step& step = steps[static_cast<size_t>(t)];
    segment.observations.select(1, t).select(1, 0).fill_(step.place);
    segment.actions.select(1, t).select(1, step.action).fill_(1);
    segment.shaped_rewards.select(1, t).fill_(step.reward);
    if (!step.ends) continue;
    if (t + 1 < kSteps)
      segment.prev_done.select(1, t + 1).fill_(1);
    else
      segment.last_done.fill_(1);
  }
  segment.next_observations = torch::zeros({agents, kObservation});
  return segment;
}

LoopReport Live(InnerLoop* loop, uint32_t iteration, const agents::Segment& segment) {
  const torch::NoGradGuard no_grad;
  LoopReport report;
  const auto lived = loop->Iterate(
      iteration, [&](std::vector<v1::PolicyWeights>) { return segment; }, &report);
  INFO(lived.status());
  REQUIRE(lived.ok());
  return report;
}

// The tables that an agent acts by: for each action its rows, by the first number of their keys.
using Tables = std::vector<std::map<float, float>>;
Tables TablesOf(const v1::PolicyWeights& policy, int64_t encoder = 0) {
  const std::string& bytes = policy.weights();
  size_t place = static_cast<size_t>(encoder) * 4;
  const auto take = [&](void* number) {
    REQUIRE(place + 4 <= bytes.size());
    std::memcpy(number, bytes.data() + place, 4);
    place += 4;
  };
  Tables tables;
  for (uint32_t a = 0; a < policy.action_size(); ++a) {
    int32_t rows = 0;
    take(&rows);
    std::vector<std::vector<float>> keys(static_cast<size_t>(rows));
    for (auto& key : keys) {
      key.resize(policy.episodic().key());
      for (float& x : key) take(&x);
    }
    auto& table = tables.emplace_back();
    for (const auto& key : keys) take(&table[key[0]]);
    CHECK(table.size() == keys.size());
  }
  CHECK(place == bytes.size());
  return tables;
}

const Settings kMfec = {{"projection", "0"}, {"gamma", "0.5"}, {"epsilon", "0.25"}};

// Two episodes and the beginning of a third: places 0, 1, 2 and then 0, 1. The third continues.
const std::vector<Step> kFirst = {{0, 0, 0},       {1, 1, 0}, {2, 0, 8, true},
                                  {0, 0, 2, true}, {0, 1, 0}, {1, 1, 0}};
const std::vector<Step> kSecond = {{2, 0, 16, true}, {3, 0, 0}, {3, 0, 0},
                                   {3, 0, 0},        {3, 0, 0}, {3, 0, 0}};

TEST_CASE("episodic control: MFEC keeps the greatest return and waits for ends of episodes",
          "[unit]") {
  const v1::Shard shard = MakeShard(kMfec);
  const auto loop = Make(shard);
  loop->Begin();
  CHECK(TablesOf(loop->Policies()[0]) == Tables{{}, {}});
  const LoopReport first = Live(loop.get(), 0, Collected(kFirst));
  // Returns 2, 4, 8 of the first episode and 2 of the second; the third has not ended.
  CHECK(TablesOf(loop->Policies()[0]) == Tables{{{0, 2}, {2, 8}}, {{1, 4}}});
  CHECK(first.statistics.at("rows") == 3);
  CHECK(first.statistics.at("hits") == 0.25);
  CHECK(first.statistics.at("evicted") == 0);
  CHECK(first.statistics.at("epsilon") == 0.25);
  CHECK(first.statistics.at("episode_length") == 2);
  CHECK_FALSE(first.statistics.contains("td_error"));

  // It ends in the next iteration: returns 4, 8, 16 from its beginning.
  const LoopReport second = Live(loop.get(), 1, Collected(kSecond));
  CHECK(TablesOf(loop->Policies()[0]) == Tables{{{0, 2}, {2, 16}}, {{0, 4}, {1, 8}}});
  CHECK(second.statistics.at("episode_length") == 3);
  const v1::PolicyWeights policy = loop->Policies()[0];
  CHECK(policy.network() == v1::POLICY_NETWORK_EPISODIC);
  CHECK(policy.discrete());
  CHECK(policy.episodic().kernel() == v1::LOOKUP_KERNEL_MEAN);
  CHECK(policy.episodic().neighbours() == 11);
  CHECK(policy.episodic().epsilon() == 0.25);
}

TEST_CASE("episodic control: the row that was written longest ago gives way", "[unit]") {
  Settings settings = kMfec;
  settings.emplace_back("capacity", "2");
  const v1::Shard shard = MakeShard(settings);
  const auto loop = Make(shard);
  loop->Begin();
  // Backwards: writes at places 5, 4 and then 5 again, so that 4 gives way to 3.
  const LoopReport report =
      Live(loop.get(), 0,
           Collected({{3, 0, 1}, {5, 0, 0}, {4, 0, 0}, {5, 0, 4, true}, {1, 1, 0}, {1, 1, 0}}));
  CHECK(TablesOf(loop->Policies()[0]) == Tables{{{3, 1.5}, {5, 4}}, {}});
  CHECK(report.statistics.at("evicted") == 1);
  CHECK(report.statistics.at("rows") == 2);
}

TEST_CASE("episodic control: a projection is the lifetime's own and its keys are what acts",
          "[unit]") {
  Settings settings = kMfec;
  settings[0].second = "3";
  const v1::Shard shard = MakeShard(settings, 2);
  const auto loop = Make(shard);
  loop->Begin();
  Live(loop.get(), 0, Collected(kFirst, 2));
  const auto policies = loop->Policies();
  CHECK(policies[0].episodic().key() == 3);
  CHECK(policies[0].weights().substr(0, 24) != policies[1].weights().substr(0, 24));
  float weights[6];
  std::memcpy(weights, policies[0].weights().data(), sizeof(weights));
  // The key of [2, 1].
  const Tables tables = TablesOf(policies[0], 6);
  CHECK(tables[0].contains(weights[0] * 2 + weights[1]));
  CHECK(Make(shard)->Policies().empty());  // Before Begin.
}

// Targets of two steps, half the way to them.
const Settings kNec = {{"algorithm", "nec"},
                       {"n", "2"},
                       {"alpha", "0.5"},
                       {"gamma", "0.5"},
                       {"key", "3"},
                       {"hidden", "5"},
                       {"neighbours", "4"},
                       {"delta", "1e-3"},
                       {"epsilon_start", "0.9"},
                       {"epsilon_end", "0.1"},
                       {"epsilon_iterations", "4"},
                       {"learning_rate", "0.01"},
                       {"batch", "4"},
                       {"gradient_steps", "3"}};

Settings With(Settings settings, const Settings& changes) {
  for (const auto& [name, value] : changes) {
    const auto found = std::find_if(settings.begin(), settings.end(),
                                    [&](const auto& setting) { return setting.first == name; });
    if (found == settings.end())
      settings.emplace_back(name, value);
    else
      found->second = value;
  }
  return settings;
}

TEST_CASE("episodic control: NEC goes towards n-step targets and explores less and less",
          "[unit]") {
  const v1::Shard shard = MakeShard(With(kNec, {{"learning_rate", "0"}}));
  const auto loop = Make(shard);
  loop->Begin();
  CHECK(loop->Policies()[0].episodic().epsilon() == 0.9);
  const LoopReport first = Live(loop.get(), 0, Collected(kFirst));
  CHECK(loop->Policies()[0].episodic().epsilon() == Approx(0.7));
  // Empty tables say 0: targets 0, 4, 8 of the first episode; (0, a) is 0 and then half way to 2.
  const TensorMap state = loop->Save();
  CHECK(torch::equal(state.at("tables.rows"), torch::tensor({2, 1}, torch::kInt64).unsqueeze(0)));
  CHECK(torch::equal(state.at("tables.values"), torch::tensor({1.0F, 8.0F, 4.0F})));
  CHECK(torch::equal(state.at("tables.observations").select(1, 0),
                     torch::tensor({0.0F, 2.0F, 1.0F})));
  CHECK(first.statistics.at("td_error") == (0.0 + 16 + 64 + 4) / 4);
  CHECK(first.statistics.at("epsilon") == 0.9);
  // The third episode acted on nothing before this iteration, and now at place 2 on 8, 4 or so:
  // the greatest value is that of action 0. Its first step has two rewards and that value.
  const auto value = [&](int64_t place) {
    KeyNetwork network{.observation = 2, .hidden = 5, .key = 3};
    std::vector<float> weights(static_cast<size_t>(network.num_weights())), key(3);
    const v1::PolicyWeights policy = loop->Policies()[0];
    std::memcpy(weights.data(), policy.weights().data(), weights.size() * 4);
    KeyEncoder<float> encoder(network);
    const float seen[] = {static_cast<float>(place), 1};
    encoder.Encode(weights.data(), seen, key);
    Lookup<float> lookup(policy.episodic());
    const Tensor keys = state.at("tables.keys").contiguous();
    const float values[] = {1, 8, 4};
    return std::max(lookup.Value({{keys.const_data_ptr<float>(), 6}, {values, 2}}, key),
                    lookup.Value({{keys.const_data_ptr<float>() + 6, 3}, {values + 2, 1}}, key));
  };
  const double greatest = value(2);
  Live(loop.get(), 1, Collected(kSecond));
  // Action 1 at place 0: 0 + 0 + gamma^2 greatest. Place 1: half way from 4 to 0 + gamma 16.
  const TensorMap after = loop->Save();
  CHECK(after.at("tables.rows")[0][1].item<int64_t>() == 2);
  CHECK(after.at("tables.values")[3].item<float>() == Approx(0.25 * greatest));
  CHECK(after.at("tables.values")[2].item<float>() == Approx(6));
}

TEST_CASE("episodic control: a limit cuts NEC's episodes short where the spec says so", "[unit]") {
  for (const bool bootstraps : {false, true}) {
    v1::Shard shard = MakeShard(With(kNec, {{"learning_rate", "0"}, {"n", "9"}}));
    shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(bootstraps);
    const auto loop = Make(shard);
    loop->Begin();
    agents::Segment first = Collected({{7, 0, 10, true},
                                       {7, 0, 10, true},
                                       {7, 0, 10, true},
                                       {7, 0, 10, true},
                                       {7, 0, 10, true},
                                       {7, 0, 10, true}});
    first.truncated = torch::zeros({1, kSteps});
    first.final_observations = torch::zeros({1, 1, kObservation});
    Live(loop.get(), 0, first);
    const double stored = loop->Save().at("tables.values")[0].item<double>();
    CHECK(stored == Approx(10));
    // The second of two episodes is cut; what is seen behind it is place 7.
    agents::Segment segment =
        Collected({{1, 1, 1}, {2, 1, 2, true}, {3, 1, 1}, {4, 1, 2, true}, {9, 1, 0}, {9, 1, 0}});
    if (bootstraps) {
      segment.truncated = torch::zeros({1, kSteps});
      segment.truncated[0][3] = 1;
      segment.final_observations = torch::ones({1, 3, kObservation});
      segment.final_observations[0][0][0] = 7;
    }
    Live(loop.get(), 1, segment);
    const Tensor values = loop->Save().at("tables.values");
    REQUIRE(values.numel() == 5);
    CHECK(values[1].item<double>() == Approx(1 + 0.5 * 2));
    CHECK(values[2].item<double>() == Approx(2));
    CHECK(values[3].item<double>() == Approx(bootstraps ? 1 + 0.5 * 2 + 0.25 * 10 : 2));
    CHECK(values[4].item<double>() == Approx(bootstraps ? 2 + 0.5 * 10 : 2));
  }
}

TEST_CASE("episodic control: each cut of an iteration goes on from what was seen behind it",
          "[unit]") {
  // The nearest row alone is a value.
  v1::Shard shard = MakeShard(With(kNec, {{"learning_rate", "0"}, {"neighbours", "1"}}));
  shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(true);
  const auto loop = Make(shard);
  loop->Begin();
  agents::Segment first = Collected({{7, 0, 10, true},
                                     {7, 0, 10, true},
                                     {7, 0, 10, true},
                                     {8, 0, 20, true},
                                     {8, 0, 20, true},
                                     {8, 0, 20, true}});
  first.truncated = torch::zeros({1, kSteps});
  first.final_observations = torch::zeros({1, 1, kObservation});
  Live(loop.get(), 0, first);
  // Cut at place 7, ended, and cut at place 8.
  agents::Segment segment = Collected(
      {{1, 0, 1, true}, {2, 0, 2, true}, {3, 0, 3, true}, {9, 0, 0}, {9, 0, 0}, {9, 0, 0}});
  segment.truncated = torch::zeros({1, kSteps});
  segment.truncated[0][0] = 1;
  segment.truncated[0][2] = 1;
  segment.final_observations = torch::ones({1, 2, kObservation});
  segment.final_observations[0][0][0] = 7;
  segment.final_observations[0][1][0] = 8;
  Live(loop.get(), 1, segment);
  const TensorMap state = loop->Save();
  const Tensor places = state.at("tables.observations").select(1, 0);
  REQUIRE(torch::equal(places, torch::tensor({7.0F, 8.0F, 1.0F, 2.0F, 3.0F})));
  const Tensor values = state.at("tables.values");
  CHECK(values[2].item<double>() == Approx(1 + 0.5 * 10));
  CHECK(values[3].item<double>() == Approx(2));
  CHECK(values[4].item<double>() == Approx(3 + 0.5 * 20));
}

TEST_CASE("episodic control: training moves keys with the encoder or leaves them stale", "[unit]") {
  for (const bool refresh : {true, false}) {
    const v1::Shard shard = MakeShard(With(kNec, {{"refresh_keys", refresh ? "true" : "false"}}));
    const auto loop = Make(shard);
    loop->Begin();
    const std::string before = loop->Policies()[0].weights();
    Live(loop.get(), 0, Collected(kFirst));
    const TensorMap state = loop->Save();
    CHECK(state.at("agents.adam_steps").item<int64_t>() == 3);
    CHECK(state.at("replay.steps").item<int64_t>() == 4);
    const KeyNetwork network{.observation = 2, .hidden = 5, .key = 3};
    const size_t bytes = static_cast<size_t>(network.num_weights()) * 4;
    const std::string after = loop->Policies()[0].weights();
    CHECK(before.substr(0, bytes) != after.substr(0, bytes));
    // Keys by the encoder of before or of now.
    std::vector<float> weights(static_cast<size_t>(network.num_weights())), key(3);
    std::memcpy(weights.data(), (refresh ? after : before).data(), bytes);
    const Tensor seen = state.at("tables.observations").contiguous();
    KeyEncoder<float> encoder(network);
    for (int64_t row = 0; row < 3; ++row) {
      encoder.Encode(weights.data(), {seen.const_data_ptr<float>() + 2 * row, 2}, key);
      CHECK(torch::equal(state.at("tables.keys")[row], torch::tensor(key)));
    }
    // A row is known by what was seen, whatever its key has become.
    Live(loop.get(), 1, Collected(kFirst));
    CHECK(loop->Save().at("tables.keys").size(0) == 4);  // One more: the third episode's (0, 1).
  }
}

TEST_CASE("episodic control: training that is not finite is skipped and counted", "[unit]") {
  const v1::Shard shard = MakeShard(kNec);
  const auto loop = Make(shard);
  loop->Begin();
  const Tensor before = loop->Save().at("agents.theta");
  const LoopReport report = Live(loop.get(), 0,
                                 Collected({{0, 0, 1e30},
                                            {1, 0, -1e30},
                                            {0, 0, 1e30},
                                            {1, 0, 1e30},
                                            {3, 0, -1e30},
                                            {0, 0, 1e30, true}}));
  CHECK(report.nonfinite_updates > 0);
  const TensorMap after = loop->Save();
  CHECK(after.at("agents.adam_steps").item<int64_t>() ==
        3 - static_cast<int64_t>(report.nonfinite_updates));
  CHECK(after.at("agents.theta").isfinite().all().item<bool>());
  if (report.nonfinite_updates == 3) CHECK(torch::equal(after.at("agents.theta"), before));
}

// Segments of random walks with borders of episodes anywhere.
agents::Segment RandomWalk(uint32_t number, int64_t agents) {
  const RandomStream random{.seed = 4, .lifetime = number};
  agents::Segment segment = Collected(kFirst, agents);
  segment.observations = testing::Normals(random, 0, {agents, kSteps, kObservation}).mul(2).round();
  segment.actions =
      torch::one_hot(testing::Normals(random, 1, {agents, kSteps, kActions}).argmax(2), kActions)
          .to(torch::kFloat32);
  segment.shaped_rewards = testing::Normals(random, 2, {agents, kSteps}, torch::kFloat64);
  segment.prev_done = (testing::Normals(random, 3, {agents, kSteps}) > 1).to(torch::kFloat32);
  segment.prev_done.select(1, 0).fill_(0);
  segment.last_done = (testing::Normals(random, 4, {agents}) > 1).to(torch::kFloat32);
  return segment;
}

bool Same(const TensorMap& a, const TensorMap& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    if (!b.contains(name) || !torch::equal(tensor, b.at(name))) return false;
  }
  return true;
}

TensorMap Copy(const TensorMap& state) {
  TensorMap copy;
  for (const auto& [name, tensor] : state) copy[name] = tensor.clone();
  return copy;
}

std::string BytesOf(const InnerLoop& loop) {
  std::string bytes;
  for (const v1::PolicyWeights& policy : loop.Policies()) bytes += policy.SerializeAsString();
  return bytes;
}

TEST_CASE("episodic control: goes on from the middle of an episode with any number of threads",
          "[unit]") {
  constexpr int kAgents = 5;
  agents::WorkerPool pool(3);
  // Small tables and rings, so that rows and steps give way.
  for (const Settings& settings :
       {With(kMfec, {{"capacity", "6"}}), With(kMfec, {{"projection", "4"}}),
        With(kNec, {{"capacity", "6"}, {"replay", "7"}}), With(kNec, {{"refresh_keys", "false"}}),
        With(kNec, {{"gradient_steps", "0"}})}) {
    const v1::Shard shard = MakeShard(settings, kAgents);
    const auto whole = Make(shard);
    whole->Begin();
    for (uint32_t iteration = 0; iteration < 4; ++iteration) {
      const TensorMap before = Copy(whole->Save());
      const auto resumed = Make(shard, &pool);
      const absl::Status loaded = resumed->Load(before);
      INFO(loaded);
      REQUIRE(loaded.ok());
      CHECK(BytesOf(*whole) == BytesOf(*resumed));
      const agents::Segment segment = RandomWalk(iteration, kAgents);
      const LoopReport a = Live(whole.get(), iteration, segment),
                       b = Live(resumed.get(), iteration, segment);
      CHECK(a.statistics == b.statistics);
      CHECK(Same(whole->Save(), resumed->Save()));
      CHECK(BytesOf(*whole) == BytesOf(*resumed));
    }
    CHECK(whole->Save().at("pending.steps").sum().item<int64_t>() > 0);
    // Within what a learner reckons with.
    const auto sizes = SizesOfLoop(shard, 1);
    REQUIRE(sizes.has_value());
    int64_t saved = 0;
    for (const auto& [name, tensor] : whole->Save())
      saved += static_cast<int64_t>(tensor.nbytes()) / 4;
    CHECK(saved <= kAgents * sizes->saved);
    for (const v1::PolicyWeights& policy : whole->Policies())
      CHECK(static_cast<int64_t>(policy.weights().size()) <= 4 * sizes->policy);
  }
}

TEST_CASE("episodic control: a state that cannot be is refused", "[unit]") {
  const v1::Shard shard = MakeShard(With(kNec, {{"capacity", "3"}}));
  const auto loop = Make(shard);
  loop->Begin();
  Live(loop.get(), 0, Collected(kFirst));
  const TensorMap good = loop->Save();
  const auto refusal = [&](const std::string& name, const Tensor& value) {
    TensorMap state = Copy(good);
    state[name] = value;
    return std::string(Make(shard)->Load(state).message());
  };
  REQUIRE(Make(shard)->Load(Copy(good)).ok());
  for (const auto& [name, tensor] : good) {
    INFO(name);
    TensorMap state = Copy(good);
    state.erase(name);
    CHECK_THAT(std::string(Make(shard)->Load(state).message()), Contains("has no '" + name + "'"));
  }
  const auto numbers = [](std::vector<int64_t> values) {
    return torch::tensor(values, torch::kInt64);
  };
  CHECK_THAT(refusal("tables.rows", numbers({4, -1}).unsqueeze(0)),
             Contains("'tables.rows'") && Contains("has 4; 0 to 3 are possible"));
  CHECK_THAT(refusal("tables.rows", numbers({3, -1}).unsqueeze(0)), Contains("has -1"));
  CHECK_THAT(refusal("tables.rows", numbers({1, 1}).unsqueeze(0)), Contains("'tables.keys'"));
  CHECK_THAT(refusal("pending.steps", numbers({21})), Contains("has 21; 0 to 20 are possible"));
  CHECK_THAT(refusal("pending.actions", numbers({0, 2})), Contains("has action 2 of 2"));
  CHECK_THAT(refusal("replay.actions", numbers({0, 1, -1, 0})), Contains("has action -1 of 2"));
  CHECK_THAT(refusal("replay.oldest", numbers({100000})), Contains("'replay.oldest'"));
  Tensor values = good.at("tables.values").clone();
  values[0] = std::numeric_limits<float>::infinity();
  CHECK_THAT(refusal("tables.values", values), Contains("is not finite"));
}

TEST_CASE("episodic control: specs that do not fit are refused with their remedy", "[unit]") {
  CHECK_THAT(Refusal(MakeShard({}, 1, /*discrete=*/false)),
             Contains("benchmark: has continuous actions") && Contains("maze"));
  CHECK_THAT(Refusal(MakeShard(With(kNec, {{"epsilon_end", "0.95"}}))),
             Contains("rule.option.epsilon_start: is 0.9, less than epsilon_end, 0.95"));
  CHECK_THAT(Refusal(MakeShard({{"alpha", "1.5"}, {"delta", "0"}})),
             Contains("alpha") && Contains("delta"));
  // A message to an actor: 2 x 200000 rows of 65 numbers, in lifetimes that are long enough.
  v1::Shard shard = MakeShard({{"capacity", "200000"}});
  CHECK(Make(shard) != nullptr);  // 30 steps fill no table.
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(100000);
  shard.mutable_spec()->mutable_rule()->set_outer_updates(0);
  const std::string refusal = Refusal(shard);
  CHECK_THAT(refusal, Contains("rule.option.capacity: is 200000") && Contains("400000 rows") &&
                          Contains("99 MiB") && Contains("at most 120988,"));
  // The stated amount is enough.
  shard.mutable_inner_loop()->mutable_option(0)->set_value("120988");
  CHECK(Make(shard) != nullptr);
  shard.mutable_inner_loop()->mutable_option(0)->set_value("120989");
  CHECK_THAT(Refusal(shard), Contains("rule.option.capacity"));
}

}  // namespace mentor::methods::TEST_FILE
