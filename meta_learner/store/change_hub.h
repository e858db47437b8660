// Subscribers to changes of the store. A notice only says that something changed; the store's
// events say what. Owned by the store; subscriptions may outlive the hub. Thread-safe; a subscriber
// is called in the thread that notifies, without any lock of the store.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"

namespace mentor::meta_learner {

class ChangeHub : public std::enable_shared_from_this<ChangeHub> {
 public:
  struct Notice {
    std::string name;
    bool durable = true;  // False: only progress.
  };
  using Callback = std::function<void(const Notice& notice)>;
  class Subscription;

  // Calls back until the subscription is destroyed. Its destructor waits for a running call.
  std::unique_ptr<Subscription> Add(Callback callback);
  void Notify(const Notice& notice);

 private:
  struct Entry {
    explicit Entry(Callback callback) : callback(std::move(callback)) {}
    Mutex mutex;
    Callback callback ABSL_GUARDED_BY(mutex);  // Null once the subscription is gone.
  };

  Mutex mutex_;
  std::vector<std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
};

class ChangeHub::Subscription {
 public:
  Subscription(std::weak_ptr<ChangeHub> hub, std::shared_ptr<Entry> entry)
      : hub_(std::move(hub)), entry_(std::move(entry)) {}
  ~Subscription();

 private:
  const std::weak_ptr<ChangeHub> hub_;
  const std::shared_ptr<Entry> entry_;
};

}  // namespace mentor::meta_learner
