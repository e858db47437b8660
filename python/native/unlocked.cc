#include "python/native/unlocked.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <pthread.h>
#include <unistd.h>

namespace mentor::python {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);

// Never destroyed: threads may use it until the process ends.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  int asking = 0;             // Threads that ask for the lock.
  bool closed = false;        // For all threads but
  std::thread::id last = {};  // this one.
};

// A forked process has the calling thread alone, so nobody asks there.
Gate* the_gate = new Gate;
const int forked = pthread_atfork(nullptr, nullptr, [] { the_gate = new Gate; });

}  // namespace

Unlocked::~Unlocked() {
  Gate& gate = *the_gate;
  {
    std::unique_lock lock(gate.mutex);
    if (gate.closed && gate.last != std::this_thread::get_id()) {
      lock.unlock();
      for (;;) pause();
    }
    ++gate.asking;
  }
  PyEval_RestoreThread(thread_);
  const std::lock_guard lock(gate.mutex);
  --gate.asking;
  if (gate.closed) gate.changed.notify_all();
}

void ParkOtherThreads() {
  Gate& gate = *the_gate;
  PyThreadState* const thread = PyEval_SaveThread();
  {
    std::unique_lock lock(gate.mutex);
    gate.closed = true;
    gate.last = std::this_thread::get_id();
    gate.changed.wait_for(lock, kPatience, [&] { return gate.asking == 0; });
  }
  PyEval_RestoreThread(thread);
}

}  // namespace mentor::python
