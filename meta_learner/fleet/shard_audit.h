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
  bool empty() const { return learners_.empty(); }
  // Names of the learners that have answered, in the order of their answers.
  const std::vector<std::string>& learners() const { return learners_; }
  bool Has(const std::string& learner) const {
    return std::find(learners_.begin(), learners_.end(), learner) != learners_.end();
  }
  // True if an earlier answer has this hash.
  bool Agrees(const std::string& hash) const {
    return std::find(hashes_.begin(), hashes_.end(), hash) != hashes_.end();
  }
  // Moves the first result out of *result; it stands when no other learner can be asked.
  void Add(const std::string& learner, std::string hash, uint64_t epoch, Result* result) {
    if (empty()) {
      first_ = std::move(*result);
      first_epoch_ = epoch;
    }
    learners_.push_back(learner);
    hashes_.push_back(std::move(hash));
  }
  Result TakeFirst(uint64_t* epoch) {
    *epoch = first_epoch_;
    return std::move(first_);
  }

 private:
  std::vector<std::string> learners_, hashes_;  // One of each for an answer, in their order.
  Result first_;
  uint64_t first_epoch_ = 0;
};

}  // namespace mentor::meta_learner
