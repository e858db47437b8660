// gRPC 1.51 runs all reactions of a process on a few shared threads and joins them when the last
// channel or server is given back. When that happens on one of these threads itself (the end of a
// stream may hold the last channel), it joins itself and the process aborts. So one idle server
// holds them until the process ends.
#pragma once

namespace mentor::rpc {

// Idempotent, thread-safe. Servers, channels and streams of this folder call it.
void KeepCallbackThreads();

}  // namespace mentor::rpc
