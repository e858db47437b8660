#include "common/pause_point.h"

#include <utility>

#include <absl/strings/str_format.h>

#include "common/cpu_time.h"

namespace mentor {
namespace {

thread_local Turn* turn_of_thread = nullptr;
thread_local const Asker* asker_of_thread = nullptr;

}  // namespace

BoundedTurn::BoundedTurn(Options options)
    : options_(std::move(options)), begun_(ThreadCpuSeconds()) {}

absl::Status BoundedTurn::Continue() {
  constexpr unsigned kLookEvery = 64;  // Reading the clock is a system call.
  if (!ended_.ok()) return ended_;
  if (options_.ends) {
    ended_ = options_.ends();
    was_told_ = !ended_.ok();
  }
  if (ended_.ok() && options_.cpu_seconds > 0 && asked_++ % kLookEvery == 0 &&
      ThreadCpuSeconds() - begun_ > options_.cpu_seconds) {
    ended_ = absl::InvalidArgumentError(absl::StrFormat(
        "takes more than %g s of processor time; %s", options_.cpu_seconds, options_.remedy));
  }
  return ended_;
}

TurnScope::TurnScope(Turn* turn) : before_(std::exchange(turn_of_thread, turn)) {}

TurnScope::~TurnScope() {
  turn_of_thread = before_;
}

AskerScope::AskerScope(Asker asker)
    : asker_(std::move(asker)), before_(std::exchange(asker_of_thread, &asker_)) {}

AskerScope::~AskerScope() {
  asker_of_thread = before_;
}

const Asker& CurrentAsker() {
  static const Asker& nobody = *new Asker;  // Threads may ask while the process ends.
  return asker_of_thread == nullptr ? nobody : *asker_of_thread;
}

absl::Status PausePoint() {
  return turn_of_thread == nullptr ? absl::OkStatus() : turn_of_thread->Continue();
}

void BeginPiece(const char* name) {
  if (turn_of_thread != nullptr) turn_of_thread->Begin(name);
}

}  // namespace mentor
