// Environments in another process (docs/performance.md, `simulator`): the steps of a Gymnasium
// environment as an actor requests them. Its peer in deploy/bench/host runs the same environment in
// a Python loop alone.
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/hosts.h"
#include "envs/environment.h"
#include "envs/host/host_list.h"
#include "tests/bench/bench.h"

namespace mentor::bench {
namespace {

constexpr char kBenchHost[] = "bench";
constexpr int kHostAnswerSeconds = 60;
constexpr int kHostSteps = 1000;  // Counted steps; as many before them warm up.

std::string host_command = "python3 -m mentor_env";
std::vector<std::string> host_ids = {"FetchReach-v4", "Hopper-v5"};

google::protobuf::RepeatedPtrField<v1::Option> OptionsOfId(const std::string& id) {
  google::protobuf::RepeatedPtrField<v1::Option> options;
  for (const auto& [name, value] : {std::pair<std::string, std::string>(kHostOption, kBenchHost),
                                    std::pair<std::string, std::string>("id", id)}) {
    v1::Option* option = options.Add();
    option->set_name(name);
    option->set_value(value);
  }
  return options;
}

// Microseconds of a step with its share of the resets. The wall clock, because two processes take
// part.
absl::StatusOr<double> HostedStepMicroseconds(envs::Environment& environment) {
  const envs::EnvironmentInfo& info = environment.info();
  v1::EnvironmentTask task;
  task.set_environment(info.name);
  MENTOR_RETURN_IF_ERROR(environment.SetTask(task));
  std::vector<double> observation(info.observation_size);
  std::vector<float> action(info.action_size);
  const RandomStream random{.seed = 1, .purpose = Purpose::kTest};
  const RandomStream resets{.seed = 1, .purpose = Purpose::kEnvironmentReset};
  auto begin = std::chrono::steady_clock::now();
  uint32_t episode = 0;
  bool ended = true;
  for (int t = 0; t < 2 * kHostSteps; ++t) {
    if (t == kHostSteps) begin = std::chrono::steady_clock::now();
    if (ended) MENTOR_RETURN_IF_ERROR(environment.Reset(resets, episode++, observation));
    for (int i = 0; i < info.action_size; ++i) {
      action[i] = static_cast<float>(info.action_low +
                                     (info.action_high - info.action_low) * random.Uniform(t, i));
    }
    const absl::StatusOr<envs::StepOutcome> outcome = environment.Step(action, observation);
    MENTOR_RETURN_IF_ERROR(outcome.status());
    ended = outcome->terminated || outcome->truncated;
  }
  const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - begin;
  return spent.count() / kHostSteps;
}

absl::StatusOr<Figures> RunHost(const Settings&) {
  MENTOR_RETURN_IF_ERROR(
      envs::AllowSimulators({absl::StrCat(kBenchHost, "=", host_command)}, kHostAnswerSeconds));
  Figures figures;
  for (const std::string& id : host_ids) {
    const absl::StatusOr<std::unique_ptr<envs::Environment>> made =
        envs::MakeEnvironment(std::string(kHostEnvironment), OptionsOfId(id));
    if (!made.ok()) return absl::UnimplementedError(made.status().message());
    MENTOR_ASSIGN_OR_RETURN(figures["step_us/" + id].value, HostedStepMicroseconds(**made));
    figures["step_us/" + id].unit = "us";
  }
  return figures;
}

const RegisterBench register_host(
    {.name = "host",
     .summary = "Steps of Gymnasium's environments in another process",
     .run = RunHost,
     .add_flags = [](CLI::App* command) {
       command
           ->add_option("--host_command", host_command,
                        "The simulator: what follows NAME= in --simulator")
           ->capture_default_str();
       command->add_option("--ids", host_ids, "What gymnasium.make takes, with commas between them")
           ->delimiter(',')
           ->capture_default_str();
     }});

}  // namespace
}  // namespace mentor::bench
