// POET on scores from a closed form, which shows what the algorithm itself does; what it keeps and
// says; and what is refused.
#include "methods/poet/poet.h"

#include <algorithm>
#include <cmath>

#include "methods/base/outer_rule.h"
#include "methods/shared/perturbation.h"
#include "tests/fake_fleet.h"
#include "tests/specs.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

// An agent is a point, an environment is the point where it should be. Scores are measured to a
// thousandth: far away all are 0, and nothing says which way is better.
double Score(const Tensor& agent, const Tensor& environment) {
  const double square = (agent.to(torch::kFloat64) - environment).square().sum().item<double>();
  return std::round(300'000 * std::exp(-square / (2 * 0.25 * 0.25))) / 1000;
}

Tensor Scores(const Poet::Round& round, uint64_t seed) {
  Tensor scores = torch::empty({static_cast<int64_t>(round.trials.size())}, torch::kFloat64);
  for (size_t i = 0; i < round.trials.size(); ++i) {
    Tensor agent = round.agents[round.trials[i].agent];
    if (round.perturbed) {
      const uint32_t number = round.first_number + static_cast<uint32_t>(i);
      agent = agent +
              round.sigma * SignOf(number) * PairPerturbation(seed, PairOf(number), agent.numel());
    }
    scores[static_cast<int64_t>(i)] = Score(agent, round.trials[i].environment);
  }
  return scores;
}

PoetConfig Toy() {
  return {.low = torch::full({2}, -10, torch::kFloat64),
          .high = torch::full({2}, 10, torch::kFloat64),
          .population = 16,
          .sigma = 0.1,
          .sigma_decay = 1,
          .step_length = 0.03,
          .max_active = 8,
          .mutate_every = 10,
          .transfer_every = 5,
          .mc_low = 50,
          .mc_high = 280,
          .reproduce = 200,
          .mutation = 0.3 / 20};
}

Poet NewPoet(const PoetConfig& config, uint64_t seed) {
  return {config, seed, torch::zeros({2}, torch::kFloat64), torch::zeros({2})};
}

Poet::Report Update(Poet* poet, uint64_t seed) {
  const auto report = poet->Update([&](const Poet::Round& round) { return Scores(round, seed); });
  REQUIRE(report.ok());
  return *report;
}

struct Trail {
  double farthest = 0;  // Greatest distance of an environment that its agent solves.
  int64_t transfers = 0;
  Tensor place;  // The agent's environment.
};

Trail Run(const PoetConfig& config, uint64_t seed) {
  Poet poet = NewPoet(config, seed);
  Trail trail;
  for (int update = 0; update < 300; ++update) {
    const Tensor environments = poet.environments();
    const Poet::Report report = Update(&poet, seed);
    trail.transfers += report.transfers;
    for (int64_t m = 0; m < environments.size(0); ++m) {
      const double distance = environments[m].norm().item<double>();
      if (report.scores[m].item<double>() < 200 || distance <= trail.farthest) continue;
      trail.farthest = distance;
      trail.place = environments[m].clone();
    }
  }
  return trail;
}

constexpr double kFarthest = 1.2;

TEST_CASE("poet: agents solve environments that they cannot learn from scratch") {
  for (uint64_t seed = 0; seed < 2; ++seed) {
    INFO(seed);
    const Trail trail = Run(Toy(), seed);
    INFO(trail.farthest << ", " << trail.transfers << " transfers");
    CHECK(trail.farthest >= kFarthest);
    CHECK(trail.transfers >= 1);
    // Evolution strategies alone, in the environment that was solved.
    PoetConfig alone = Toy();
    alone.mutate_every = alone.transfer_every = 1000;
    Poet scratch(alone, seed, trail.place, torch::zeros({2}));
    for (int update = 0; update < 300; ++update) {
      Update(&scratch, seed);
    }
    CHECK(Score(scratch.agents()[0], trail.place) == 0);
  }
}

TEST_CASE("poet: children that are looked at in the other order lead nowhere", "[nightly]") {
  PoetConfig least_novel_first = Toy();
  least_novel_first.order = [](const std::vector<int64_t>& passed, const Tensor& novelty) {
    return ByNovelty(passed, -novelty);
  };
  for (uint64_t seed = 0; seed < 2; ++seed) {
    INFO(seed);
    const Trail trail = Run(least_novel_first, seed);
    CHECK(trail.farthest < kFarthest / 2);
  }
}

TEST_CASE("poet: the list is bounded, the oldest leave, and its table tells of everything") {
  Poet poet = NewPoet(Toy(), 1);
  for (int update = 0; update < 300; ++update) {
    Update(&poet, 1);
    CHECK(poet.num_active() <= 8);
  }
  const std::string table = poet.Table();
  CHECK(table.starts_with("update,event,environment,source,x0,x1\n0,born,0,,0,0\n"));
  for (const char* event : {",born,1,0,", ",died,0,,", ",proposal,"})
    CHECK(table.find(event) != std::string::npos);
}

TEST_CASE("poet: a saved state goes on as if nothing had happened") {
  Poet whole = NewPoet(Toy(), 2);
  for (int update = 0; update < 57; ++update) {
    Update(&whole, 2);
  }
  REQUIRE(whole.num_active() > 2);
  Poet resumed = NewPoet(Toy(), 2);
  const TensorMap state = whole.Save();
  REQUIRE(resumed.Load(state).ok());
  for (Poet* poet : {&whole, &resumed}) {
    for (int update = 0; update < 40; ++update) {
      Update(poet, 2);
    }
  }
  CHECK(whole.Table() == resumed.Table());
  CHECK(torch::equal(whole.agents(), resumed.agents()));
  for (const auto& [name, tensor] : state) {
    INFO(name);
    TensorMap other = state;
    other.erase(name);
    CHECK_FALSE(resumed.Load(other).ok());
    other[name] = torch::cat({tensor, tensor});
    if (name != "archive" && name != "lineage") CHECK_FALSE(resumed.Load(other).ok());
  }
  CHECK(whole.Table() == resumed.Table());
}

// Two pairs, whose scores the test gives.
struct TwoPairs {
  TwoPairs() {
    Play({{1, 0},  // Signs of the one pair,
          {80},    // its score, and what children get: by the parent,
          {100},   //
          {100},   // by all agents, which is one,
          {1, 0},  //
          {90}});  // and after its step.
    REQUIRE(poet.num_active() == 2);
  }
  // An update in which the rounds get these scores.
  void Play(const std::vector<std::vector<double>>& rounds) {
    size_t next = 0;
    const auto report = poet.Update([&](const Poet::Round& round) {
      REQUIRE(next < rounds.size());
      const std::vector<double>& scores = rounds[next++];
      REQUIRE(round.trials.size() == scores.size());
      if (next == 5) stepped = round.agents[round.agents.size(0) - 1].clone();
      return torch::tensor(scores, torch::kFloat64);
    });
    REQUIRE(report.ok());
    REQUIRE(next == rounds.size());
  }
  // An update in which agent 0 gets `direct` and `proposal` in the environment of agent 1. No other
  // offer is worth anything.
  void Offer(double own, double direct, double proposal) {
    Play({{1, 0, 1, 0}, {40, own}, {0, direct}, {1, 0, 1, 0}, {0, proposal}});
  }
  static PoetConfig Config() {
    PoetConfig config = Toy();
    config.step_length.reset();  // Adam's.
    config.population = 2;
    config.max_active = 4;
    config.mutate_every = config.transfer_every = 1;
    config.reproduce = 80;
    config.children = 1;
    return config;
  }

  Poet poet = NewPoet(Config(), 5);
  Tensor stepped;  // Agent 0 after its step in the environment of agent 1.
};

void CheckMoments(const Poet& poet, int64_t agent, int64_t steps) {
  const TensorMap state = poet.Save();
  CHECK(state.at("adam.steps")[agent].item<int64_t>() == steps);
  for (const char* moment : {"adam.m", "adam.v"}) {
    INFO(moment);
    CHECK((state.at(moment)[agent].abs().max().item<double>() > 0) == (steps > 0));
  }
}

TEST_CASE("poet: an agent that was taken over begins with moments of its own") {
  TwoPairs pairs;
  CheckMoments(pairs.poet, 0, 1);
  CheckMoments(pairs.poet, 1, 0);  // It was just born.
  SECTION("as it is") {
    pairs.Offer(/*own=*/10, /*direct=*/50, /*proposal=*/40);
    CHECK(torch::equal(pairs.poet.agents()[1], pairs.poet.agents()[0]));
    CHECK(pairs.poet.Table().find("\n1,direct,1,0,") != std::string::npos);
    CheckMoments(pairs.poet, 1, 0);
  }
  SECTION("after a step there") {
    pairs.Offer(/*own=*/10, /*direct=*/40, /*proposal=*/50);
    CHECK(torch::equal(pairs.poet.agents()[1], pairs.stepped));
    CHECK_FALSE(torch::equal(pairs.poet.agents()[1], pairs.poet.agents()[0]));
    CHECK(pairs.poet.Table().find("\n1,proposal,1,0,") != std::string::npos);
    CheckMoments(pairs.poet, 1, 0);
  }
  SECTION("and keeps them where nobody does better") {
    const Tensor before = pairs.poet.agents()[1].clone();
    pairs.Offer(/*own=*/50, /*direct=*/50, /*proposal=*/50);
    CHECK(pairs.poet.Table().find("\n1,direct") == std::string::npos);
    CHECK_FALSE(torch::equal(pairs.poet.agents()[1], before));  // Its own step.
    CheckMoments(pairs.poet, 1, 1);
  }
  CheckMoments(pairs.poet, 0, 2);  // An agent that others take over keeps its own.
}

TEST_CASE("poet: nobody is replaced who did better in one of the last five updates") {
  TwoPairs pairs;
  const auto taken = [&](double own, double direct) {
    const std::string before = pairs.poet.Table();
    pairs.Offer(own, direct, /*proposal=*/0);
    return pairs.poet.Table() != before;
  };
  CHECK_FALSE(taken(60, 30));
  for (int update = 0; update < 5; ++update) CHECK_FALSE(taken(10, 30));
  CHECK(taken(10, 30));
}

TEST_CASE("poet: without transfers a child has its parent's agent, and pairs keep their own") {
  PoetConfig config = TwoPairs::Config();
  config.transfer = AgentTransfer::kNone;
  Poet poet = NewPoet(config, 5);
  const auto play = [&](const std::vector<std::vector<double>>& rounds) {
    size_t next = 0;
    const auto report = poet.Update([&](const Poet::Round& round) {
      REQUIRE(next < rounds.size());
      const std::vector<double>& scores = rounds[next++];
      REQUIRE(round.trials.size() == scores.size());
      return torch::tensor(scores, torch::kFloat64);
    });
    REQUIRE(report.ok());
    CHECK(next == rounds.size());
    return *report;
  };
  // Signs of the one pair, its score, and what the child gets by its parent. Nothing else is asked.
  CHECK(play({{1, 0}, {80}, {100}}).admitted == 1);
  CHECK(torch::equal(poet.agents()[1], poet.agents()[0]));
  CHECK(poet.Table().find("\n0,born,1,0,") != std::string::npos);
  // Two pairs, of which neither is offered the other's agent.
  CHECK(play({{1, 0, 1, 0}, {40, 10}}).transfers == 0);
}

TEST_CASE("poet: only proposals are taken over when that is asked") {
  PoetConfig config = Toy();
  config.transfer = AgentTransfer::kProposals;
  Poet poet = NewPoet(config, 3);
  for (int update = 0; update < 100; ++update) {
    Update(&poet, 3);
  }
  CHECK(poet.Table().find(",direct,") == std::string::npos);
  CHECK(poet.Table().find(",proposal,") != std::string::npos);
}

v1::ExperimentSpec Spec(const mentor::testing::Settings& options, bool ranges = true) {
  v1::ExperimentSpec spec;
  spec.mutable_rule()->set_name("poet");
  spec.mutable_rule()->set_lifetimes_per_update(30000);
  spec.mutable_lifetime()->set_iterations(1);
  v1::TaskSetSpec& set = *spec.mutable_benchmark()->add_task_set();
  set.set_environment("point_navigation");
  for (int i = 0; i < 2 && ranges; ++i) {
    set.add_range()->set_low(-1);
    set.mutable_range(i)->set_high(3);
  }
  mentor::testing::SetOptions(spec.mutable_rule(), options);
  return spec;
}

std::unique_ptr<OuterRule> Make(const v1::ExperimentSpec& spec, Violations* violations) {
  return MakeOuterRule(
      {.spec = spec, .shape = mentor::testing::Shape({.observation = 3, .action = 2})}, violations);
}

TEST_CASE("poet: a round of the rule is in the environments, with the chances, that it plans") {
  Violations violations;
  const auto rule = Make(Spec({{"population", "4"}, {"score_episodes", "2"}}), &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  const Tensor before = rule->meta_parameters().clone();
  // Lifetimes of the rewards 1, 2, 3, 4, ..., with two episodes each.
  const auto answer = [](const RoundRequest& request) {
    const auto n = static_cast<int64_t>(request.lifetimes.size());
    LifetimeBatch batch;
    batch.environments.assign(request.lifetimes.size(), "here");
    const Tensor zeros = torch::zeros({n, 6});
    batch.steps.shaped_rewards = torch::arange(1, n + 1, torch::kFloat64).unsqueeze(1) *
                                 torch::ones({n, 6}, torch::kFloat64);
    batch.steps.success_signals = batch.steps.successes = zeros;
    batch.steps.prev_done = zeros.clone();
    batch.steps.prev_done.select(1, 3).fill_(1);
    batch.steps.last_done = torch::ones({n});
    return batch;
  };
  mentor::testing::FakeFleet fleet(answer);
  const auto report = rule->Run(&fleet, 0);
  INFO(report.status());
  REQUIRE(report.ok());
  CHECK(report->at("active") == 1);
  CHECK(report->at("score_best") == 3);  // Three steps of reward 1.
  REQUIRE(fleet.requests.size() == 2);
  const RoundRequest& perturbed = fleet.requests[0];
  REQUIRE(perturbed.lifetimes.size() == 4);
  CHECK(perturbed.outer_learning);
  CHECK(perturbed.deterministic_episodes == 0);
  CHECK(torch::equal(perturbed.meta_parameters, before));
  for (size_t i = 0; i < 4; ++i) {
    CHECK(perturbed.lifetimes[i].parameters == std::vector<double>{1, 1});
    CHECK(perturbed.lifetimes[i].variant == 0);
    CHECK(perturbed.lifetimes[i].noise_number == i - i % 2);
  }
  const RoundRequest& scores = fleet.requests[1];
  REQUIRE(scores.lifetimes.size() == 1);
  CHECK_FALSE(scores.outer_learning);
  CHECK(scores.deterministic_episodes == 2);
  CHECK(scores.first_number == 4);
  CHECK_FALSE(torch::equal(scores.meta_parameters, before));
  mentor::testing::FakeFleet short_fleet([&](const RoundRequest& request) {
    LifetimeBatch batch = answer(request);
    batch.environments.pop_back();
    return batch;
  });
  CHECK_FALSE(rule->Run(&short_fleet, 1).ok());
}

TEST_CASE("poet: settings that cannot be are refused by field, all at once") {
  using Catch::Matchers::Contains;
  Violations violations;
  CHECK(Make(Spec({{"population", "63"}, {"mc_low", "10"}, {"mc_high", "5"}}, /*ranges=*/false),
             &violations) == nullptr);
  const std::string message(violations.ToStatus().message());
  CHECK_THAT(message, Contains("benchmark.task_set") && Contains("rule.option.population") &&
                          Contains("rule.option.mc_low"));
  v1::ExperimentSpec many = Spec({{"mutate_every", "1"}});
  many.mutable_rule()->set_outer_updates(1 << 20);
  Violations full;
  CHECK(Make(many, &full) == nullptr);
  CHECK_THAT(std::string(full.ToStatus().message()),
             Contains("rule.outer_updates") && Contains("1048577 environments"));
  v1::ExperimentSpec few = Spec({});
  few.mutable_rule()->set_lifetimes_per_update(100);
  Violations other;
  CHECK(Make(few, &other) == nullptr);
  CHECK_THAT(std::string(other.ToStatus().message()),
             Contains("rule.lifetimes_per_update") && Contains("24320"));
}

}  // namespace mentor::methods::TEST_FILE
