// The owner of the work that a thread does, for places that owners share (bundle models). A call of
// the control API and an experiment set it for their thread; without it the owner is "".
#pragma once

#include <string>

namespace mentor {

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
  AskerScope& operator=(const AskerScope&) = delete;

 private:
  const Asker asker_;
  const Asker* const before_;
};

// The asker of this thread.
const Asker& CurrentAsker();

}  // namespace mentor
