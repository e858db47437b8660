// CPU time of threads, for reports and benchmarks; never part of a result.
#pragma once

#include <ctime>

namespace mentor {

// Returns the CPU time of the calling thread so far, in seconds.
inline double ThreadCpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace mentor
