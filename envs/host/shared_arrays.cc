#include "envs/host/shared_arrays.h"

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace mentor::envs {
namespace {

constexpr size_t kNumFlags = 3;

// A NaN that no arithmetic gives: what has it was not written.
const double kNoNumber = std::bit_cast<double>(uint64_t{0x7ff8'4d45'4e54'4f52});

absl::Status NotFinite(const std::string& what, double number) {
  if (std::bit_cast<uint64_t>(number) == std::bit_cast<uint64_t>(kNoNumber))
    return absl::InvalidArgumentError(what + " was not written");
  return absl::OutOfRangeError(absl::StrCat(what, " is ", number, ", which is not finite"));
}

uint64_t RoundUp(uint64_t bytes) {
  return (bytes + 7) / 8 * 8;
}

absl::Status NoMemory(const char* what) {
  return absl::ResourceExhaustedError(
      absl::StrCat("no memory to share with a simulator: ", what, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedArrays>> SharedArrays::Make(
    const v1::EnvironmentFacts& facts) {
  std::unique_ptr<SharedArrays> arrays(new SharedArrays);
  v1::AttachMemory& layout = arrays->layout_;
  arrays->observation_bytes_ = sizeof(double) * uint64_t{facts.observation_size()};
  layout.set_action(0);
  layout.set_observation(RoundUp(sizeof(float) * uint64_t{facts.action_size()}));
  layout.set_reward(layout.observation() + arrays->observation_bytes_);
  layout.set_flags(layout.reward() + sizeof(double));
  layout.set_bytes(RoundUp(layout.flags() + kNumFlags));

  arrays->descriptor_ = memfd_create("mentor-host", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (arrays->descriptor_ < 0) return NoMemory("memfd_create");
  if (ftruncate(arrays->descriptor_, static_cast<off_t>(layout.bytes())) != 0)
    return NoMemory("ftruncate");
  if (fcntl(arrays->descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return NoMemory("F_ADD_SEALS");
  void* memory =
      mmap(nullptr, layout.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, arrays->descriptor_, 0);
  if (memory == MAP_FAILED) return NoMemory("mmap");
  arrays->memory_ = static_cast<char*>(memory);
  return arrays;
}

SharedArrays::~SharedArrays() {
  if (memory_ != nullptr) munmap(memory_, layout_.bytes());
  if (descriptor_ >= 0) close(descriptor_);
}

void SharedArrays::Spoil() {
  for (uint64_t at = layout_.observation(); at <= layout_.reward(); at += sizeof(double))
    std::memcpy(At(at), &kNoNumber, sizeof(double));
  std::memset(At(layout_.flags()), 0xff, kNumFlags);
}

void SharedArrays::SetAction(std::span<const float> action) {
  std::memcpy(At(layout_.action()), action.data(), action.size_bytes());
}

absl::Status SharedArrays::ReadObservation(std::span<double> observation) const {
  std::memcpy(observation.data(), At(layout_.observation()), observation_bytes_);
  for (size_t i = 0; i < observation.size(); ++i) {
    if (!std::isfinite(observation[i]))
      return NotFinite(absl::StrCat("observation[", i, "]"), observation[i]);
  }
  return absl::OkStatus();
}

absl::StatusOr<SharedArrays::Outcome> SharedArrays::ReadOutcome() const {
  Outcome outcome;
  uint8_t flags[kNumFlags];
  std::memcpy(&outcome.reward, At(layout_.reward()), sizeof(double));
  std::memcpy(flags, At(layout_.flags()), kNumFlags);
  if (!std::isfinite(outcome.reward)) return NotFinite("the reward", outcome.reward);
  const char* names[kNumFlags] = {"success", "terminated", "truncated"};
  bool* values[kNumFlags] = {&outcome.success, &outcome.terminated, &outcome.truncated};
  for (size_t i = 0; i < kNumFlags; ++i) {
    if (flags[i] > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("the flag '", names[i], "' is ", flags[i], "; 0 or 1 are allowed"));
    }
    *values[i] = flags[i] == 1;
  }
  return outcome;
}

}  // namespace mentor::envs
