#include "signals/signal_network.h"

#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::signals {

std::vector<torch::Tensor> OutcomeFeatures(const agents::Segment& segment, v1::SignalInput input) {
  std::vector<torch::Tensor> outcomes;
  if (input != v1::SHAPED) outcomes.push_back(3 * segment.success_signals);
  if (input != v1::SUCCESS)
    outcomes.push_back(segment.shaped_rewards.to(segment.observations.scalar_type()));
  return outcomes;
}

torch::Tensor TaskReward(const agents::Segment& segment, v1::SignalInput input) {
  switch (input) {
    case v1::SHAPED:
      return segment.shaped_rewards;
    case v1::SUCCESS_AND_SHAPED:
      return segment.shaped_rewards + segment.success_signals;  // float64
    default:
      return segment.success_signals;
  }
}

SignalState SomeLifetimes(const SignalState& state, int64_t first, int64_t count) {
  SignalState some;
  for (const torch::Tensor& x : state.recurrent)
    some.recurrent.push_back(x.narrow(0, first, count));
  if (state.previous.defined()) some.previous = state.previous.narrow(0, first, count);
  return some;
}

SignalState SignalSource::InitialState(int64_t num_lifetimes, torch::Dtype dtype) const {
  return {{}, torch::zeros({num_lifetimes}, dtype)};
}

SignalOutputs SignalGradient::Run(const torch::Tensor& weights, const agents::Segment& segment,
                                  const torch::Tensor& noise, SignalState* state) const {
  MENTOR_CHECK(!noise.defined());
  const torch::NoGradGuard no_grad;
  return {.signals = Signals(weights, segment, state), .log_probs = {}, .values = {}};
}

PieceGradient SignalDensity::GradientAt(const torch::Tensor& weights) const {
  return GradientByAutograd(
      weights,
      [this](const torch::Tensor& at, const torch::Tensor& features, const torch::Tensor& signals,
             const std::vector<torch::Tensor>& recurrent) -> PieceEvaluation {
        SignalEvaluation evaluation = Evaluate(at, features, signals, recurrent);
        return {
            .log_probs = evaluation.log_probs,
            .entropies = evaluation.log_stds.to(torch::kFloat64) + kernels::kEntropyOfUnitNormal,
            .values = evaluation.values,
            .final_recurrent = std::move(evaluation.final_recurrent)};
      });
}

absl::StatusOr<std::unique_ptr<PieceTrainer>> SignalDensity::NewTrainer(
    const PieceTrainerSetup&, const PieceTrainerBatch&, const torch::Tensor&, const torch::Tensor&,
    const torch::Tensor&) const {
  return nullptr;
}

int64_t SignalNetwork::NumbersPerStep(bool graph) const {
  int64_t widths = 0;
  for (const agents::ParamSlice& slice : layout().slices()) {
    if (slice.shape.size() == 1) widths += slice.size;  // A layer's biases.
  }
  // Sums, their activations, and with a graph their gradients.
  return (graph ? 4 : 2) * widths;
}

const std::vector<const SignalEntry*>& SignalNetworks() {
  static const auto all = Registry<SignalEntry>::Instance().All();
  return all;
}

std::unique_ptr<SignalNetwork> MakeSignalNetwork(const v1::SignalSpec& spec,
                                                 const SignalContext& context,
                                                 Violations* violations) {
  const auto& registry = Registry<SignalEntry>::Instance();
  const SignalEntry* entry = registry.Find(spec.name());
  if (entry == nullptr) {
    violations->Add("signal.name", registry.Unknown("signal network", spec.name()));
    return nullptr;
  }
  Violations own;
  const OptionValues options =
      OptionValues::Parse(entry->options, spec.option(), "signal.option", &own);
  if (own.empty() && entry->check) entry->check(context, options, &own);
  if (own.empty()) {
    auto network = entry->make(context, options);
    const bool is_loss = network->loss() != nullptr;
    if (is_loss == (context.role == v1::LOSS)) return network;
    own.Add("signal.role",
            is_loss ? absl::StrFormat("is %s, but network '%s' is a learned loss: set LOSS",
                                      v1::SignalRole_Name(context.role), spec.name())
                    : absl::StrFormat("is LOSS, but network '%s' gives signals: set REWARD or "
                                      "ADVANTAGE, or take a network whose output is a loss",
                                      spec.name()));
  }
  for (const Violation& violation : own.list())
    violations->Add(violation.field, violation.description);
  return nullptr;
}

}  // namespace mentor::signals
