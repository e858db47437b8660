// The declared input of every registered signal network, as far as its first layer can show it.
#include <algorithm>

#include "signals/signal_network.h"
#include "tests/torch_testing.h"

namespace mentor::signals::TEST_FILE {

// Columns of the first layer's input; 0 where the network begins with none.
int64_t InputsOf(const SignalNetwork& network) {
  const std::vector<int64_t>& shape = network.layout().slices()[0].shape;
  return shape.size() < 2 ? 0 : shape[1];
}

TEST_CASE("signal columns: every network names all its inputs", "[conformance]") {
  for (const SignalEntry* entry : SignalNetworks()) {
    // The network with its defaults, and with each of its flags inverted.
    std::vector<std::pair<std::string, std::string>> turns = {{"", ""}};
    for (const OptionInfo& option : entry->options) {
      if (option.kind == OptionInfo::Kind::kFlag)
        turns.push_back({option.name, option.default_value == "true" ? "false" : "true"});
    }
    int made = 0;
    for (const auto& [flag, value] : turns) {
      for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE, v1::LOSS}) {
        for (const v1::SignalInput input : {v1::SUCCESS, v1::SHAPED, v1::SUCCESS_AND_SHAPED}) {
          for (const bool discrete : {false, true}) {
            const SignalContext context = {.observation_size = 5,
                                           .action_size = 3,
                                           .role = role,
                                           .input = input,
                                           .episode_steps = 10,
                                           .steps_per_iteration = 20,
                                           .discrete_actions = discrete};
            v1::SignalSpec spec;
            spec.set_name(entry->name);
            if (!flag.empty()) {
              spec.add_option()->set_name(flag);
              spec.mutable_option(0)->set_value(value);
            }
            Violations violations;
            const auto network = MakeSignalNetwork(spec, context, &violations);
            if (network == nullptr) continue;
            ++made;
            INFO(entry->name << ", " << flag << " " << value << ", "
                             << v1::SignalInput_Name(input));
            const OptionValues options =
                OptionValues::Parse(entry->options, spec.option(), "", &violations);
            int64_t sum = 0;
            REQUIRE(entry->columns != nullptr);
            for (const SignalColumn& column : entry->columns(context, options)) {
              CHECK_FALSE(column.name.empty());
              CHECK(column.size > 0);
              sum += column.size;
            }
            CHECK(sum > 0);
            if (const int64_t inputs = InputsOf(*network); inputs > 0) CHECK(sum == inputs);
          }
        }
      }
    }
    CHECK(made > 0);
  }
}

TEST_CASE("signal columns: attention says by what it divides rewards, where it does",
          "[conformance]") {
  const auto& entries = SignalNetworks();
  const auto entry = std::find_if(entries.begin(), entries.end(),
                                  [](const SignalEntry* one) { return one->name == "attention"; });
  REQUIRE(entry != entries.end());
  for (const bool scales : {true, false}) {
    v1::SignalSpec spec;
    spec.add_option()->set_name("scale_reward");
    spec.mutable_option(0)->set_value(scales ? "true" : "false");
    Violations violations;
    const OptionValues options =
        OptionValues::Parse((*entry)->options, spec.option(), "", &violations);
    REQUIRE(violations.empty());
    const SignalContext context = {
        .observation_size = 5, .action_size = 3, .input = v1::SHAPED, .episode_steps = 10};
    int rewards = 0;
    for (const SignalColumn& column : (*entry)->columns(context, options)) {
      if (column.name != "shaped_rewards") continue;
      ++rewards;
      CHECK(column.how.starts_with("divided by the standard deviation") == scales);
    }
    CHECK(rewards == 1);
  }
}

}  // namespace mentor::signals::TEST_FILE
