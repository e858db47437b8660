// Fixes everything that decides LibTorch's last bits: kernels by CPU, threads, deterministic
// algorithms (docs/exactness.md#the-means). Proves that this process has Mentor's one arithmetic.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include <absl/status/status.h>

namespace mentor::agents {

// Names the one arithmetic: the first 32 hexadecimal digits of the SHA-256 over ArithmeticResults.
// Every x86-64 processor with AVX2 has it. A change ends the experiments that have begun.
inline constexpr char kArithmetic[] = "957f735c1af9fd432aa2f7686827311f";

// Call it first in main, before any thread and any other use of LibTorch. FAILED_PRECONDITION names
// what gives other bits, and the remedy. LibTorch has already chosen its kernels, its MKL takes
// another branch, a preloaded library answers in its place, or the results are others.
absl::Status FixNumerics();

// Small results of LibTorch's functions, products and sums, in float32 and float64. Takes a few
// milliseconds.
std::vector<torch::Tensor> ArithmeticResults();
// Normals that depend on `step` alone, to compute such results from.
torch::Tensor ProofNormals(at::IntArrayRef shape, uint32_t step,
                           torch::Dtype dtype = torch::kFloat32);
// The digits that kArithmetic has if the results are Mentor's.
std::string ArithmeticHash(const std::vector<torch::Tensor>& results);

}  // namespace mentor::agents
