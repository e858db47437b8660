// The state of a rule or an inner loop: everything that its next updates depend on, each tensor
// named once. Saving, loading and the checks of what is loaded follow from one list. The list
// points into its owner, which outlives it. Not thread-safe.
//
//   void State(StateFields* fields) override {
//     fields->Add("weights", &weights_);
//     fields->Add("updates", &updates_);
//   }
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::methods {

// Named tensors: the state of rules and inner loops in checkpoints and snapshots.
using TensorMap = std::map<std::string, torch::Tensor>;

// Returns a clone of the tensor of this name. DATA_LOSS when it is missing or not finite;
// INVALID_ARGUMENT when its shape or dtype differ. `whose` ("the rule") names the owner in errors.
absl::StatusOr<torch::Tensor> ReadTensor(const TensorMap& state, const std::string& name,
                                         at::IntArrayRef shape, torch::Dtype dtype,
                                         std::string_view whose);

class StateFields {
 public:
  // `owner` names the object in errors: "the rule".
  explicit StateFields(std::string owner) : owner_(std::move(owner)) {}

  // A tensor. Load accepts its present shape and dtype only, and finite numbers only.
  void Add(std::string name, torch::Tensor* tensor);
  // A count, saved as a scalar int64. Load refuses negative ones.
  void Add(std::string name, int64_t* count);
  // A tensor that its owner holds in another form. `get` gives the saved form, with the shape and
  // dtype that Load accepts; `set` takes it back.
  void Add(std::string name, std::function<torch::Tensor()> get,
           std::function<void(torch::Tensor)> set);
  // Tensors of one shape, saved as one with a first axis in front.
  void AddStacked(std::string name, std::vector<torch::Tensor*> tensors);
  // A part whose names or shapes vary. `save` adds its tensors. `load` checks and takes them; an
  // error must change nothing. A state has at most one such part.
  void AddPart(std::function<void(TensorMap*)> save,
               std::function<absl::Status(const TensorMap&)> load);
  // Runs after a successful Load.
  void AfterLoad(std::function<void()> run);

  // With `copies` false the tensors are those of the owner, which may change later. A part decides
  // for itself.
  TensorMap Save(bool copies) const;
  // Replaces the owner's state. An error changes nothing. DATA_LOSS when a tensor is missing or
  // damaged, INVALID_ARGUMENT when it has another shape or dtype.
  absl::Status Load(const TensorMap& state) const;

 private:
  struct Field {
    std::string name;
    std::function<torch::Tensor()> get;
    std::function<void(torch::Tensor)> set;
    bool is_count = false;
  };

  const std::string owner_;
  std::vector<Field> fields_;
  std::function<void(TensorMap*)> save_part_;
  std::function<absl::Status(const TensorMap&)> load_part_;
  std::vector<std::function<void()>> after_load_;
};

}  // namespace mentor::methods
