// Start and stop of a process: SIGTERM and SIGINT are blocked before any thread exists and waited
// for in main.
//
//   int main() {
//     ExplainLimits();                          // First of all.
//     BlockStopSignals();
//     ...start...
//     const int signal = WaitForStopSignal();
//     // From here on a second signal exits at once with 128 + n.
//     ...drain...
//   }
#pragma once

#include <chrono>

namespace mentor {

// Who runs into a limit of the machine hears which, and what to do: without memory or threads the
// process says so and exits with 1, where LibTorch, gRPC and the standard library would abort it. A
// file that may not grow any more is an error of the write (EFBIG), not a signal.
void ExplainLimits();
// For the calling thread and all threads that it starts later; also ignores SIGPIPE. Call it before
// any thread exists.
void BlockStopSignals();
// Returns the signal's number. Main thread only.
int WaitForStopSignal();
// The same with a limit; 0 when none came in time.
int WaitForStopSignal(std::chrono::milliseconds limit);
// For a program that has nothing to drain: the first signal exits at once with 128 + n. Call it at
// most once, and none of the above after it.
void ExitOnStopSignal();
// As if SIGTERM had come; from any thread. `why` is a literal, for the log: "drained".
void RequestStop(const char* why);
// The first one's reason; null when nobody in the process asked for its end.
const char* StopReason();

}  // namespace mentor
