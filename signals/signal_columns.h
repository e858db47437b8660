// The inputs of signal networks at each step, in words, for programs that compute a signal
// elsewhere (`mentor export`). A network's file registers its columns beside the network.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "signals/signal_network.h"

namespace mentor::learner {

struct SignalColumn {
  // The part of the segment that it is made from, or a name of the network's own.
  std::string name;
  int64_t size = 1;      // Numbers of the first layer's input, in this order.
  std::string how = {};  // The operation on the columns before that layer; empty: none.
};

using SignalColumns =
    std::function<std::vector<SignalColumn>(const SignalContext&, const OptionValues&)>;

// Empty for a network that has registered none.
std::vector<SignalColumn> ColumnsOf(const std::string& network, const SignalContext& context,
                                    const OptionValues& options);

// Observation and action, which most networks see first; and the outcomes of OutcomeFeatures.
std::vector<SignalColumn> StepColumns(const SignalContext& context);
void AddOutcomeColumns(v1::SignalInput input, const std::string& how_success,
                       const std::string& how_shaped, std::vector<SignalColumn>* columns);
// The elapsed share of the episode.
SignalColumn TimeColumn();

struct RegisterSignalColumns {
  RegisterSignalColumns(std::string network, SignalColumns columns);
};

}  // namespace mentor::learner
