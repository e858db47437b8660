#include "meta_learner/store/change_hub.h"

#include <utility>

namespace mentor::meta_learner {

class ChangeHub::Handle : public ExperimentStore::Subscription {
 public:
  Handle(std::weak_ptr<ChangeHub> hub, std::shared_ptr<Entry> entry)
      : hub_(std::move(hub)), entry_(std::move(entry)) {}
  ~Handle() override {
    {
      const MutexLock lock(entry_->mutex);
      entry_->callback = nullptr;
    }
    if (const auto hub = hub_.lock()) {
      const MutexLock lock(hub->mutex_);
      std::erase(hub->entries_, entry_);
    }
  }

 private:
  const std::weak_ptr<ChangeHub> hub_;
  const std::shared_ptr<Entry> entry_;
};

std::unique_ptr<ExperimentStore::Subscription> ChangeHub::Add(Callback callback) {
  const auto entry = std::make_shared<Entry>(std::move(callback));
  const MutexLock lock(mutex_);
  entries_.push_back(entry);
  return std::make_unique<Handle>(weak_from_this(), entry);
}

void ChangeHub::Notify(const ExperimentStore::Notice& notice) {
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
