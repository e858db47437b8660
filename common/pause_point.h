// Long work that shares its thread's place with others, or may be told to end, asks for leave at
// its pause points: between two steps of a simulator, or while it waits for a host. Whoever runs
// the work sets a Turn for its thread; without one, work is never held up.
//
//   const TurnScope scope(&turn);
//   ...
//   MENTOR_RETURN_IF_ERROR(PausePoint());  // In the loops of the work.
#pragma once

#include <absl/status/status.h>

namespace mentor {

class Turn {
 public:
  virtual ~Turn() = default;
  // Called thousands of times a second. Waits while others have their turn; an error is why the
  // work is to end.
  virtual absl::Status Continue() = 0;
  // A piece of work begins that has a limit of time: `name` is for the error, and lives long.
  virtual void Begin(const char* name) = 0;
};

// While it lives, pause points of this thread ask `turn`.
class TurnScope {
 public:
  explicit TurnScope(Turn* turn);
  ~TurnScope();
  TurnScope(const TurnScope&) = delete;
  TurnScope& operator=(const TurnScope&) = delete;

 private:
  Turn* const before_;
};

// OK where the thread has no turn set.
absl::Status PausePoint();
// A reset or a step begins.
void BeginPiece(const char* name);

}  // namespace mentor
