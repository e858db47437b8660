// A rule of which a test changes a part, and nothing else: the base of those that are broken on
// purpose.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "meta_learner/rules/outer_rule.h"

namespace mentor::testing {

class WrappedRule : public meta_learner::OuterRule {
 public:
  explicit WrappedRule(std::unique_ptr<OuterRule> inner) : inner_(std::move(inner)) {}

  meta_learner::RuleNeeds needs() const override { return inner_->needs(); }
  torch::Tensor meta_parameters() const override { return inner_->meta_parameters(); }
  meta_learner::TensorMap Save() const override { return inner_->Save(); }
  absl::Status Load(const meta_learner::TensorMap& state) override { return inner_->Load(state); }
  meta_learner::PlannedRound Plan(uint32_t outer_step) const override {
    return inner_->Plan(outer_step);
  }
  std::optional<std::vector<uint32_t>> TakeParents() override { return inner_->TakeParents(); }
  std::map<std::string, std::string> Tables() const override { return inner_->Tables(); }
  meta_learner::RuleSizes Sizes() const override { return inner_->Sizes(); }
  int64_t DeviceBytes() const override { return inner_->DeviceBytes(); }

 protected:
  absl::StatusOr<meta_learner::RuleReport> DoUpdate(const meta_learner::LifetimeBatch& batch,
                                                    uint32_t outer_step) override {
    return inner_->Update(Changed(batch, outer_step), outer_step);
  }
  // What the rule gets in place of the batch; tensors of the batch itself stay as they are.
  virtual meta_learner::LifetimeBatch Changed(const meta_learner::LifetimeBatch& batch,
                                              uint32_t /*outer_step*/) const {
    return batch;
  }

  const std::unique_ptr<OuterRule> inner_;
};

}  // namespace mentor::testing
