#include "meta_learner/store/change_hub.h"

#include <utility>

namespace mentor::meta_learner {

ChangeHub::Subscription::~Subscription() {
  {
    const MutexLock lock(entry_->mutex);
    entry_->callback = nullptr;
  }
  if (const auto hub = hub_.lock()) {
    const MutexLock lock(hub->mutex_);
    std::erase(hub->entries_, entry_);
  }
}

std::unique_ptr<ChangeHub::Subscription> ChangeHub::Add(Callback callback) {
  const auto entry = std::make_shared<Entry>(std::move(callback));
  const MutexLock lock(mutex_);
  entries_.push_back(entry);
  return std::make_unique<Subscription>(weak_from_this(), entry);
}

void ChangeHub::Notify(const Notice& notice) {
  std::vector<std::shared_ptr<Entry>> entries;
  {
    const MutexLock lock(mutex_);
    entries = entries_;
  }
  for (const auto& entry : entries) {
    const MutexLock lock(entry->mutex);
    if (entry->callback) entry->callback(notice);
  }
}

}  // namespace mentor::meta_learner
