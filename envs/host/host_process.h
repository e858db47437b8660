// A host that runs: a program that this process has started and asks over a socket
// (environment_host.proto). Knows frames, deadlines and how a host ends; what is asked is its
// owner's business. A host that hangs, ends or breaks a rule is killed with its group, and its last
// words are in the error. One thread, the one that has started it: the kernel kills the host when
// that thread ends, however it ends.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/child_process.h"
#include "envs/host/host_list.h"
#include "mentor/v1/environment_host.pb.h"

namespace mentor::envs {

// Longest message of either side: a state and some more.
inline constexpr size_t kHostMessageBytesMax = (4 << 20) + 65536;

class HostProcess {
 public:
  // Without a shell, with few variables, and with no rights to gain others.
  static absl::StatusOr<std::unique_ptr<HostProcess>> Start(const HostCommand& host);
  // Asks it to end, and kills it soon.
  ~HostProcess();
  HostProcess(const HostProcess&) = delete;
  HostProcess& operator=(const HostProcess&) = delete;

  // The answer to a question. After an error that is not INVALID_ARGUMENT, which says that the host
  // refuses the question and goes on, the host has ended. `descriptor` goes with the question.
  absl::StatusOr<v1::HostReply> Ask(const v1::HostRequest& question, int descriptor = -1);
  // The same for a question whose answer is `done`.
  absl::Status Do(const v1::HostRequest& question, int descriptor = -1);
  // The same for a question that is ready for the wire; `name` is for errors.
  absl::Status Do(std::string_view frame, const char* name);

  // Ends it, because of what it has said. Returns the error, with its last words.
  absl::Status End(std::string_view why);

 private:
  using Clock = std::chrono::steady_clock;

  explicit HostProcess(HostCommand host) : host_(std::move(host)) {}
  // The bytes of the answer, valid until the next question.
  absl::StatusOr<std::string_view> Exchange(std::string_view frame, int descriptor,
                                            const char* name);
  // Deadlines move on by the time in which others had their turn.
  absl::Status Send(std::string_view frame, int descriptor, Clock::time_point* deadline);
  absl::StatusOr<std::string_view> Receive(Clock::time_point* deadline);
  // Until the socket has one of `events`, with pause points; keeps what the host says to people
  // meanwhile.
  absl::Status WaitFor(short events, Clock::time_point* deadline);
  void Listen();

  const HostCommand host_;
  bool answered_ = false;            // Its first question; before that it may still be starting.
  int socket_ = -1, words_ = -1;     // Ours; words_: what it prints.
  std::string last_words_, buffer_;  // buffer_: of the answer.
  std::unique_ptr<ChildProcess> process_;  // Null: it has ended.
};

// A question as it goes over the wire.
std::string HostFrame(const v1::HostRequest& question);

}  // namespace mentor::envs
