// Agents that never learn within their lives. The policy is the row Lifetime.variant of the
// meta-parameters (methods/poet/README.md). In training it is perturbed, with opposite signs for
// lifetimes 2i and 2i + 1 (perturbation.h). Meta-parameters: policies [rows, P], then the standard
// deviation of the perturbations. Evaluations give the rows to their lifetimes in turn.
#include <torch/types.h>

#include <absl/strings/str_format.h>

#include "agents/policy.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/shared/perturbation.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

agents::AgentShape PolicyShape(const InnerLoopContext& context) {
  return agents::WithoutCritic(ShapeWithCritic(context));
}

uint32_t RowOf(const v1::Shard& shard, int64_t agent, int64_t rows) {
  const v1::Lifetime& lifetime = shard.lifetimes(static_cast<int>(agent));
  if (shard.phase() == static_cast<uint32_t>(Phase::kTraining)) return lifetime.variant();
  return lifetime.number() % static_cast<uint32_t>(rows);
}

class Frozen : public InnerLoop {
 public:
  explicit Frozen(const InnerLoopContext& context)
      : InnerLoop(context), shape_(PolicyShape(context_)) {}

  void Begin() override {
    const int64_t size = agents::AgentLayout(shape_).size();
    const Tensor& numbers = context_.meta_parameters;
    const Tensor rows = numbers.narrow(0, 0, numbers.numel() - 1).view({-1, size});
    const double sigma = numbers[numbers.numel() - 1].item<double>();
    const v1::Shard& shard = *context_.shard;
    const std::vector<uint32_t> lifetimes = context_.lifetime_numbers();
    policies_ = torch::empty({context_.num_agents(), size});
    for (int64_t s = 0; s < context_.num_agents(); ++s) {
      Tensor theta = rows[RowOf(shard, s, rows.size(0))];
      if (shard.outer_learning())
        theta = Perturbed(theta, sigma, spec().seed(), lifetimes[static_cast<size_t>(s)]);
      policies_[s].copy_(theta);
    }
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t /*iteration*/, const Collect& collect,
                                          LoopReport* /*report*/) override {
    return collect(Policies());
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    return agents::ToPolicyWeights(shape_, policies_);
  }

  bool acts_with_means() const override { return true; }

  // A lifetime is one iteration, so there is nothing to resume.
  void State(StateFields* fields) override {
    fields->AddPart(
        [](TensorMap*) {},
        [](const TensorMap&) {
          return absl::FailedPreconditionError("frozen policies do not go on from a snapshot");
        });
  }

 private:
  const agents::AgentShape shape_;
  Tensor policies_;  // [S, P]
};

void Check(const InnerLoopContext& context, Violations* violations) {
  const v1::ExperimentSpec& spec = context.shard->spec();
  if (spec.lifetime().iterations() != 1) {
    violations->Add("lifetime.iterations",
                    absl::StrFormat("is %d; agents do not learn within their lives: set it to 1",
                                    spec.lifetime().iterations()));
  }
  if (context.steps() < context.shard->shape().episode_steps()) {
    violations->Add("lifetime.steps_per_iteration",
                    absl::StrFormat("is %d, and an episode has up to %d steps, so none might end; "
                                    "give at least that",
                                    context.steps(), context.shard->shape().episode_steps()));
  }
  if (spec.agent().normalize_observations()) {
    violations->Add("agent.normalize_observations",
                    "is true; agents that pass from task to task must see raw observations: give "
                    "false");
  }
  const Tensor& numbers = context.meta_parameters;
  if (!numbers.defined()) return;
  const int64_t size = agents::AgentLayout(PolicyShape(context)).size();
  const int64_t rows = (numbers.numel() - 1) / size;
  if (numbers.dim() != 1 || rows < 1 || rows * size + 1 != numbers.numel()) {
    violations->Add("shard.signal_version",
                    absl::StrFormat("has %d meta-parameters, not one number and rows of %d",
                                    numbers.numel(), size));
    return;
  }
  for (int64_t s = 0; s < context.num_agents(); ++s) {
    if (RowOf(*context.shard, s, rows) < rows) continue;
    violations->Add("shard.lifetimes.variant",
                    absl::StrFormat("is %d; the meta-parameters have %d rows",
                                    RowOf(*context.shard, s, rows), rows));
    return;
  }
}

const RegisterInnerLoop kFrozen({
    .name = "frozen",
    .summary = "Policies that do not learn, each a row of the meta-parameters",
    .options = {},
    .check = Check,
    .make = MadeLoop<Frozen>,
    .sizes = [](const InnerLoopContext& context, int64_t num_meta_parameters) -> LoopSizes {
      const int64_t size = agents::AgentLayout(PolicyShape(context)).size();
      return {.state = 4 * size, .policy = size, .at_once = num_meta_parameters};
    },
});

}  // namespace
}  // namespace mentor::methods
