// Pause points of long work that shares its thread's place with others, or may be told to end. Work
// calls PausePoint between two steps of a simulation, or while it waits for a simulator. The caller
// of the work sets a Turn for its thread; without a Turn, work is never held up.
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
  // Called thousands of times a second. Waits while others have their turn. An error means that the
  // work must end, and why.
  virtual absl::Status Continue() = 0;
  // Marks the beginning of a piece of work that has a time limit. `name` appears in the error and
  // must outlive the piece.
  virtual void Begin(const char* name) = 0;
};

// Never waits: ends work that was told to end, or that takes too long. Must be used on the thread
// that created it.
class BoundedTurn final : public Turn {
 public:
  struct Options {
    // Returns an error if the work must end; null: not called.
    std::function<absl::Status()> ends = nullptr;
    double cpu_seconds = 0;   // CPU time limit of this thread from construction on; 0: no limit.
    std::string remedy = {};  // Advice for exceeding the limit.
  };
  explicit BoundedTurn(Options options);
  // Returns the error of `ends`, or INVALID_ARGUMENT after too long a time. The first error is
  // permanent.
  absl::Status Continue() override;
  void Begin(const char* /*name*/) override {}
  // True if `ends` returned an error.
  bool was_told() const { return was_told_; }

 private:
  const Options options_;
  const double begun_;
  unsigned asked_ = 0;
  absl::Status ended_;
  bool was_told_ = false;
};

// While an instance exists, pause points of this thread call `turn`.
class TurnScope {
 public:
  explicit TurnScope(Turn* turn);
  ~TurnScope();
  TurnScope(const TurnScope&) = delete;

 private:
  Turn* const before_;
};

// The owner of the work that a thread does, for places that owners share (bundle models). A call of
// the control API and an experiment set it for their thread; without it the owner is "".
struct Asker {
  std::string owner = {};
  // CPU time of a program that the work waits for; 0: the program's own limit.
  int program_cpu_seconds = 0;
};

// While an instance exists, `asker` is this thread's.
class AskerScope {
 public:
  explicit AskerScope(Asker asker);
  ~AskerScope();
  AskerScope(const AskerScope&) = delete;

 private:
  const Asker asker_;
  const Asker* const before_;
};
const Asker& CurrentAsker();

// Returns OK if the thread has no turn.
absl::Status PausePoint();
// Marks the beginning of a reset or a step.
void BeginPiece(const char* name);

}  // namespace mentor
