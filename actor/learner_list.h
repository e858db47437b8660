// The learners of an actor as in its flags, and the one in use (learner_choice.h). The flag is
// "A:50051,B:50051", or a name with many addresses. Names are resolved again for attempts and
// before other learners are asked for work. Thread-safe.
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

// Learners that a flag may name.
inline constexpr size_t kNamedMax = 1024;

class LearnerList {
 public:
  // `options.address` is the list. INVALID_ARGUMENT says what is wrong with it, as for one address.
  static absl::StatusOr<std::unique_ptr<LearnerList>> Make(const std::string& actor_uid,
                                                           const rpc::ChannelOptions& options,
                                                           Metrics* metrics);

  // Returns the time until the next attempt; zero: now, on channel(). Blocks as long as the
  // system's resolver does.
  std::chrono::milliseconds Next();
  std::shared_ptr<grpc::Channel> channel();
  // The address of that channel, for people.
  std::string address();
  // Reports that the learner has welcomed this actor; returns its address.
  std::string Connected();
  // Reports how the attempt or the stream ended.
  void Ended(const absl::Status& status);
  // Asks other learners whether units wait there. If so, returns true and makes that learner the
  // next to try; the caller should then leave. Blocks for some seconds at most, apart from the
  // resolver.
  bool Look(bool idle, const std::stop_token& stop);

 private:
  struct Instruments;
  // Why the actor moves to another learner.
  enum class Move { kNone, kIdle, kHome };

  LearnerList(const std::string& actor_uid, std::vector<std::string> names,
              std::unique_ptr<rpc::ChannelSource> source, Metrics* metrics);
  // Resolves all names, unless they were resolved recently.
  void Resolve(std::chrono::milliseconds at_most_every);
  // Returns a channel to one of the addresses that Resolve found.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> To(const std::string& address);
  // Returns the number of units that wait there; 0 without an answer.
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
  std::string connected_ ABSL_GUARDED_BY(mutex_);  // Address of the last connection.
  Move moving_ ABSL_GUARDED_BY(mutex_) = Move::kNone;
  int unresolved_ ABSL_GUARDED_BY(mutex_) = 0;  // Attempts in a row without any address.
  rpc::Jitter jitter_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::actor
