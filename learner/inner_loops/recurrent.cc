// RL^2 (docs/algorithms/recurrent_policy.md#the-network): the meta-parameters are a recurrent
// policy that acts for a whole lifetime and never changes within it. Learning from experience is
// what its memory does.
#include <algorithm>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "learner/agents/recurrent_policy.h"
#include "learner/inner_loops/inner_loop.h"
#include "learner/inner_loops/shared.h"

namespace mentor::learner {
namespace {

// Lifetimes and steps whose values are computed at once: this bounds memory, and the order of sums
// does not depend on the number of threads.
constexpr int64_t kGroup = 16, kPiece = 512;

class Recurrent : public InnerLoop {
 public:
  Recurrent(InnerLoopContext context, RecurrentPolicy policy)
      : context_(std::move(context)), policy_(policy) {}

  void Begin() override {}

  absl::StatusOr<Segment> Iterate(uint32_t /*iteration*/, const Collect& collect,
                                  LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(Segment segment, collect(Policies()));
    if (context_.shard->outer_learning()) {
      const CpuTimer timer;
      MENTOR_ASSIGN_OR_RETURN(segment.signal_values, Values(segment));
      report->signal_seconds += timer.Seconds();
    }
    return segment;
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    return std::vector<v1::PolicyWeights>(static_cast<size_t>(context_.num_agents()),
                                          policy_.ToPolicyWeights(context_.meta_parameters));
  }

  bool acts_with_means() const override { return !context_.shard->outer_learning(); }

  // A lifetime is one iteration, so nothing ever goes on.
  TensorMap Save() const override { return {}; }
  absl::Status Load(const TensorMap& /*state*/) override {
    return absl::FailedPreconditionError("recurrent policies do not go on from a snapshot");
  }

 private:
  // [S, L]: what the critic said of each step.
  absl::StatusOr<torch::Tensor> Values(const Segment& segment) const {
    const torch::Tensor features = RecurrentFeatures(segment);
    const int64_t agents = features.size(0), steps = features.size(1);
    torch::Tensor values = torch::empty({agents, steps});
    MENTOR_RETURN_IF_ERROR(
        ParallelFor(context_.pool, (agents + kGroup - 1) / kGroup, [&](int64_t group) {
          const int64_t first = group * kGroup, count = std::min(kGroup, agents - first);
          const torch::Tensor own = features.narrow(0, first, count);
          std::vector<torch::Tensor> state = policy_.InitialState(count, torch::kFloat32);
          for (int64_t begin = 0; begin < steps; begin += kPiece) {
            const int64_t length = std::min(kPiece, steps - begin);
            RecurrentOutputs outputs =
                policy_.Forward(context_.meta_parameters, own.narrow(1, begin, length), state);
            values.narrow(0, first, count).narrow(1, begin, length).copy_(outputs.values);
            state = std::move(outputs.final_state);
          }
          return absl::OkStatus();
        }));
    return values;
  }

  const InnerLoopContext context_;
  const RecurrentPolicy policy_;
};

const RegisterInnerLoop kRecurrent({
    .name = "recurrent",
    .summary = "a meta-learned recurrent policy that lives for one iteration and never updates",
    .options = RecurrentPolicyOptions(),
    .make = [](const InnerLoopContext& context,
               Violations* violations) -> std::unique_ptr<InnerLoop> {
      const v1::LifetimeSpec& lifetime = context.shard->spec().lifetime();
      if (lifetime.iterations() != 1) {
        violations->Add(
            "lifetime.iterations",
            absl::StrFormat("is %d; a recurrent policy lives without updates: set it to 1 and "
                            "steps_per_iteration to the steps of the whole lifetime",
                            lifetime.iterations()));
      }
      if (context.shard->deterministic_episodes() > 0) {
        violations->Add("evaluation.deterministic_episodes",
                        "is not 0; what a recurrent policy learned ends with its lifetime, and its "
                        "evaluation is deterministic throughout: set it to 0");
      }
      const RecurrentPolicy policy = ReadRecurrentPolicy(context.options, context.shard->shape());
      const torch::Tensor& weights = context.meta_parameters;
      if (weights.defined() && (weights.dim() != 1 || weights.size(0) != policy.Layout().size())) {
        violations->Add("meta_parameters",
                        absl::StrFormat("are %d numbers; the policy has %d", weights.numel(),
                                        policy.Layout().size()));
      }
      if (!violations->empty()) return nullptr;
      return std::make_unique<Recurrent>(context, policy);
    },
    .sizes = [](const InnerLoopContext& context, int64_t num_meta_parameters) -> LoopSizes {
      const RecurrentPolicy policy = ReadRecurrentPolicy(context.options, context.shard->shape());
      const int64_t widths =
          policy.encoder1 + policy.encoder2 + 6 * policy.lstm + 4 * policy.heads + policy.critic;
      return {.policy = num_meta_parameters,
              .at_once = context.num_agents() * context.steps() * 2 * policy.features(),
              .per_thread = 3 * kGroup * std::min(kPiece, context.steps()) * widths};
    },
});

}  // namespace
}  // namespace mentor::learner
