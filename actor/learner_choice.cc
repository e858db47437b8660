#include "actor/learner_choice.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include "common/hash.h"
#include "common/status.h"

namespace mentor::actor {

uint64_t RendezvousWeight(const std::string& actor_uid, const std::string& address) {
  Sha256 hash;
  hash.Update(actor_uid);
  hash.Update("\n");
  hash.Update(address);
  const std::string digest = hash.Finish();
  uint64_t weight = 0;
  std::memcpy(&weight, digest.data(), sizeof(weight));
  return weight;
}

void LearnerChoice::Update(const std::vector<std::string>& addresses) {
  std::map<std::string, Learner> known;
  for (Learner& learner : learners_) known.emplace(learner.address, std::move(learner));
  std::vector<Learner> learners;
  for (const std::string& address : addresses) {
    const auto found = known.find(address);
    learners.push_back(
        found != known.end()
            ? std::move(found->second)
            : Learner{.address = address, .weight = RendezvousWeight(actor_uid_, address)});
  }
  std::sort(learners.begin(), learners.end(), [](const Learner& a, const Learner& b) {
    return std::tie(a.weight, a.address) > std::tie(b.weight, b.address);
  });
  learners_ = std::move(learners);
}

std::vector<std::string> LearnerChoice::Ranked() const {
  std::vector<std::string> ranked;
  for (const Learner& learner : learners_) ranked.push_back(learner.address);
  return ranked;
}

LearnerChoice::Learner* LearnerChoice::Find(const std::string& address) {
  const auto found = std::find_if(learners_.begin(), learners_.end(), [&](const Learner& learner) {
    return learner.address == address;
  });
  return found == learners_.end() ? nullptr : &*found;
}

std::optional<std::chrono::nanoseconds> LearnerChoice::Next(Clock::time_point now) {
  if (learners_.empty()) return std::nullopt;
  const Learner* next = wanted_ ? Find(*wanted_) : nullptr;
  wanted_.reset();
  if (next == nullptr || next->not_before > now) {
    // The first in rank of those that are due soonest; all learners without a delay are due now.
    next = &*std::min_element(learners_.begin(), learners_.end(),
                              [&](const Learner& a, const Learner& b) {
                                return std::max(a.not_before, now) < std::max(b.not_before, now);
                              });
  }
  if (const auto due = std::max(next->not_before, not_before_); due > now) return due - now;
  current_ = next->address;
  return std::chrono::nanoseconds(0);
}

void LearnerChoice::Ended(const absl::Status& status, Clock::time_point now, double uniform) {
  const auto connected_at = std::exchange(connected_at_, std::nullopt);
  Learner* const learner = Find(current_);
  // The actor left on its own initiative, or the learner is gone.
  if (learner == nullptr || (wanted_ && status.ok())) return;
  if (connected_at && now - *connected_at >= options_.backoff.healthy) learner->failures = 0;
  if (++failures_ >= options_.hurried) not_before_ = now + options_.pace;
  learner->failed_at = now;
  auto wait = options_.refused;
  if (!absl::IsFailedPrecondition(status)) {
    const auto asked_for = RetryDelayOf(status).value_or(std::chrono::milliseconds(0));
    wait =
        std::min(wait, std::max(asked_for, options_.backoff.Delay(learner->failures++, uniform)));
  }
  learner->not_before = now + wait;
}

bool LearnerChoice::MayBeAsked(const Learner& learner, Clock::time_point now) const {
  return learner.address != current_ &&
         (!learner.failed_at || now - *learner.failed_at >= options_.doubted);
}

std::vector<std::string> LearnerChoice::ToAsk(bool idle, Clock::time_point now) {
  std::vector<std::string> asked;
  if (learners_.empty()) return asked;
  if (MayBeAsked(learners_.front(), now)) asked.push_back(learners_.front().address);
  if (!idle) return asked;
  const size_t others = learners_.size() - 1, most = asked.size() + options_.asked;
  for (size_t i = 0; i < others && asked.size() < most; ++i) {
    asked_last_ = asked_last_ % others + 1;
    if (MayBeAsked(learners_[asked_last_], now)) asked.push_back(learners_[asked_last_].address);
  }
  return asked;
}

}  // namespace mentor::actor
