// A queue of work on a GPU: memory, copies and their times, in the order of the calls. A stream is
// one thread's; memory may be returned by any thread.
#pragma once

#include <cstddef>
#include <memory>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

struct CUstream_st;  // CUDA's cudaStream_t is a pointer to it.

namespace mentor::kernels {

class GpuStream {
 public:
  virtual ~GpuStream() = default;
  // This thread's stream of a GPU, which becomes the thread's current one. FAILED_PRECONDITION in a
  // program without kernels.
  static absl::StatusOr<std::shared_ptr<GpuStream>> OfThread(int index);

  virtual CUstream_st* native() const = 0;

  // RESOURCE_EXHAUSTED when the GPU is full. Aligned to 256 bytes.
  virtual absl::StatusOr<void*> Allocate(size_t bytes) = 0;
  // The memory goes back when the work queued so far has ended.
  virtual void Free(void* memory) = 0;
  virtual absl::Status Zero(void* memory, size_t bytes) = 0;
  virtual absl::Status Copy(void* to, const void* from, size_t bytes) = 0;
  // From the host. The caller may change `from` at once.
  virtual absl::Status ToGpu(void* to, const void* from, size_t bytes) = 0;
  // To the host, after all queued work; waits.
  virtual absl::Status ToHost(void* to, const void* from, size_t bytes) = 0;

  // Work between the two counts in the seconds of the next Wait().
  virtual absl::Status BeginSpan() = 0;
  virtual absl::Status EndSpan() = 0;
  // Waits for all queued work. Returns the seconds of the spans since the last wait.
  virtual absl::StatusOr<double> Wait() = 0;
};

}  // namespace mentor::kernels
