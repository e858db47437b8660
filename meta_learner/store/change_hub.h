// Who wants to know about changes of the store, and the calls to them. Not for what a change was:
// the store's events say that, a notice only says that it is time to look. Owned by the store;
// subscriptions may outlive it. Thread-safe; a subscriber is called in the thread that notifies,
// without any lock of the store.
#pragma once

#include <memory>
#include <vector>

#include "common/mutex.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class ChangeHub : public std::enable_shared_from_this<ChangeHub> {
 public:
  using Callback = ExperimentStore::ChangeCallback;

  // Until the subscription is gone; its end waits for a call that is under way.
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
