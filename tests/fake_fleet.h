// A fleet that returns a test's lifetimes and records a rule's requests.
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "methods/base/outer_rule.h"

namespace mentor::testing {

class FakeFleet : public methods::Fleet {
 public:
  using Answer = std::function<methods::LifetimeBatch(const methods::RoundRequest&)>;

  explicit FakeFleet(methods::LifetimeBatch batch) : batch_(std::move(batch)) {}
  // For rules that name their lifetimes.
  explicit FakeFleet(Answer answer) : answer_(std::move(answer)) {}

  absl::StatusOr<methods::LifetimeBatch> Collect() override { return batch_; }
  absl::StatusOr<methods::LifetimeBatch> Collect(const methods::RoundRequest& request) override {
    requests.push_back(request);
    return answer_(request);
  }
  absl::Status GoOnAs(std::vector<uint32_t> all) override {
    parents = std::move(all);
    return absl::OkStatus();
  }

  std::vector<methods::RoundRequest> requests;
  std::optional<std::vector<uint32_t>> parents;  // Nothing: each lifetime continues as it is.

 private:
  const methods::LifetimeBatch batch_;
  const Answer answer_;
};

}  // namespace mentor::testing
