// A rule with one part changed by a test: the base of rules that are broken on purpose.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "methods/base/outer_rule.h"

namespace mentor::testing {

class WrappedRule : public meta_learner::OuterRule {
 public:
  explicit WrappedRule(std::unique_ptr<OuterRule> inner) : inner_(std::move(inner)) {}

  meta_learner::RuleNeeds needs() const override { return inner_->needs(); }
  torch::Tensor meta_parameters() const override { return inner_->meta_parameters(); }
  void State(learner::StateFields* fields) override { inner_->State(fields); }
  std::map<std::string, std::string> Tables() const override { return inner_->Tables(); }
  meta_learner::RuleSizes Sizes() const override { return inner_->Sizes(); }
  int64_t DeviceBytes() const override { return inner_->DeviceBytes(); }

 protected:
  absl::StatusOr<meta_learner::RuleReport> DoRun(meta_learner::Fleet* fleet,
                                                 uint32_t outer_step) override {
    ChangingFleet changing(this, fleet, outer_step);
    return inner_->Run(&changing, outer_step);
  }
  // The rule gets this in place of the batch; the batch's own tensors do not change.
  virtual meta_learner::LifetimeBatch Changed(const meta_learner::LifetimeBatch& batch,
                                              uint32_t /*outer_step*/) const {
    return batch;
  }

  const std::unique_ptr<OuterRule> inner_;

 private:
  // Never called: DoRun hands every update to the wrapped rule.
  absl::StatusOr<meta_learner::RuleReport> DoUpdate(const meta_learner::LifetimeBatch&,
                                                    uint32_t) final {
    return absl::InternalError("a wrapped rule has no update of its own");
  }

  class ChangingFleet : public meta_learner::Fleet {
   public:
    ChangingFleet(const WrappedRule* rule, meta_learner::Fleet* fleet, uint32_t outer_step)
        : rule_(rule), fleet_(fleet), outer_step_(outer_step) {}

    absl::StatusOr<meta_learner::LifetimeBatch> Collect() override {
      return Change(fleet_->Collect());
    }
    absl::StatusOr<meta_learner::LifetimeBatch> Collect(
        const meta_learner::RoundRequest& request) override {
      return Change(fleet_->Collect(request));
    }
    absl::Status GoOnAs(std::vector<uint32_t> parents) override {
      return fleet_->GoOnAs(std::move(parents));
    }

   private:
    absl::StatusOr<meta_learner::LifetimeBatch> Change(
        absl::StatusOr<meta_learner::LifetimeBatch> batch) const {
      if (!batch.ok()) return batch;
      return rule_->Changed(*batch, outer_step_);
    }

    const WrappedRule* const rule_;
    meta_learner::Fleet* const fleet_;
    const uint32_t outer_step_;
  };
};

}  // namespace mentor::testing
