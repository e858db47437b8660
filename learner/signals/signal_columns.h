// What signal networks read at each step, in words: for those who compute a signal elsewhere
// (`mentor export`). A network's file registers its columns beside the network.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "learner/signals/signal_network.h"

namespace mentor::learner {

struct SignalColumn {
  std::string name;      // The segment's part that it is made from, or the network's own.
  int64_t size = 1;      // How many numbers of the first layer's input, in this order.
  std::string how = {};  // What becomes of them before that layer; empty: nothing.
};

using SignalColumns =
    std::function<std::vector<SignalColumn>(const SignalContext&, const OptionValues&)>;

// Empty of a network that has registered none.
std::vector<SignalColumn> ColumnsOf(const std::string& network, const SignalContext& context,
                                    const OptionValues& options);

// Observation and action, with which most begin; and the outcomes of OutcomeFeatures.
std::vector<SignalColumn> StepColumns(const SignalContext& context);
void AddOutcomeColumns(v1::SignalInput input, const std::string& how_success,
                       const std::string& how_shaped, std::vector<SignalColumn>* columns);
// How much of the episode has passed.
SignalColumn TimeColumn();

struct RegisterSignalColumns {
  RegisterSignalColumns(std::string network, SignalColumns columns);
};

}  // namespace mentor::learner
