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

class WrappedRule : public methods::OuterRule {
 public:
  explicit WrappedRule(std::unique_ptr<OuterRule> inner) : inner_(std::move(inner)) {}

  methods::RuleNeeds needs() const override { return inner_->needs(); }
  torch::Tensor meta_parameters() const override { return inner_->meta_parameters(); }
  void State(methods::StateFields* fields) override { inner_->State(fields); }
  std::map<std::string, std::string> Tables() const override { return inner_->Tables(); }
  methods::RuleSizes Sizes() const override { return inner_->Sizes(); }
  int64_t DeviceBytes() const override { return inner_->DeviceBytes(); }

 protected:
  absl::StatusOr<methods::RuleReport> DoRun(methods::Fleet* fleet, uint32_t outer_step) override {
    ChangingFleet changing(this, fleet, outer_step);
    return inner_->Run(&changing, outer_step);
  }
  // The rule gets this in place of the batch; the batch's own tensors do not change.
  virtual methods::LifetimeBatch Changed(const methods::LifetimeBatch& batch,
                                         uint32_t /*outer_step*/) const {
    return batch;
  }

  const std::unique_ptr<OuterRule> inner_;

 private:
  // Never called: DoRun hands every update to the wrapped rule.
  absl::StatusOr<methods::RuleReport> DoUpdate(const methods::LifetimeBatch&, uint32_t) final {
    return absl::InternalError("a wrapped rule has no update of its own");
  }

  class ChangingFleet : public methods::Fleet {
   public:
    ChangingFleet(const WrappedRule* rule, methods::Fleet* fleet, uint32_t outer_step)
        : rule_(rule), fleet_(fleet), outer_step_(outer_step) {}

    absl::StatusOr<methods::LifetimeBatch> Collect() override { return Change(fleet_->Collect()); }
    absl::StatusOr<methods::LifetimeBatch> Collect(const methods::RoundRequest& request) override {
      return Change(fleet_->Collect(request));
    }
    absl::Status GoOnAs(std::vector<uint32_t> parents) override {
      return fleet_->GoOnAs(std::move(parents));
    }

   private:
    absl::StatusOr<methods::LifetimeBatch> Change(
        absl::StatusOr<methods::LifetimeBatch> batch) const {
      if (!batch.ok()) return batch;
      return rule_->Changed(*batch, outer_step_);
    }

    const WrappedRule* const rule_;
    methods::Fleet* const fleet_;
    const uint32_t outer_step_;
  };
};

}  // namespace mentor::testing
