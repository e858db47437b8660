// What several benchmarks share: the sizes of an ML1 task, keyed inputs, the memory of this
// process.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string_view>

namespace mentor::bench {

// Meta-World's observation and action.
inline constexpr int64_t kObservation = 39, kAction = 4;

// Normal numbers in float32, keyed, so that every run measures the same work.
torch::Tensor NormalTensor(torch::IntArrayRef shape, uint32_t number);

// A line of /proc/self/status in bytes: "VmRSS:" what is resident, "VmHWM:" its highest.
double MemoryBytes(std::string_view field);

}  // namespace mentor::bench
