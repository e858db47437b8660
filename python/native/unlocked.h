// Releases Python's lock for a scope, also where a daemon thread outlives the interpreter. Such a
// thread cannot have the lock again. CPython up to 3.13 would unwind it, which aborts in C++.
#pragma once

#include <Python.h>

namespace mentor::python {

class Unlocked {
 public:
  Unlocked() : thread_(PyEval_SaveThread()) {}
  // Parks a thread for ever once the interpreter is about to end.
  ~Unlocked();
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  PyThreadState* const thread_;
};

// From here on threads other than the caller's park. Waits for those that are about to have the
// lock. Called with the lock, when the interpreter is about to end.
void ParkOtherThreads();

}  // namespace mentor::python
