// Collects all violations of a request, so that one answer reports them together.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>

namespace mentor {

struct Violation {
  std::string field;        // Path, for instance "rule.lifetimes_per_update".
  std::string description;  // Value, bound and remedy in one sentence.
};

class Violations {
 public:
  void Add(std::string field, std::string description) {
    list_.push_back({std::move(field), std::move(description)});
  }
  // Adds these, with `prefix` before their fields.
  void AddAll(const Violations& others, const std::string& prefix = "") {
    for (const Violation& one : others.list_) Add(prefix + one.field, one.description);
  }
  bool empty() const { return list_.empty(); }
  const std::vector<Violation>& list() const { return list_; }
  // Returns OK, or INVALID_ARGUMENT with one line "field: description" for each violation.
  absl::Status ToStatus() const;

 private:
  std::vector<Violation> list_;
};

}  // namespace mentor
