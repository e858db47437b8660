// RL^2 (methods/rl2/README.md#the-network). The meta-parameters are a recurrent policy that acts
// for a whole lifetime and never changes within it. Its memory learns from experience.
#include <algorithm>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/rl2/recurrent_policy.h"

namespace mentor::methods::rl2_loop {
namespace {

class Recurrent : public InnerLoop {
 public:
  explicit Recurrent(const InnerLoopContext& context)
      : InnerLoop(context),
        policy_(ReadRecurrent(context.options, context.shape()).policy),
        regression_(ReadRecurrent(context.options, context.shape()).regression) {}

  void Begin() override {}

  absl::StatusOr<agents::Segment> Iterate(uint32_t /*iteration*/, const Collect& collect,
                                          LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, collect(Policies()));
    if (context_.shard->outer_learning()) {
      const CpuTimer timer;
      MENTOR_ASSIGN_OR_RETURN(const RecurrentLives lives,
                              LiveAgain(policy_, context_.meta_parameters, segment, context_.pool));
      segment.signal_values = lives.values;
      if (policy_.memory) {
        report->statistics["memory_hits"] = lives.memory_hits;
        report->statistics["reinstate_gate"] = lives.reinstate_gate;
      }
      report->signal_seconds += timer.Seconds();
    }
    return segment;
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    return std::vector<v1::PolicyWeights>(static_cast<size_t>(context_.num_agents()),
                                          policy_.ToPolicyWeights(context_.meta_parameters));
  }

  bool acts_with_means() const override { return !context_.shard->outer_learning(); }
  bool wants_labels() const override { return context_.shard->outer_learning() && regression_; }

  // A lifetime is one iteration, so there is nothing to resume.
  void State(StateFields* fields) override {
    fields->AddPart(
        [](TensorMap*) {},
        [](const TensorMap&) {
          return absl::FailedPreconditionError("recurrent policies do not go on from a snapshot");
        });
  }

 private:
  const RecurrentPolicy policy_;
  const bool regression_;
};

void Check(const InnerLoopContext& context, Violations* violations) {
  if (const uint32_t iterations = context.spec().lifetime().iterations(); iterations != 1) {
    violations->Add(
        "lifetime.iterations",
        absl::StrFormat("is %d; a recurrent policy lives without updates: set it to 1 and "
                        "steps_per_iteration to the steps of the whole lifetime",
                        iterations));
  }
  if (context.shard->deterministic_episodes() > 0) {
    violations->Add("evaluation.deterministic_episodes",
                    "is not 0; what a recurrent policy learned ends with its lifetime, and its "
                    "evaluation is deterministic throughout: set it to 0");
  }
  const RecurrentPolicy policy = ReadRecurrent(context.options, context.shape()).policy;
  CheckEpisodicMemory(policy, context.shape().episode_steps(), context.steps(), violations);
  CheckMetaParameters(context, policy.Layout().size(), "the policy", violations);
}

const RegisterInnerLoop kRecurrent({
    .name = "recurrent",
    .summary = "a meta-learned recurrent policy that lives for one iteration and never updates",
    .options = RecurrentOptions().table(),
    .metrics = {{.name = "memory_hits",
                 .help = "With an episodic memory: share of episodes whose context was found.",
                 .label = "contexts found",
                 .panel = MetricInfo::Panel::kOwn},
                {.name = "reinstate_gate",
                 .help = "With an episodic memory: mean of the gate that lets what was found into "
                         "the cell.",
                 .label = "reinstatement gate",
                 .panel = MetricInfo::Panel::kOwn}},
    .check = Check,
    .make = MadeLoop<Recurrent>,
    .sizes = [](const InnerLoopContext& context, int64_t num_meta_parameters) -> LoopSizes {
      const RecurrentConfig config = ReadRecurrent(context.options, context.shard->shape());
      const RecurrentPolicy& policy = config.policy;
      const int64_t widths =
          policy.encoder1 + policy.encoder2 + 6 * policy.lstm + 4 * policy.heads + policy.critic;
      // Labels exist in the result as sent and as parsed, in the segment, and in messages.
      const int64_t labels = config.regression ? 7 : 0;
      int64_t per_step = widths;
      int64_t memory = 0;  // Per lifetime.
      if (policy.memory) {
        per_step += 2 * policy.lstm;  // The fifth gate, and what it lets in.
        memory = std::min(policy.memory->capacity, context.steps()) *
                     (policy.memory->context_size + policy.lstm + 32) +
                 context.steps() * policy.memory->context_size;
      }
      const int64_t steps = std::min(kLifeStepsAtOnce, context.steps());
      return {.policy = num_meta_parameters,
              .at_once = context.num_agents() * context.steps() *
                         (2 * policy.features() + labels * policy.action_size),
              .per_thread = kLivesAtOnce * (3 * steps * per_step + memory)};
    },
});

}  // namespace
}  // namespace mentor::methods::rl2_loop
