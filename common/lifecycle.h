// Start and stop of a process. SIGTERM and SIGINT are blocked before any thread exists; main waits
// for them.
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

// Explains failures caused by limits of the machine. Without memory or threads the process prints a
// remedy and exits with 1, where LibTorch, gRPC and the standard library would abort. A file that
// may not grow any more is an error of the write (EFBIG), not a signal.
void ExplainLimits();
// Blocks the signals for the calling thread and all threads that it starts later; also ignores
// SIGPIPE. Call it before any thread exists.
void BlockStopSignals();
// Returns the signal's number. Main thread only.
int WaitForStopSignal();
// The same with a limit; returns 0 if no signal came in time.
int WaitForStopSignal(std::chrono::milliseconds limit);
// For programs without a drain: the first signal exits at once with 128 + n. Call it at most once,
// and none of the functions above after it.
void ExitOnStopSignal();
// Acts as if SIGTERM had come; from any thread. `why` is a literal for the log: "drained".
void RequestStop(const char* why);
// Returns the `why` of the first RequestStop; null if there was none.
const char* StopReason();
// Ends main with this status, or with 1 if output is lost whose reader is there. It leaves out the
// destructors of statics: those of LibTorch take a third of the CPU time of a short command.
[[noreturn]] void EndMain(int status);

}  // namespace mentor
