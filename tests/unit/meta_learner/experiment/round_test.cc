#include "meta_learner/experiment/round.h"

#include "common/spec/spec.h"
#include "shards/tensor_proto.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

v1::ExperimentSpec Spec() {
  const auto spec = LoadSpec(
      "benchmark { name: 'point_reach' } lifetime { iterations: 3 steps_per_iteration: 40 "
      "} rule { lifetimes_per_update: 4 shard_lifetimes: 2 }");
  REQUIRE(spec.ok());
  return *spec;
}

struct Fixture {
  const v1::ExperimentSpec spec = Spec();
  const std::string name = "experiments/e";
  Violations violations;
  std::unique_ptr<envs::Benchmark> benchmark = envs::MakeBenchmark(spec.benchmark(), &violations);

  std::vector<SampledTask> Tasks() const { return TrainingTasks(*benchmark, spec, 0); }
  absl::StatusOr<std::vector<v1::Shard>> Shards(const methods::RuleNeeds& needs, uint32_t step,
                                                const std::vector<v1::Snapshot>& lives) const {
    return RoundShards({name, spec, *benchmark}, Tasks(), needs, RoundOf(needs, spec, step), lives);
  }
};

TEST_CASE("round: an outer update of whole lives is a generation", "[unit]") {
  const Fixture fixture;
  const Round round = RoundOf({}, fixture.spec, 5);
  CHECK(round.generation == 5);
  CHECK_FALSE(round.iteration.has_value());
  CHECK(round.last);
  const auto shards = fixture.Shards({.segments = false}, 5, {});
  REQUIRE(shards.ok());
  REQUIRE(shards->size() == 2);
  for (const v1::Shard& shard : *shards) {
    CHECK(shard.iterations() == 3);
    CHECK(shard.first_iteration() == 0);
    CHECK(shard.outcomes_only());
    CHECK_FALSE(shard.has_snapshot());
    CHECK_FALSE(shard.return_snapshot());
  }
  CHECK((*shards)[1].lifetimes(0).number() == 5 * 4 + 2);
}

TEST_CASE("round: with decisions inside a lifetime it is one inner iteration", "[unit]") {
  const Fixture fixture;
  const methods::RuleNeeds needs{.decisions_inside_lifetime = true};
  // Updates 0 1 2 | 3 4 5: two generations of three iterations.
  const Round middle = RoundOf(needs, fixture.spec, 4), last = RoundOf(needs, fixture.spec, 5);
  CHECK((middle.generation == 1 && middle.iteration == 1U && !middle.last));
  CHECK((last.generation == 1 && last.iteration == 2U && last.last));

  const auto first = fixture.Shards(needs, 3, {});
  REQUIRE(first.ok());
  CHECK_FALSE((*first)[0].has_snapshot());
  CHECK((*first)[0].return_snapshot());

  std::vector<v1::Snapshot> lives(2);
  lives[1].set_iterations(1);
  const auto shards = fixture.Shards(needs, 4, lives);
  REQUIRE(shards.ok());
  CHECK((*shards)[1].first_iteration() == 1);
  CHECK((*shards)[1].iterations() == 1);
  CHECK((*shards)[1].return_snapshot());
  CHECK((*shards)[1].snapshot().iterations() == 1);
  CHECK_FALSE((*fixture.Shards(needs, 5, lives))[0].return_snapshot());

  // A round cannot resume from snapshots of another number of shards.
  lives.pop_back();
  const auto refused = fixture.Shards(needs, 4, lives);
  CHECK(absl::IsDataLoss(refused.status()));
  CHECK(refused.status().message() == "the checkpoint has 1 running shards, expected 2");
}

// Snapshots of lifetimes with one number each.
v1::Snapshot Lives(const std::vector<float>& agents) {
  v1::Snapshot snapshot;
  const auto rows = static_cast<int64_t>(agents.size());
  for (const char* name : {"agents.theta", "observations", "signal.previous"}) {
    v1::NamedTensor& named = *snapshot.add_tensors();
    named.set_name(name);
    *named.mutable_tensor() = shards::ToProto(torch::tensor(agents).view({rows, 1}));
  }
  for (size_t i = 0; i < agents.size(); ++i) snapshot.add_cursors()->set_step(i);
  return snapshot;
}

