#include "meta_learner/control/pending_deletes.h"

#include <utility>

#include "common/rpc/status.h"

namespace mentor::meta_learner {

bool PendingDeletes::Add(grpc::ServerUnaryReactor* reactor, const v1::Experiment& experiment) {
  const MutexLock lock(mutex_);
  if (stopped_) return false;
  pending_.push_back({reactor, experiment.name(), experiment.uid()});
  return true;
}

void PendingDeletes::Look() {
  std::vector<Pending> pending;
  {
    const MutexLock lock(mutex_);
    pending.swap(pending_);
  }
  for (Pending& waiting : pending) {
    const auto now = store_->Get(waiting.name);
    if ((now.ok() && now->uid() != waiting.uid) || absl::IsNotFound(now.status())) {
      waiting.reactor->Finish(grpc::Status::OK);
      continue;
    }
    const MutexLock lock(mutex_);
    pending_.push_back(std::move(waiting));
  }
}

void PendingDeletes::Stop(const absl::Status& status) {
  const MutexLock lock(mutex_);
  stopped_ = true;
  for (const Pending& waiting : pending_) waiting.reactor->Finish(rpc::ToGrpc(status));
  pending_.clear();
}

}  // namespace mentor::meta_learner
