// A running simulator: a program that this process has started and asks over a socket
// (environment_host.proto). Knows frames, deadlines and how a simulator ends; its owner knows the
// questions. A simulator that hangs, ends or breaks a rule is killed with its group; the error
// holds its last words. Only the thread that started it may use it: the kernel kills the simulator
// when that thread ends, however it ends.
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

// Longest message of either side: a state and a little more.
inline constexpr size_t kHostMessageBytesMax = (4 << 20) + 65536;

class SimulatorProcess {
 public:
  // Starts it without a shell, with few variables, and without rights to gain others.
  static absl::StatusOr<std::unique_ptr<SimulatorProcess>> Start(const SimulatorCommand& host);
  // Asks it to end, and kills it soon after.
  ~SimulatorProcess();
  SimulatorProcess(const SimulatorProcess&) = delete;
  SimulatorProcess& operator=(const SimulatorProcess&) = delete;

  // Returns the answer to a question; `descriptor` goes with the question. INVALID_ARGUMENT means
  // that the simulator refuses the question and continues. After any other error it has ended.
  absl::StatusOr<v1::HostReply> Ask(const v1::HostRequest& question, int descriptor = -1);
  // The same for a question whose answer is `done`.
  absl::Status Do(const v1::HostRequest& question, int descriptor = -1);
  // The same for a question in its wire form; errors use `name`.
  absl::Status Do(std::string_view frame, const char* name);

  // Ends it because of what it said. Returns the error, with its last words.
  absl::Status End(std::string_view why);

 private:
  using Clock = std::chrono::steady_clock;

  explicit SimulatorProcess(SimulatorCommand host) : host_(std::move(host)) {}
  // The bytes of the answer, valid until the next question.
  absl::StatusOr<std::string_view> Exchange(std::string_view frame, int descriptor,
                                            const char* name);
  // Deadlines move on by the time in which others had their turn.
  absl::Status Send(std::string_view frame, int descriptor, Clock::time_point* deadline);
  absl::StatusOr<std::string_view> Receive(Clock::time_point* deadline);
  // Waits until the socket has one of `events`, with pause points. Meanwhile it keeps the
  // simulator's output for people.
  absl::Status WaitFor(short events, Clock::time_point* deadline);
  void Listen();

  const SimulatorCommand host_;
  // It has answered its first question; before that it may still be starting.
  bool answered_ = false;
  int socket_ = -1, words_ = -1;           // socket_: our end; words_: its output.
  std::string last_words_, buffer_;        // buffer_: bytes of the answer.
  std::unique_ptr<ChildProcess> process_;  // Null: it has ended.
};

// A question in its wire form.
std::string HostFrame(const v1::HostRequest& question);

}  // namespace mentor::envs
