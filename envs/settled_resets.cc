#include "envs/settled_resets.h"

namespace mentor::envs {

SettledResets& SettledResets::Instance() {
  static SettledResets resets;
  return resets;
}

std::shared_ptr<const std::string> SettledResets::Find(const std::string& key) {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  auto used = by_use_.extract(found->second.last_use);
  used.key() = found->second.last_use = ++uses_;
  by_use_.insert(std::move(used));
  return found->second.state;
}

void SettledResets::Add(const std::string& key, std::string state) {
  const MutexLock lock(mutex_);
  const auto [entry, added] = entries_.try_emplace(key);
  if (!added) return;  // Another thread added the same bytes first.
  entry->second = {std::make_shared<const std::string>(std::move(state)), ++uses_};
  by_use_.emplace(uses_, key);
  if (entries_.size() <= entries_max_) return;
  entries_.erase(by_use_.begin()->second);
  by_use_.erase(by_use_.begin());
}

void SettledResets::Clear() {
  const MutexLock lock(mutex_);
  entries_.clear();
  by_use_.clear();
}

size_t SettledResets::size() const {
  const MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace mentor::envs
