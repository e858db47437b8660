// Times for reports and benchmarks; never part of a result.
#pragma once

#include <chrono>
#include <ctime>

namespace mentor {

// Returns the CPU time of the calling thread so far, in seconds.
inline double ThreadCpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

inline double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace mentor
