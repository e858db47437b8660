// An experiment on an emulated device ends with the CPU's hash: inner PPO, signals and outer PPO.
#include "agents/numerics.h"
#include "cli/local/run_hash.h"
#include "kernels/device_monitor.h"
#include "kernels/flags/device_flags.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

const absl::Status fixed = agents::FixNumerics();

std::string HashOn(const v1::ExperimentSpec& spec, const kernels::Device& device) {
  const testing::TempFolder folder;
  const auto code = RunLocally({.checked = testing::CheckedSpecOf(spec),
                                .out = folder.path(),
                                .device = device,
                                .quiet = true,
                                .report = false});
  REQUIRE(code.ok());
  REQUIRE(*code == 0);
  const auto hash = HashRun(folder.path());
  REQUIRE(hash.ok());
  return hash->state_hash;
}

TEST_CASE("device: the flag of its memory bounds it, and without it there is no bound",
          "[loopback]") {
  const auto bound = [](std::optional<double> memory_gb) {
    const auto device = kernels::OpenDevice({.device = "emulated", .memory_gb = memory_gb});
    REQUIRE(device.ok());
    return device->monitor->memory_bytes();
  };
  CHECK(bound(0.5) == 500'000'000);
  CHECK(bound({}) == 0);
}

TEST_CASE("device: an emulated experiment has the hash of the CPU", "[loopback]") {
  REQUIRE(fixed.ok());
  const kernels::Device emulated{.kind = kernels::DeviceKind::kEmulated, .name = "emulated"};
  const std::string text = testing::TinySpec(R"(
    benchmark { name: "point_reach" }
    lifetime { iterations: 3 steps_per_iteration: 100 }
    rule { outer_updates: 2 lifetimes_per_update: 4 shard_lifetimes: 2
           option { name: "k" value: "30" } option { name: "epochs" value: "2" } }
    evaluation { goals: 2 lifetimes_per_goal: 1 deterministic_episodes: 1 }
  )");
  for (const char* role : {"signal.role=REWARD", "signal.role=ADVANTAGE"}) {
    for (const char* agents : {"agent.target_kl=0.001", "agent.normalize_observations=true"}) {
      INFO(role << " " << agents);
      const v1::ExperimentSpec spec = testing::Checked(text, {role, agents});
      CHECK(HashOn(spec, emulated) == HashOn(spec, {}));
    }
  }
}

}  // namespace mentor::TEST_FILE
