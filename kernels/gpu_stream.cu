#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "common/check.h"
#include "kernels/cuda_status.cuh"
#include "kernels/gpu_stream.h"

namespace mentor::kernels {
namespace {

class Stream : public GpuStream {
 public:
  explicit Stream(cudaStream_t stream) : stream_(stream) {}
  // Errors are of a device that is lost, or of a process that ends.
  ~Stream() override {
    for (const Chunk& chunk : ring_) {
      if (chunk.event != nullptr) cudaEventDestroy(chunk.event);
      if (chunk.memory != nullptr) cudaFreeHost(chunk.memory);
    }
    for (const cudaEvent_t event : spare_) cudaEventDestroy(event);
    for (const auto& [begin, end] : spans_) {
      cudaEventDestroy(begin);
      if (end != nullptr) cudaEventDestroy(end);
    }
    cudaStreamDestroy(stream_);
  }

  CUstream_st* native() const override { return stream_; }

  absl::StatusOr<void*> Allocate(size_t bytes) override {
    void* memory = nullptr;
    MENTOR_RETURN_IF_ERROR(
        CudaStatus(cudaMallocAsync(&memory, bytes, stream_), "memory of the GPU"));
    return memory;
  }
  void Free(void* memory) override { cudaFreeAsync(memory, stream_); }
  absl::Status Zero(void* memory, size_t bytes) override {
    return CudaStatus(cudaMemsetAsync(memory, 0, bytes, stream_), "clearing of memory");
  }
  absl::Status Copy(void* to, const void* from, size_t bytes) override {
    return CudaStatus(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_),
                      "a copy on the GPU");
  }

