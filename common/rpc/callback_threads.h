// gRPC 1.51 runs all reactions of a process on a few shared threads, and joins them when the last
// channel or server is destroyed. If that happens on one of these threads, the thread joins itself
// and the process aborts. This is possible since the end of a stream may hold the last channel. One
// idle server therefore keeps the threads until the process ends.
#pragma once

namespace mentor::rpc {

// Idempotent, thread-safe. Called by the servers, channels and streams of this folder.
void KeepCallbackThreads();

}  // namespace mentor::rpc
