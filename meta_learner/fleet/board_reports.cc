#include <string_view>
#include <vector>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/log.h"
#include "common/status.h"
#include "meta_learner/fleet/shard_board.h"

namespace mentor::meta_learner {

ShardBoard::Options WithReports(ShardBoard::Options options, Metrics* metrics) {
  prometheus::Counter& mismatches = metrics->Counter(
      "mentor_meta_numeric_mismatches_total",
      "Pairs of a learner and an experiment that keeps to another kind of learner.");
  options.on_mismatch = [&mismatches](const LearnerInfo& learner, const std::string& experiment,
                                      const std::string& arithmetic) {
    mismatches.Increment();
    MENTOR_LOG(kWarning, "learner gets no shards of an experiment",
               {{"learner", learner.name},
                {"experiment", experiment},
                {"why", ArithmeticMismatch(arithmetic, learner.arithmetic)}});
  };
  prometheus::Counter& stalled = metrics->Counter(
      "mentor_meta_shards_stalled_total", "Shards taken from learners that got nowhere with them.");
  prometheus::Counter& quarantines = metrics->Counter(
      "mentor_meta_quarantines_total",
      "Learners kept away for a while, since they failed or held up what others could do.");
  prometheus::Counter& divergence = metrics->Counter(
      "mentor_meta_divergence_total",
      "Results of shards that differ from another learner's: exactness is broken.");
  options.on_divergence = [&divergence](const std::string& experiment,
                                        const std::vector<std::string>& learners) {
    divergence.Increment();
    MENTOR_LOG(kError,
               "learners gave other bits for the same shard: one of these machines computes "
               "wrongly; all of them are kept away for a while",
               {{"experiment", experiment}, {"learners", absl::StrJoin(learners, ", ")}});
  };
  options.on_strike = [&stalled, &quarantines](const LearnerInfo& learner, const char* why,
                                               bool quarantined) {
    if (std::string_view(why) == ShardBoard::kStalled) stalled.Increment();
    if (quarantined) quarantines.Increment();
    MENTOR_LOG(kWarning, quarantined ? "learner kept away for a while" : "learner struck",
               {{"learner", learner.name}, {"why", why}});
  };
  options.on_event = [](const std::string& experiment, const ShardEvent& event) {
    MENTOR_LOG(kInfo, event.sentence,
               {{"experiment", experiment},
                {"event", event.name},
                {"learner", event.learner},
                {"detail", event.detail}});
  };
  return options;
}

absl::Status ArithmeticMismatch(const std::string& kept, const std::string& got) {
  return MakeError(
      Reason::kNumericMismatch,
      absl::StrFormat("the experiment's results come from learners that compute with '%s', and "
                      "this one computes with '%s': their last bits differ; start learners of "
                      "that device and build, or create the experiment anew (or clone a "
                      "checkpoint of it), which then takes whichever learners come first",
                      kept, got),
      {{"expected", kept}, {"got", got}});
}

}  // namespace mentor::meta_learner
