// Long work that shares its thread's place with others, or may be told to end, asks for leave at
// its pause points: between two steps of a simulator, or while it waits for a host. Whoever runs
// the work sets a Turn for its thread; without one, work is never held up.
//
//   const TurnScope scope(&turn);
//   ...
//   MENTOR_RETURN_IF_ERROR(PausePoint());  // In the loops of the work.
#pragma once

#include <functional>
#include <string>

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

// Waits for nobody: ends work that is to end, or has taken too long. For the thread that made it.
class BoundedTurn final : public Turn {
 public:
  struct Options {
    // An error is why the work is to end; none: it is not asked.
    std::function<absl::Status()> ends = nullptr;
    double cpu_seconds = 0;   // Of this thread, from now on; 0: no limit.
    std::string remedy = {};  // What helps when that was not enough.
  };
  explicit BoundedTurn(Options options);
  // Of `ends`; INVALID_ARGUMENT when it took too long. Stays as it is once it is an error.
  absl::Status Continue() override;
  void Begin(const char* /*name*/) override {}
  // Whether it has ended as `ends` said.
  bool was_told() const { return was_told_; }

 private:
  const Options options_;
  const double begun_;
  unsigned asked_ = 0;
  absl::Status ended_;
  bool was_told_ = false;
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
