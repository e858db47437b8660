#include "meta_learner/control/pending_deletes.h"

#include "common/rpc/status.h"

namespace mentor::meta_learner {

bool PendingDeletes::Add(grpc::ServerUnaryReactor* reactor, const v1::Experiment& experiment) {
  const MutexLock lock(mutex_);
  if (stopped_) return false;
  pending_.push_back({reactor, experiment.name(), experiment.uid()});
  return true;
}

void PendingDeletes::Look() {
  // Holds the lock throughout. Otherwise this Look would miss a call that a concurrent Look is
  // checking against an older state of the store.
  const MutexLock lock(mutex_);
  std::erase_if(pending_, [&](const Pending& waiting) {
    const auto now = records_->Get(waiting.name);
    const bool gone = (now.ok() && now->uid() != waiting.uid) || absl::IsNotFound(now.status());
    if (gone) waiting.reactor->Finish(grpc::Status::OK);
    return gone;
  });
}

void PendingDeletes::Stop(const absl::Status& status) {
  const MutexLock lock(mutex_);
  stopped_ = true;
  for (const Pending& waiting : pending_) waiting.reactor->Finish(rpc::ToGrpc(status));
  pending_.clear();
}

}  // namespace mentor::meta_learner
