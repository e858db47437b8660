// Tensors as sections of a checkpoint and back, bit for bit. Pure functions; threads may share.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::meta_learner {

// One CPU tensor as bytes; the .cc describes the layout.
std::string EncodeTensor(const torch::Tensor& tensor);
absl::StatusOr<torch::Tensor> DecodeTensor(std::string_view bytes);

// Adds a section PREFIX + name for each tensor, for instance "rule/weights" with the prefix
// "rule/".
void AddTensorSections(const std::map<std::string, torch::Tensor>& tensors, std::string_view prefix,
                       std::map<std::string, std::string>* sections);
// The tensors of all sections that begin with the prefix, by their names without it. DATA_LOSS
// names the section.
absl::StatusOr<std::map<std::string, torch::Tensor>> TensorsOfSections(
    const std::map<std::string, std::string>& sections, std::string_view prefix);

}  // namespace mentor::meta_learner
