// A learner that lies with finite numbers is believed, unless somebody looks: one shard of many is
// computed by a second learner, and its result is used when both have the same bits. Where they
// differ nobody knows yet who is wrong, so a third one decides; without another learner the first
// result stands. What remembers a shard's answers, and which shards are looked at; ShardBoard does
// the rest. One thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mentor/v1/shard_service.pb.h"

namespace mentor::meta_learner {

// By what the shard computes, not by its number or its learner: the same in every replay, and
// nobody's choice. 0: none.
bool IsAudited(const v1::Shard& shard, uint32_t every);

// Hash of everything that a result depends on; times are left out.
std::string HashOfAnswer(const v1::ShardDone& done);

template <typename Result>
class ShardAudit {
 public:
  // Nobody has answered yet.
  bool empty() const { return answers_.empty(); }
  bool Has(const std::string& learner) const {
    return std::any_of(answers_.begin(), answers_.end(),
                       [&](const Answer& answer) { return answer.learner == learner; });
  }
  // True when an earlier answer is the same.
  bool Agrees(const std::string& hash) const {
    return std::any_of(answers_.begin(), answers_.end(),
                       [&](const Answer& answer) { return answer.hash == hash; });
  }
  // The first result is kept: it stands when nobody else can be asked.
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
    std::string learner;  // By name.
    std::string hash;
  };
  std::vector<Answer> answers_;
  Result first_;
  uint64_t first_epoch_ = 0;
};

}  // namespace mentor::meta_learner
