#include "meta_learner/control/streams.h"

#include <chrono>

#include <absl/strings/str_format.h>

#include "common/status.h"

namespace mentor::meta_learner {

absl::Status StreamRegistry::Add(const std::shared_ptr<AnyStream>& stream,
                                 const std::string& caller) {
  const MutexLock lock(mutex_);
  const auto refuse = [](const std::string& what) {
    return WithRetryDelay(
        MakeError(Reason::kQueueFull, what + "; end one of them, or try again later"),
        std::chrono::seconds(5));
  };
  absl::Status status = stopped_;
  if (status.ok() && streams_.size() >= streams_max_)
    status = refuse(absl::StrFormat("%d streams are open already", streams_max_));
  size_t& own = by_caller_[caller];
  if (status.ok() && own >= per_caller_max_)
    status = refuse(absl::StrFormat("'%s' has %d streams open already", caller, per_caller_max_));
  ++own;
  streams_[stream.get()] = {stream, caller};
  return status;
}

void StreamRegistry::Remove(const AnyStream* stream) {
  std::shared_ptr<AnyStream> last;  // Destroyed without the lock.
  const MutexLock lock(mutex_);
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  if (--by_caller_[found->second.second] == 0) by_caller_.erase(found->second.second);
  last = std::move(found->second.first);
  streams_.erase(found);
}

void StreamRegistry::PokeAll() {
  std::vector<std::shared_ptr<AnyStream>> streams;
  {
    const MutexLock lock(mutex_);
    for (const auto& [key, entry] : streams_) streams.push_back(entry.first);
  }
  for (const auto& stream : streams) stream->Poke();
}

void StreamRegistry::Stop(const absl::Status& status) {
  std::vector<std::shared_ptr<AnyStream>> streams;
  {
    const MutexLock lock(mutex_);
    stopped_ = status;
    for (const auto& [key, entry] : streams_) streams.push_back(entry.first);
  }
  for (const auto& stream : streams) stream->End(status);
}

size_t StreamRegistry::size() const {
  const MutexLock lock(mutex_);
  return streams_.size();
}

}  // namespace mentor::meta_learner