TEST_CASE("round: lifetimes go on as others did, though these go on as yet others", "[unit]") {
  const std::vector<v1::Snapshot> before = {Lives({0, 1, 2}), Lives({3, 4})};
  std::vector<v1::Snapshot> lives = before;
  // 1 and 4 change places, 0 follows 1, and 3 follows 0.
  REQUIRE(TakeOver({1, 4, 2, 0, 1}, &lives).ok());
  const std::vector<v1::Snapshot> agents = {Lives({1, 4, 2}), Lives({0, 1})};
  for (size_t i = 0; i < 2; ++i) {
    INFO(i);
    for (int k = 0; k < 3; ++k) {
      const v1::Snapshot& want = k < 2 ? agents[i] : before[i];  // The signal is not the agent's.
      CHECK(lives[i].tensors(k).tensor().data() == want.tensors(k).tensor().data());
    }
    CHECK(lives[i].cursors(1).step() == before[i].cursors(1).step());
  }

  const std::vector<v1::Snapshot> whole = lives;
  CHECK(absl::IsInternal(TakeOver({0, 1, 2, 3}, &lives)));
  CHECK(absl::IsInternal(TakeOver({0, 1, 2, 3, 5}, &lives)));
  lives[1].mutable_tensors(1)->mutable_tensor()->set_dtype(v1::Tensor::DTYPE_FLOAT64);
  // An error leaves everybody as they were.
  CHECK(absl::IsInternal(TakeOver({1, 1, 2, 3, 0}, &lives)));
  CHECK(lives[0].SerializeAsString() == whole[0].SerializeAsString());
}

ShardResult Result(int64_t lifetimes, std::map<std::string, double> statistics) {
  ShardResult result;
  result.segments.emplace_back().successes = torch::zeros({lifetimes, 1});
  result.statistics = std::move(statistics);
  return result;
}

TEST_CASE("round: what inner loops say is a mean over the lifetimes that say it", "[unit]") {
  const LifetimeOutcome outcome{
      .episode_success = {1}, .episode_return = {2}, .segment_episodes = {1}};
  const std::vector<LifetimeOutcome> outcomes(4, outcome);
  const std::vector<SampledTask> tasks(4, {.environment = "reach"});
  const std::vector<ShardResult> results = {Result(1, {{"kl", 1}, {"episode_return_mean", 8}}),
                                            Result(3, {{"kl", 5}})};
  const auto whole = RoundResults({}, outcomes, tasks, results);
  CHECK(whole.at("kl") == 4);  // (1 + 3 * 5) / 4
  CHECK(whole.at("episode_return_mean") == 8);
  CHECK(whole.at("seg0") == 1);
  CHECK(whole.at("success_episode_0") == 1);

  const auto part =
      RoundResults({.generation = 1, .iteration = 2, .last = false}, outcomes, tasks, results);
  CHECK(part.at("generation") == 1);
  CHECK(part.at("iteration") == 2);
  CHECK(part.at("success") == 1);
  CHECK(part.at("shaped_return") == 2);
  CHECK_FALSE(part.contains("seg0"));
  CHECK_FALSE(part.contains("success_episode_0"));
}

TEST_CASE("round: what lifetimes achieved in their last iteration", "[unit]") {
  std::vector<ShardResult> results(2);
  for (ShardResult& result : results) result.segments.resize(2);
  results[0].segments[1].shaped_rewards = torch::tensor({{1.0, 2.0}, {3.0, 5.0}}, torch::kFloat64);
  results[1].segments[1].shaped_rewards = torch::tensor({{-1.0, 0.0}}, torch::kFloat64);
  const std::vector<LifetimeOutcome> outcomes = {
      {.episode_success = {1, 0, 1}, .episode_return = {}, .segment_episodes = {1, 2}},
      {.episode_success = {1}, .episode_return = {}, .segment_episodes = {1, 0}},
      {.episode_success = {0, 1}, .episode_return = {}, .segment_episodes = {1, 1}}};
  const auto achieved = LastAchievements(outcomes, results);
  REQUIRE(achieved.size() == 3);
  CHECK(achieved[0].success == 0.5);
  CHECK_FALSE(achieved[1].success.has_value());
  CHECK(achieved[2].success == 1);
  CHECK(achieved[0].shaped_reward == 1.5);
  CHECK(achieved[1].shaped_reward == 4);
  CHECK(achieved[2].shaped_reward == -0.5);
}

TEST_CASE("round: seconds of shards add up by phase", "[unit]") {
  std::vector<ShardResult> results(2);
  results[0].seconds.set_rollout(1);
  results[1].seconds.set_rollout(2);
  results[1].seconds.set_stalled(4);
  results[0].seconds.set_signal(8);
  results[1].seconds.set_policy(16);
  results[0].seconds.set_update(32);
  results[1].seconds.set_update(64);
  const auto timings = PhaseTimings(results);
  CHECK(timings.at("rollout_seconds") == 3);
  CHECK(timings.at("stalled_seconds") == 4);
  CHECK(timings.at("signal_seconds") == 8);
  CHECK(timings.at("policy_seconds") == 16);
  CHECK(timings.at("update_seconds") == 96);
}

}  // namespace mentor::meta_learner::TEST_FILE
