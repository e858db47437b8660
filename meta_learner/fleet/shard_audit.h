// Audits results: a learner that sends wrong but finite numbers would otherwise be believed. One
// shard of many is computed by a second learner, and its result is used when both have the same
// bits. If the results differ, a third learner decides. If no other learner can run the shard, a
// single answer stands, and answers that differ do not. This file remembers the answers; ShardBoard
// does the rest (shard_checks.cc). Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mentor/v1/shard_service.pb.h"

namespace mentor::meta_learner {

// Returns the SHA-256 of the answer without its shard id, epoch and times.
std::string HashOfAnswer(const v1::ShardDone& done);

// The answers of one shard, all with different bits: an answer that agrees with one ends the audit.
template <typename Result>
class ShardAudit {
 public:
  struct Answer {
    std::string learner, host, hash;
    uint64_t epoch = 0;
  };
  // True if no learner has answered yet.
  bool empty() const { return answers_.empty(); }
  bool disputed() const { return answers_.size() > 1; }
  // In the order in which they came.
  const std::vector<Answer>& answers() const { return answers_; }
  // True if some answer is such.
  template <typename Such>
  bool Has(const Such& such) const {
    return std::any_of(answers_.begin(), answers_.end(), such);
  }
  bool HasHost(const std::string& host) const {
    return Has([&](const Answer& answer) { return answer.host == host; });
  }
  // Names of the learners whose answers have another hash.
  std::set<std::string> OthersThan(const std::string& hash) const {
    std::set<std::string> names;
    for (const Answer& answer : answers_) {
      if (answer.hash != hash) names.insert(answer.learner);
    }
    return names;
  }
  // Names of all learners that have answered.
  std::set<std::string> learners() const { return OthersThan(""); }
  // Moves the first result out of *result; it stands when no other learner can be asked.
  void Add(Answer answer, Result* result) {
    if (empty()) first_ = std::move(*result);
    answers_.push_back(std::move(answer));
  }
  Result TakeFirst(Answer* answer) {
    *answer = answers_.front();
    return std::move(first_);
  }

 private:
  std::vector<Answer> answers_;
  Result first_;
};

}  // namespace mentor::meta_learner
