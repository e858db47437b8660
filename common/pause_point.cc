#include "common/pause_point.h"

#include <utility>

namespace mentor {
namespace {

thread_local Turn* turn_of_thread = nullptr;

}  // namespace

TurnScope::TurnScope(Turn* turn) : before_(std::exchange(turn_of_thread, turn)) {}

TurnScope::~TurnScope() {
  turn_of_thread = before_;
}

absl::Status PausePoint() {
  return turn_of_thread == nullptr ? absl::OkStatus() : turn_of_thread->Continue();
}

void BeginPiece(const char* name) {
  if (turn_of_thread != nullptr) turn_of_thread->Begin(name);
}

}  // namespace mentor
