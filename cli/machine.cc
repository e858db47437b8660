#include "cli/machine.h"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/machine_memory.h"
#include "kernels/device_monitor.h"
#include "meta_learner/fleet/shard_verdict.h"
#include "shards/learner_fingerprint.h"
#include "shards/shard_memory.h"

namespace mentor {
namespace {

uint64_t LearnerBytes(const meta_learner::SpecMemory& memory, int threads) {
  return shards::kLearnerProcessBytes + memory.largest.With(static_cast<uint32_t>(threads));
}

// Memory of a device that the learner and the meta-learner share.
uint64_t DeviceBytes(const meta_learner::SpecMemory& memory) {
  return memory.largest.device_bytes + memory.meta_learner_device_bytes;
}

// Memory of learner and meta-learner in one process, which needs their common part only once.
uint64_t NeededHere(const meta_learner::SpecMemory& memory, const kernels::Device& device,
                    int threads) {
  return memory.meta_learner_bytes + memory.largest.With(static_cast<uint32_t>(threads)) +
         (device.kind == kernels::DeviceKind::kEmulated ? DeviceBytes(memory) : 0);
}

absl::Status CheckDeviceMemory(const meta_learner::SpecMemory& memory,
                               const kernels::Device& device) {
  const uint64_t most = device.monitor->memory_bytes();
  if (device.kind == kernels::DeviceKind::kCpu || most == 0 || DeviceBytes(memory) <= most)
    return absl::OkStatus();
  using meta_learner::Gigabytes;
  return absl::ResourceExhaustedError(absl::StrCat(
      "--device ", device.name, ": the run needs ", Gigabytes(DeviceBytes(memory)),
      " of its memory (a shard ", Gigabytes(memory.largest.device_bytes), ", the outer update ",
      Gigabytes(memory.meta_learner_device_bytes), "), and may take ", Gigabytes(most),
      ": make rule.shard_lifetimes, rule.lifetimes_per_update or agent.hidden_units smaller, raise "
      "--device_memory_gb, or take another device"));
}

}  // namespace

void AddMachineFlags(CLI::App* command, MachineFlags* flags) {
  command->add_option("--actors", flags->actors, "Number of actors")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      ->add_option("--threads", flags->threads,
                   "Threads of each actor, and of learner and meta-learner")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  kernels::AddDeviceFlags(command, &flags->device);
}

std::string MemorySentence(const meta_learner::SpecMemory& memory, int threads) {
  using meta_learner::Gigabytes;
  return absl::StrCat("memory: a learner needs at most ", Gigabytes(LearnerBytes(memory, threads)),
                      " for a shard, the meta-learner ", Gigabytes(memory.meta_learner_bytes),
                      "; on a GPU, ", Gigabytes(memory.largest.device_bytes), " and ",
                      Gigabytes(memory.meta_learner_device_bytes), " of its memory");
}

absl::StatusOr<kernels::Device> OpenProved(const MachineFlags& flags,
                                           const meta_learner::SpecMemory* memory) {
  MENTOR_ASSIGN_OR_RETURN(kernels::Device device, kernels::OpenDevice(flags.device));
  if (memory != nullptr) MENTOR_RETURN_IF_ERROR(CheckDeviceMemory(*memory, device));
  MENTOR_RETURN_IF_ERROR(shards::ProveDevice(&device));
  const uint64_t machine = MachineMemoryBytes();
  if (memory == nullptr || machine == 0 || NeededHere(*memory, device, flags.threads) <= machine)
    return device;
  std::fprintf(stderr,
               "warning: %s, and this machine has %s free: if the kernel ends the run, make "
               "rule.shard_lifetimes or agent.hidden_units smaller\n",
               MemorySentence(*memory, flags.threads).c_str(),
               meta_learner::Gigabytes(machine).c_str());
  return device;
}

}  // namespace mentor
