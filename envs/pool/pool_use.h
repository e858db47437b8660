// Marks a pool of environments as in use for the length of a call: for environment_pool.cc alone.
#pragma once

#include <atomic>
#include <utility>

#include <absl/status/statusor.h>
#include <unistd.h>

namespace mentor::envs {

class PoolUse {
 public:
  // FAILED_PRECONDITION in another process than `process`, and while another call is in progress.
  static absl::StatusOr<PoolUse> Begin(pid_t process, std::atomic<bool>* in_use) {
    if (getpid() != process) {
      return absl::FailedPreconditionError(
          "these environments were made before this process was forked, and their threads stayed "
          "behind; make them in the new process, or start it by 'spawn'");
    }
    if (in_use->exchange(true)) {
      return absl::FailedPreconditionError(
          "another thread is using these environments; give each thread environments of its own");
    }
    return PoolUse(in_use);
  }
  PoolUse(PoolUse&& other) noexcept : in_use_(std::exchange(other.in_use_, nullptr)) {}
  ~PoolUse() {
    if (in_use_ != nullptr) *in_use_ = false;
  }

 private:
  explicit PoolUse(std::atomic<bool>* in_use) : in_use_(in_use) {}
  std::atomic<bool>* in_use_;
};

}  // namespace mentor::envs
