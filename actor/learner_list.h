// The learners of an actor as its flags name them, "A:50051,B:50051" or a name that stands for many
// addresses, and the one in use (learner_choice.h). Names are looked up again for attempts and when
// others are asked for work. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <grpcpp/channel.h>

#include "actor/learner_choice.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/rpc/channel.h"

namespace mentor::actor {

class LearnerList {
 public:
  // `options.address` is the list. INVALID_ARGUMENT names what is wrong with it, as for one
  // address.
  static absl::StatusOr<std::unique_ptr<LearnerList>> Make(const std::string& actor_uid,
                                                           const rpc::ChannelOptions& options,
                                                           Metrics* metrics);

  // How long to wait until the next attempt is due; zero: now, on channel(). Blocks as long as the
  // system's resolver does.
  std::chrono::milliseconds Next();
  std::shared_ptr<grpc::Channel> channel();
  // It has welcomed this actor; its address.
  std::string Connected();
  // The attempt or the stream has ended like this.
  void Ended(const absl::Status& status);
  // Asks others whether units wait there. True: the next attempt is for one where they do, so it is
  // time to leave. Blocks for some seconds at most, but for the resolver.
  bool Look(bool idle, const std::stop_token& stop);

 private:
  struct Instruments;
  // Why an actor went to another learner.
  enum class Move { kNone, kIdle, kHome };

  LearnerList(const std::string& actor_uid, std::vector<std::string> names,
              std::unique_ptr<rpc::ChannelSource> source, Metrics* metrics);
  // Looks all names up, unless that was done so lately.
  void Resolve(std::chrono::milliseconds at_most_every);
  // To one of the addresses that Resolve has found.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> To(const std::string& address);
  // Units that wait there; 0 when it does not say.
  uint64_t Ask(const std::string& address, const std::stop_token& stop);

  // Fixed after construction.
  const std::vector<std::string> names_;
  const std::unique_ptr<rpc::ChannelSource> source_;
  const std::shared_ptr<Instruments> instruments_;

  // Guarded by mutex_.
  Mutex mutex_;
  LearnerChoice choice_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<std::string>> found_ ABSL_GUARDED_BY(mutex_);  // By name.
  std::map<std::string, std::string> name_of_ ABSL_GUARDED_BY(mutex_);             // By address.
  LearnerChoice::Clock::time_point resolved_at_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<grpc::Channel> channel_ ABSL_GUARDED_BY(mutex_);
  std::string connected_ ABSL_GUARDED_BY(mutex_);  // The last one that it was connected to.
  Move moving_ ABSL_GUARDED_BY(mutex_) = Move::kNone;
  int unresolved_ ABSL_GUARDED_BY(mutex_) = 0;  // Attempts for which there was no address.
  rpc::Jitter jitter_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::actor
