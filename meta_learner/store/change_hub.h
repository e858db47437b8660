// Subscribers to changes of the store. A notice only says that something changed; the store's
// events say what. Owned by the store; subscriptions may outlive the hub. Thread-safe; a subscriber
// is called in the thread that notifies, without any lock of the store.
#pragma once

#include <memory>
#include <vector>

#include "common/mutex.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class ChangeHub : public std::enable_shared_from_this<ChangeHub> {
 public:
  using Callback = ExperimentStore::ChangeCallback;

  // Calls back until the subscription is destroyed. Its destructor waits for a running call.
  std::unique_ptr<ExperimentStore::Subscription> Add(Callback callback);
  void Notify(const ExperimentStore::Notice& notice);

 private:
  class Handle;
  struct Entry {
    explicit Entry(Callback callback) : callback(std::move(callback)) {}
    Mutex mutex;
    Callback callback ABSL_GUARDED_BY(mutex);  // Null once the subscription is gone.
  };

  Mutex mutex_;
  std::vector<std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::meta_learner
