#include "meta_learner/store/object_deletions.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/check.h"
#include "common/log.h"
#include "meta_learner/store/experiment_objects.h"

namespace mentor::meta_learner {
namespace {

constexpr std::chrono::seconds kFirstWait{1}, kWaitMax{32};

}  // namespace

ObjectDeletions::ObjectDeletions(ObjectStore* store, Pending pending, Done done)
    : store_(store),
      pending_(std::move(pending)),
      done_(std::move(done)),
      thread_([this] { Work(); }) {}

ObjectDeletions::~ObjectDeletions() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void ObjectDeletions::Wake() {
  const MutexLock lock(mutex_);
  wanted_ = true;
  changed_.NotifyAll();
}

absl::Status ObjectDeletions::DeleteAll() {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> uids, pending_());
  for (const std::string& uid : uids) {
    MENTOR_RETURN_IF_ERROR(ExperimentObjects(store_, uid, &stopping_).DeleteAll());
    MENTOR_RETURN_IF_ERROR(done_(uid));
  }
  return absl::OkStatus();
}

void ObjectDeletions::Work() {
  auto wait = kFirstWait;
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (!wanted_) {
      changed_.Wait(lock);
      continue;
    }
    wanted_ = false;
    lock.Unlock();
    const absl::Status deleted = DeleteAll();
    lock.Lock();
    if (deleted.ok()) {
      wait = kFirstWait;
      continue;
    }
    wanted_ = true;
    if (stopping_) break;
    MENTOR_LOG_EVERY(std::chrono::minutes(1), kWarning,
                     "objects of deleted experiments are left; they are removed later",
                     {{"why", deleted}});
    changed_.WaitFor(lock, wait,
                     [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_.load(); });
    wait = std::min(wait * 2, kWaitMax);
  }
}

}  // namespace mentor::meta_learner
