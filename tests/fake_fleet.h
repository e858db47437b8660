// A fleet that returns a test's lifetimes and records a rule's requests.
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "methods/base/outer_rule.h"

namespace mentor::testing {

class FakeFleet : public meta_learner::Fleet {
 public:
  using Answer = std::function<meta_learner::LifetimeBatch(const meta_learner::RoundRequest&)>;

  explicit FakeFleet(meta_learner::LifetimeBatch batch) : batch_(std::move(batch)) {}
  // For rules that name their lifetimes.
  explicit FakeFleet(Answer answer) : answer_(std::move(answer)) {}

  absl::StatusOr<meta_learner::LifetimeBatch> Collect() override { return batch_; }
  absl::StatusOr<meta_learner::LifetimeBatch> Collect(
      const meta_learner::RoundRequest& request) override {
    requests.push_back(request);
    return answer_(request);
  }
  absl::Status GoOnAs(std::vector<uint32_t> all) override {
    parents = std::move(all);
    return absl::OkStatus();
  }

  std::vector<meta_learner::RoundRequest> requests;
  std::optional<std::vector<uint32_t>> parents;  // Nothing: each lifetime continues as it is.

 private:
  const meta_learner::LifetimeBatch batch_;
  const Answer answer_;
};

}  // namespace mentor::testing
