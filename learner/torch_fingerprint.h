// A hash over fixed LibTorch results: equal hashes mean that two learners compute the same last
// bits. Thread-safe.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

namespace mentor::learner {

// Hexadecimal, of what `device` computes; of a GPU its name and compute capability too. After
// FixNumerics; the CPU's is computed once.
std::string TorchFingerprint(torch::Device device = torch::kCPU);

// What it hashes, as computed by `device`. The CPU's own fingerprint stops before the PPO update:
// on a CPU the kernels make that, and experiments on disk carry the hash without it.
std::vector<torch::Tensor> FingerprintResults(torch::Device device, bool with_update);

}  // namespace mentor::learner
