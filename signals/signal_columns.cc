#include "signals/signal_columns.h"

#include <utility>

#include "common/registry.h"

namespace mentor::learner {
namespace {

struct ColumnsEntry {
  std::string name;
  SignalColumns columns;
};

}  // namespace

std::vector<SignalColumn> ColumnsOf(const std::string& network, const SignalContext& context,
                                    const OptionValues& options) {
  const ColumnsEntry* entry = Registry<ColumnsEntry>::Instance().Find(network);
  return entry == nullptr ? std::vector<SignalColumn>() : entry->columns(context, options);
}

std::vector<SignalColumn> StepColumns(const SignalContext& context) {
  return {{.name = "observations", .size = context.observation_size},
          {.name = "actions",
           .size = context.action_size,
           .how = context.discrete_actions ? "one-hot" : "as drawn, before clipping"}};
}

void AddOutcomeColumns(v1::SignalInput input, const std::string& how_success,
                       const std::string& how_shaped, std::vector<SignalColumn>* columns) {
  if (input != v1::SHAPED) columns->push_back({.name = "success_signals", .how = how_success});
  if (input != v1::SUCCESS) columns->push_back({.name = "shaped_rewards", .how = how_shaped});
}

SignalColumn TimeColumn() {
  return {.name = "time", .how = "steps of the episode so far, divided by episode_steps"};
}

RegisterSignalColumns::RegisterSignalColumns(std::string network, SignalColumns columns) {
  Registry<ColumnsEntry>::Instance().Add({std::move(network), std::move(columns)});
}

}  // namespace mentor::learner
