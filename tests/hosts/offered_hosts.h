// Hosts in tests: the programs of tests/hosts/ as hosts of this process.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "envs/environment.h"
#include "envs/host/host_facts.h"
#include "envs/host/host_list.h"
#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::testing {

// This process offers them and no others; none when it ends.
class OfferedHosts {
 public:
  explicit OfferedHosts(std::vector<envs::SimulatorCommand> hosts) {
    REQUIRE(envs::AllowSimulators(std::move(hosts)).ok());
  }
  ~OfferedHosts() { envs::AllowSimulators(std::vector<envs::SimulatorCommand>()).IgnoreError(); }
  OfferedHosts(const OfferedHosts&) = delete;
  OfferedHosts& operator=(const OfferedHosts&) = delete;
};

// "hostile": does `fault` at `question` (tests/hosts/hostile_host.cc).
inline envs::SimulatorCommand HostileHost(
    const std::string& fault, const std::string& question,
    std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  return {.name = "hostile",
          .command = {BuildPath("tests/hostile_host"), fault, question},
          .start = question == "open" ? limit : std::chrono::seconds(60),
          .answer = limit};
}

// "block": docs/examples/host.cc.
inline envs::SimulatorCommand ExampleHost() {
  return {.name = "block", .command = {BuildPath("tests/example_host")}};
}

inline v1::EnvironmentTask HostTask(
    const std::string& host, const std::vector<double>& parameters = {},
    const std::vector<std::pair<std::string, std::string>>& options = {}) {
  v1::EnvironmentTask task;
  task.set_environment("host");
  v1::Option* option = task.add_options();
  option->set_name("host");
  option->set_value(host);
  for (const auto& [name, value] : options) {
    option = task.add_options();
    option->set_name(name);
    option->set_value(value);
  }
  task.mutable_parameters()->Add(parameters.begin(), parameters.end());
  return task;
}

// The facts that the hostile simulator states until it misbehaves.
inline v1::EnvironmentFacts HostileFacts() {
  v1::EnvironmentFacts facts;
  facts.set_name("counter");
  facts.set_observation_size(2);
  facts.set_action_size(2);
  facts.set_episode_steps(20);
  facts.set_action_low(-1);
  facts.set_action_high(1);
  facts.set_saves_state(true);
  facts.set_has_success(true);
  return facts;
}

// A task of the hostile host that states the facts, so that making it starts no process.
inline v1::EnvironmentTask HostileTask(const v1::EnvironmentFacts& facts = HostileFacts()) {
  return HostTask("hostile", {}, {{"facts", envs::FactsText(facts)}});
}

}  // namespace mentor::testing