  absl::Status ToGpu(void* to, const void* from, size_t bytes) override {
    MENTOR_RETURN_IF_ERROR(OpenRing());
    for (size_t at = 0; at < bytes; at += kChunkBytes) {
      const size_t size = std::min(kChunkBytes, bytes - at);
      Chunk& chunk = Next();
      MENTOR_RETURN_IF_ERROR(CudaStatus(cudaEventSynchronize(chunk.event), "a copy to the GPU"));
      std::memcpy(chunk.memory, static_cast<const char*>(from) + at, size);
      MENTOR_RETURN_IF_ERROR(CudaStatus(cudaMemcpyAsync(static_cast<char*>(to) + at, chunk.memory,
                                                        size, cudaMemcpyHostToDevice, stream_),
                                        "a copy to the GPU"));
      MENTOR_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(chunk.event, stream_), "an event"));
    }
    return absl::OkStatus();
  }

  absl::Status ToHost(void* to, const void* from, size_t bytes) override {
    MENTOR_RETURN_IF_ERROR(OpenRing());
    const auto take = [&](size_t at) {
      Chunk& chunk = ring_[at / kChunkBytes % kChunks];
      MENTOR_RETURN_IF_ERROR(CudaStatus(cudaEventSynchronize(chunk.event), "a copy to the host"));
      std::memcpy(static_cast<char*>(to) + at, chunk.memory, std::min(kChunkBytes, bytes - at));
      return absl::OkStatus();
    };
    constexpr size_t kRingBytes = kChunks * kChunkBytes;
    for (size_t at = 0; at < bytes; at += kChunkBytes) {
      if (at >= kRingBytes) MENTOR_RETURN_IF_ERROR(take(at - kRingBytes));
      Chunk& chunk = ring_[at / kChunkBytes % kChunks];
      MENTOR_RETURN_IF_ERROR(CudaStatus(
          cudaMemcpyAsync(chunk.memory, static_cast<const char*>(from) + at,
                          std::min(kChunkBytes, bytes - at), cudaMemcpyDeviceToHost, stream_),
          "a copy to the host"));
      MENTOR_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(chunk.event, stream_), "an event"));
    }
    const size_t chunks = (bytes + kChunkBytes - 1) / kChunkBytes;
    for (size_t i = chunks - std::min(chunks, kChunks); i < chunks; ++i)
      MENTOR_RETURN_IF_ERROR(take(i * kChunkBytes));
    return absl::OkStatus();
  }

  absl::Status BeginSpan() override {
    MENTOR_ASSIGN_OR_RETURN(const cudaEvent_t begin, NewEvent());
    spans_.emplace_back(begin, nullptr);
    return CudaStatus(cudaEventRecord(begin, stream_), "an event");
  }
  absl::Status EndSpan() override {
    MENTOR_ASSIGN_OR_RETURN(spans_.back().second, NewEvent());
    return CudaStatus(cudaEventRecord(spans_.back().second, stream_), "an event");
  }
  absl::StatusOr<double> Wait() override {
    MENTOR_RETURN_IF_ERROR(CudaStatus(cudaStreamSynchronize(stream_), "waiting for the GPU"));
    double seconds = 0;
    for (const auto& [begin, end] : spans_) {
      float ms = 0;
      if (end != nullptr && cudaEventElapsedTime(&ms, begin, end) == cudaSuccess)
        seconds += 1e-3 * ms;
      spare_.push_back(begin);
      if (end != nullptr) spare_.push_back(end);
    }
    spans_.clear();
    return seconds;
  }

 private:
  // Pinned memory, from which nothing waits for a copy to the GPU.
  struct Chunk {
    void* memory = nullptr;
    cudaEvent_t event = nullptr;  // After the last copy.
  };
  static constexpr size_t kChunks = 4, kChunkBytes = 4 << 20;

  absl::Status OpenRing() {
    for (Chunk& chunk : ring_) {
      if (chunk.memory == nullptr) {
        const cudaError_t error = cudaMallocHost(&chunk.memory, kChunkBytes);
        if (error == cudaErrorMemoryAllocation) {
          cudaGetLastError();
          return absl::ResourceExhaustedError(
              "the host has no memory to pin for copies: free some, and see ulimit -l");
        }
        MENTOR_RETURN_IF_ERROR(CudaStatus(error, "pinned memory of the host"));
      }
      if (chunk.event != nullptr) continue;
      MENTOR_RETURN_IF_ERROR(
          CudaStatus(cudaEventCreateWithFlags(&chunk.event, cudaEventDisableTiming), "an event"));
    }
    return absl::OkStatus();
  }
  Chunk& Next() { return ring_[next_++ % kChunks]; }
  absl::StatusOr<cudaEvent_t> NewEvent() {
    if (!spare_.empty()) {
      const cudaEvent_t event = spare_.back();
      spare_.pop_back();
      return event;
    }
    cudaEvent_t event = nullptr;
    MENTOR_RETURN_IF_ERROR(CudaStatus(cudaEventCreate(&event), "an event"));
    return event;
  }

  const cudaStream_t stream_;
  Chunk ring_[kChunks];
  size_t next_ = 0;
  std::vector<cudaEvent_t> spare_;
  std::vector<std::pair<cudaEvent_t, cudaEvent_t>> spans_;  // Since the last wait.
};

absl::StatusOr<std::shared_ptr<GpuStream>> NewStream(int index) {
  cudaMemPool_t pool = nullptr;
  MENTOR_RETURN_IF_ERROR(
      CudaStatus(cudaDeviceGetDefaultMemPool(&pool, index), "memory of the GPU"));
  // What was freed stays with the process for the next piece of work.
  uint64_t kept = std::numeric_limits<uint64_t>::max();
  MENTOR_RETURN_IF_ERROR(CudaStatus(
      cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept), "memory of the GPU"));
  cudaStream_t stream = nullptr;
  MENTOR_RETURN_IF_ERROR(
      CudaStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream"));
  return std::make_shared<Stream>(stream);
}

}  // namespace

absl::StatusOr<std::shared_ptr<GpuStream>> GpuStream::OfThread(int index) {
  thread_local std::map<int, std::shared_ptr<GpuStream>> streams;
  MENTOR_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(index), "the GPU"));
  std::shared_ptr<GpuStream>& stream = streams[index];
  if (stream == nullptr) {
    MENTOR_ASSIGN_OR_RETURN(stream, NewStream(index));
  }
  return stream;
}

}  // namespace mentor::kernels
