// Every ready spec makes an outer update, as small as its parts allow.
#include "common/spec/ready_specs.h"

#include <set>
#include <string>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_join.h>

#include "agents/numerics.h"
#include "cli/local/claim_results.h"
#include "cli/local/run_report.h"
#include "common/hash.h"
#include "tests/known_bits.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

// Before anything else uses LibTorch.
const absl::Status fixed = agents::FixNumerics();

using Overrides = std::vector<std::string>;

// Settings that make a run small. The first entry of each line that the spec's parts accept is
// taken. An entry changes nothing when all parts refuse it, or the spec lacks the parts. So a
// benchmark of 45 environments keeps its 45 lifetimes.
const std::vector<std::vector<Overrides>> kSmaller = {
    {{"rule.lifetimes_per_update=2", "rule.shard_lifetimes=2"},
     {"rule.lifetimes_per_update=4", "rule.shard_lifetimes=2"},
     {"rule.lifetimes_per_update=10", "rule.shard_lifetimes=5"}},
    {{"agent.epochs=1"}},
    {{"agent.minibatches=1"}},
    {{"agent.hidden_units=8"}},
    {{"rule.epochs=1"}},
    {{"rule.hidden_units=8"}},
    {{"rule.encoder1=8"}},
    {{"rule.encoder2=8"}},
    {{"rule.lstm_units=8"}},
    {{"rule.head_units=8"}},
    {{"rule.critic_units=8"}},
    {{"signal.enc1=8"}},
    {{"signal.enc2=8"}},
    {{"signal.lstm=8"}},
    {{"signal.heads=8"}},
    {{"signal.critic=8"}},
    {{"rule.prediction=8", "rule.hidden=8", "rule.memory=8"}},
    {{"rule.rollout=7", "rule.replay=8", "rule.batch=2", "lifetime.iterations=3",
      "lifetime.steps_per_iteration=14"}},
    // The first entries are those of rules that look ahead across iterations or cut in pieces.
    {{"lifetime.steps_per_iteration=20", "rule.k=10", "rule.starting_n=22", "rule.skip_rate=2"},
     {"lifetime.steps_per_iteration=20", "rule.k=10"},
     {"lifetime.steps_per_iteration=20"},
     {"lifetime.steps_per_iteration=100", "rule.k=50", "rule.starting_n=110", "rule.skip_rate=15"},
     {"lifetime.steps_per_iteration=100", "rule.k=50"},
     {"lifetime.steps_per_iteration=100"}},
    {{"lifetime.iterations=2"}, {"lifetime.iterations=3"}, {"lifetime.iterations=4"}},
};

struct SmallSpec {
  v1::ExperimentSpec spec;
  Overrides overrides = {};
};

SmallSpec Small(const std::filesystem::path& file) {
  SmallSpec small{.spec = LoadSpecFile(file, {}, meta_learner::CheckParts).value()};
  const auto take = [&](const Overrides& more) {
    Overrides all = small.overrides;
    all.insert(all.end(), more.begin(), more.end());
    const auto spec = LoadSpecFile(file, all, meta_learner::CheckParts);
    if (!spec.ok()) return false;
    small = {.spec = *spec, .overrides = all};
    return true;
  };
  // A spec without outer updates is its evaluation.
  if (small.spec.rule().outer_updates() == 0) {
    REQUIRE(take({"evaluation.lifetimes_per_goal=1"}));
  } else {
    REQUIRE(take({"rule.outer_updates=1", "evaluation.lifetimes_per_goal=0"}));
  }
  for (const auto& line : kSmaller) {
    for (const Overrides& entry : line)
      if (take(entry)) break;
  }
  return small;
}

// Checks all that the run computed: what was learned, the lives, and the agents' returns.
void CheckResult(const std::string& name, const Overrides& overrides,
                 const std::filesystem::path& run) {
  ClaimRow claim;
  claim.claim = "known";
  claim.run = "1";
  claim.command = absl::StrCat("mentor run ", name, " --set ", absl::StrJoin(overrides, " --set "));
  const auto result = MeasureRun(claim, run);
  CHECK(result.status() == absl::OkStatus());
  if (!result.ok()) return;
  Sha256 hash;
  hash.Update(absl::StrJoin({result->hash, result->evaluation, result->metrics}, "\n"));
  testing::CheckBits("spec " + name, ToHex(hash.Finish()).substr(0, 32));
}

// Makes an outer update of the first spec of each pair of rule and network, or of the other specs.
void CheckSpecs(bool first) {
  REQUIRE(fixed.ok());
  const std::vector<ReadySpec> ready = ReadySpecs();
  REQUIRE(ready.size() > 40);
  std::set<std::string> seen;
  for (const ReadySpec& file : ready) {
    const SmallSpec small = Small(file.path);
    const std::string pair =
        absl::StrCat(small.spec.rule().name(), " ", small.spec.signal().name());
    if (seen.insert(pair).second != first) continue;
    INFO(file.name << " --set " << absl::StrJoin(small.overrides, " --set "));
    const testing::TempFolder folder;
    CHECK(testing::RunQuietly(small.spec, folder.path()) == 0);
    const auto data = ReportOf(folder.path());
    CHECK(data.status() == absl::OkStatus());
    if (!data.ok()) continue;
    CHECK(data->training.size() == small.spec.rule().outer_updates());
    CHECK(data->training.empty() != data->evaluation.empty());
    CheckResult(file.name, small.overrides, folder.path());
    if (file.name != "ml45") continue;
    // Untrained agents get no reward at all in some of its environments.
    int environments = 0, without_mean = 0;
    for (const auto& [name, value] : data->training.at(0).metrics) {
      environments += absl::StartsWith(name, "reward_mean/") ? 1 : 0;
      without_mean += absl::StartsWith(name, "reward_rms/") ? 1 : 0;
    }
    CHECK(environments == 45);
    CHECK(without_mean > 0);
  }
}

TEST_CASE("ready specs: one of each rule and network makes an outer update, with known bits",
          "[loopback]") {
  CheckSpecs(/*first=*/true);
}
TEST_CASE("ready specs: all others make an outer update, with known bits", "[loopback][nightly]") {
  CheckSpecs(/*first=*/false);
}

}  // namespace mentor::TEST_FILE
