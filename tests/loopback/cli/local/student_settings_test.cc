// Students and baselines with other settings than the run's (mentor evaluate --set).
#include "cli/local/student_settings.h"

#include "agents/numerics.h"
#include "cli/local/evaluate.h"
#include "cli/local/run_report.h"
#include "common/file.h"
#include "meta_learner/experiment/evaluation.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::ReadText;
using meta_learner::ReadShards;

const std::string kSpec = testing::TinySpec(R"(
  benchmark { name: "point_reach" }
  lifetime { iterations: 3 steps_per_iteration: 40 }
  rule { outer_updates: 1 lifetimes_per_update: 4 shard_lifetimes: 4
         option { name: "k" value: "20" } }
  evaluation {
    lifetimes_per_goal: 1 goals: 4 deterministic_episodes: 0 train_goals: false best_weights: false
    baseline: [PPO_SHAPED]
  }
)");

// Before anything else uses LibTorch.
const absl::Status fixed = agents::FixNumerics();

struct Run {
  explicit Run(const std::vector<std::string>& overrides = {}) {
    REQUIRE(fixed.ok());
    REQUIRE(testing::RunQuietly(testing::Checked(kSpec, overrides), folder.path()) == 0);
  }
  std::filesystem::path experiment() const { return FindRun(folder.path())->experiment; }
  absl::StatusOr<int> Evaluate(const std::vector<std::string>& settings) const {
    return mentor::Evaluate({.runs = {folder.path()},
                             .seeds = {5},
                             .settings = settings,
                             .baselines = {v1::PPO_SHAPED},
                             .quiet = true});
  }
  std::string Refusal(const std::vector<std::string>& settings) const {
    return std::string(Evaluate(settings).status().message());
  }
  const testing::TempFolder folder;
};

// The lives of one teacher, as text.
std::string LivesOf(const std::filesystem::path& folder, v1::EvaluationMethod method) {
  const auto shards = ReadShards(folder);
  REQUIRE(shards.ok());
  std::string lives;
  for (const v1::EvaluationShard& shard : *shards)
    for (const auto& life : shard.lifetimes())
      if (shard.taught_by() == method) lives += life.DebugString();
  CHECK(!lives.empty());
  return lives;
}

TEST_CASE("evaluate --set: students and PPO have the settings, and the results say which",
          "[loopback]") {
  const Run run;
  REQUIRE(run.Evaluate({}).value() == 0);
  REQUIRE(run.Evaluate({"agent.clip=1", "agent.epochs=7"}).value() == 0);
  REQUIRE(run.Evaluate({"agent.epochs=2"}).value() == 0);  // The run's own.
  const std::filesystem::path all = run.experiment() / "evaluations",
                              other = all / "test_with_agent.clip=1_agent.epochs=7-u1",
                              own = all / "test_with_agent.epochs=2-u1";
  CHECK(Contains(ReadText(other / "protocol.txtpb"), "epochs: 7"));
  const auto shards = ReadShards(other / "seed-5");
  REQUIRE(shards.ok());
  CHECK(shards->at(0).tasks() == "test with agent.clip=1 agent.epochs=7");
  for (const auto method : {v1::EVALUATION_METHOD_LEARNED, v1::EVALUATION_METHOD_PPO_SHAPED}) {
    const std::string plain = LivesOf(all / "test-u1" / "seed-5", method);
    CHECK(LivesOf(own / "seed-5", method) == plain);
    CHECK(LivesOf(other / "seed-5", method) != plain);
  }

  // PPO is that of a run with these settings, bit for bit.
  const Run tuned({"rule.outer_updates=0", "agent.clip=1", "agent.epochs=7"});
  CHECK(LivesOf(meta_learner::EvaluationFolder(tuned.experiment()),
                v1::EVALUATION_METHOD_PPO_SHAPED) ==
        LivesOf(other / "seed-5", v1::EVALUATION_METHOD_PPO_SHAPED));
  CHECK(tuned.Evaluate({"agent.clip=0.5"}).value() == 0);
}

TEST_CASE("evaluate --set: what is no agent's setting, or is not read, is refused by name",
          "[loopback]") {
  const Run reward;
  const std::string both = reward.Refusal({"rule.k=3", "agent.clop=1"});
  CHECK(Contains(both, "rule.k: is no setting of an agent (agent.KEY)"));
  CHECK(Contains(both, "did you mean 'clip'"));
  CHECK(Contains(reward.Refusal({"agent.clip=99"}), "agent.clip: is 99"));
  CHECK(Contains(reward.Refusal({"agent.dpo_alpha=1"}), "set agent.surrogate to DPO"));
  CHECK(
      Contains(reward.Refusal({"agent.surrogate=DPO", "agent.clip=1"}),
               "agent.clip: is not read by these agents (rule 'black_box', role REWARD, surrogate "
               "DPO); leave it out"));
  CHECK(Contains(reward.Refusal({"agent.optimizer=SGD", "agent.adam_beta1=0"}),
                 "agent.adam_beta1: is not read"));
  CHECK(!std::filesystem::exists(reward.experiment() / "evaluations"));

  const Run advantage({"signal.role=ADVANTAGE"});
  const std::string refused =
      advantage.Refusal({"agent.gamma=0", "agent.clip=1", "agent.value_coef=1"});
  CHECK(Contains(refused,
                 "agent.gamma: is not read by these agents (rule 'black_box', role ADVANTAGE)"));
  CHECK(Contains(refused, "agent.value_coef: "));
  CHECK_FALSE(Contains(refused, "agent.clip"));
  CHECK(advantage.Evaluate({"agent.clip=1"}).value() == 0);
}

}  // namespace mentor::TEST_FILE
