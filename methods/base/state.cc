#include "methods/base/state.h"

#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::methods {

using torch::Tensor;

absl::StatusOr<Tensor> ReadTensor(const TensorMap& state, const std::string& name,
                                  at::IntArrayRef shape, torch::Dtype dtype,
                                  std::string_view whose) {
  const auto found = state.find(name);
  if (found == state.end())
    return absl::DataLossError(absl::StrFormat("state of %s has no '%s'", whose, name));
  const Tensor& x = found->second;
  if (!x.defined() || x.sizes() != shape || x.scalar_type() != dtype) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "'%s' in the state of %s is %s %s, expected %s %s: it belongs to another spec", name, whose,
        x.defined() ? c10::toString(x.scalar_type()) : "undefined",
        x.defined() ? c10::str(x.sizes()) : "", c10::toString(dtype), c10::str(shape)));
  }
  if (x.is_floating_point() && !x.isfinite().all().item<bool>()) {
    return absl::DataLossError(
        absl::StrFormat("'%s' in the state of %s is not finite", name, whose));
  }
  return x.clone();
}

void StateFields::Add(std::string name, Tensor* tensor) {
  Add(
      std::move(name), [tensor] { return *tensor; },
      [tensor](Tensor loaded) { *tensor = std::move(loaded); });
}

void StateFields::Add(std::string name, int64_t* count) {
  Add(
      std::move(name), [count] { return torch::full({}, *count, torch::kInt64); },
      [count](const Tensor& loaded) { *count = loaded.item<int64_t>(); });
  fields_.back().is_count = true;
}

void StateFields::Add(std::string name, std::function<Tensor()> get,
                      std::function<void(Tensor)> set) {
  fields_.push_back({.name = std::move(name), .get = std::move(get), .set = std::move(set)});
}

void StateFields::AddStacked(std::string name, std::vector<Tensor*> tensors) {
  Add(
      std::move(name),
      [tensors] {
        std::vector<Tensor> rows;
        for (const Tensor* tensor : tensors) rows.push_back(*tensor);
        return torch::stack(rows);
      },
      [tensors](const Tensor& loaded) {
        for (size_t i = 0; i < tensors.size(); ++i)
          *tensors[i] = loaded[static_cast<int64_t>(i)].clone();
      });
}

void StateFields::AddPart(std::function<void(TensorMap*)> save,
                          std::function<absl::Status(const TensorMap&)> load) {
  MENTOR_CHECK(load_part_ == nullptr);
  save_part_ = std::move(save);
  load_part_ = std::move(load);
}

void StateFields::AfterLoad(std::function<void()> run) {
  after_load_.push_back(std::move(run));
}

TensorMap StateFields::Save(bool copies) const {
  TensorMap state;
  for (const Field& field : fields_) {
    const Tensor tensor = field.get();
    MENTOR_CHECK(state.emplace(field.name, copies ? tensor.clone() : tensor).second);
  }
  if (save_part_ != nullptr) save_part_(&state);
  return state;
}

absl::Status StateFields::Load(const TensorMap& state) const {
  std::vector<Tensor> loaded;
  for (const Field& field : fields_) {
    const Tensor like = field.get();
    MENTOR_ASSIGN_OR_RETURN(
        Tensor tensor, ReadTensor(state, field.name, like.sizes(), like.scalar_type(), owner_));
    if (field.is_count && tensor.item<int64_t>() < 0) {
      return absl::DataLossError(
          absl::StrFormat("'%s' in the state of %s is negative", field.name, owner_));
    }
    loaded.push_back(std::move(tensor));
  }
  // The part comes last: it changes its owner when it succeeds.
  if (load_part_ != nullptr) MENTOR_RETURN_IF_ERROR(load_part_(state));
  for (size_t i = 0; i < fields_.size(); ++i) fields_[i].set(std::move(loaded[i]));
  for (const std::function<void()>& run : after_load_) run();
  return absl::OkStatus();
}

}  // namespace mentor::methods
