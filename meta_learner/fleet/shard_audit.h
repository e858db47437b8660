// Audits results: a learner that sends wrong but finite numbers would otherwise be believed. One
// shard of many is computed by a second learner, and its result is used when both have the same
// bits. If the results differ, a third learner decides. If no other learner can run the shard, the
// first result stands. This file selects the shards and remembers their answers; ShardBoard does
// the rest. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mentor/v1/shard_service.pb.h"

namespace mentor::meta_learner {

// True if the shard is audited: about one of `every` shards; 0: none. Depends only on what the
// shard computes, not on its number or learner. So a replay audits the same shards, and no learner
// can choose them.
bool IsAudited(const v1::Shard& shard, uint32_t every);

// Returns the SHA-256 of the answer without its shard id, epoch and times.
std::string HashOfAnswer(const v1::ShardDone& done);

template <typename Result>
class ShardAudit {
 public:
  // True if no learner has answered yet.
  bool empty() const { return answers_.empty(); }
  bool Has(const std::string& learner) const {
    return std::any_of(answers_.begin(), answers_.end(),
                       [&](const Answer& answer) { return answer.learner == learner; });
  }
  // True if an earlier answer has this hash.
  bool Agrees(const std::string& hash) const {
    return std::any_of(answers_.begin(), answers_.end(),
                       [&](const Answer& answer) { return answer.hash == hash; });
  }
  // Moves the first result out of *result; it stands when no other learner can be asked.
  void Add(const std::string& learner, std::string hash, uint64_t epoch, Result* result) {
    if (answers_.empty()) {
      first_ = std::move(*result);
      first_epoch_ = epoch;
    }
    answers_.push_back({learner, std::move(hash)});
  }
  Result TakeFirst(uint64_t* epoch) {
    *epoch = first_epoch_;
    return std::move(first_);
  }
  std::vector<std::string> learners() const {
    std::vector<std::string> names;
    for (const Answer& answer : answers_) names.push_back(answer.learner);
    return names;
  }

 private:
  struct Answer {
    std::string learner;  // Learner name.
    std::string hash;
  };
  std::vector<Answer> answers_;
  Result first_;
  uint64_t first_epoch_ = 0;
};

}  // namespace mentor::meta_learner
