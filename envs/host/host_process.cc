#include "envs/host/host_process.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <google/protobuf/descriptor.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/check.h"
#include "common/pause_point.h"
#include "common/printable.h"
#include "common/status.h"

namespace mentor::envs {
namespace {

// message := length:u32 bytes, little-endian
constexpr size_t kFrameHeaderBytes = 4;
// Only the end of a simulator's output is kept.
constexpr size_t kLastWordsBytesMax = 2000;
// Waits for a simulator that was asked to end, and for the last words of one that ended.
constexpr std::chrono::milliseconds kFarewell{2000}, kLastWordsWait{200};
// Time between two pause points while waiting for an answer.
constexpr std::chrono::milliseconds kPauseEvery{20};

// Variables that a program needs to find its files. None holds a secret of the actor.
std::vector<std::string> VariablesOfSimulator() {
  std::vector<std::string> variables = {
      "MENTOR_HOST_SOCKET=3", "LC_ALL=C.UTF-8",
      // One worker thread has one simulator: more threads would compete, and change the order of
      // sums.
      "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1",
      // Otherwise Python's sets have another order in each process.
      "PYTHONHASHSEED=0", "PYTHONUNBUFFERED=1"};
  for (const char* name :
       {"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"}) {
    if (const char* value = std::getenv(name)) variables.push_back(absl::StrCat(name, "=", value));
  }
  return variables;
}

// The name of the question or answer that is set.
std::string NameOfPart(const google::protobuf::Message& message) {
  const auto* part = message.GetReflection()->GetOneofFieldDescriptor(
      message, message.GetDescriptor()->oneof_decl(0));
  return part == nullptr ? "nothing" : part->name();
}

ssize_t SendWithDescriptor(int socket, std::string_view bytes, int descriptor) {
  iovec piece = {const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

absl::Status HasEnded() {
  return absl::UnavailableError("ended");
}

}  // namespace

std::string HostFrame(const v1::HostRequest& question) {
  std::string frame(kFrameHeaderBytes, '\0');
  question.AppendToString(&frame);
  const uint32_t length = static_cast<uint32_t>(frame.size() - kFrameHeaderBytes);
  std::memcpy(frame.data(), &length, sizeof(length));
  return frame;
}

absl::StatusOr<std::unique_ptr<SimulatorProcess>> SimulatorProcess::Start(
    const SimulatorCommand& host) {
  std::unique_ptr<SimulatorProcess> started(new SimulatorProcess(host));
  int ends[2], pipe[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("simulator ", host.name, ": no socket: ", std::strerror(errno)));
  }
  started->socket_ = ends[0];
  if (pipe2(pipe, O_CLOEXEC) != 0) {
    close(ends[1]);
    return absl::ResourceExhaustedError(
        absl::StrCat("simulator ", host.name, ": no pipe: ", std::strerror(errno)));
  }
  started->words_ = pipe[0];
  fcntl(pipe[0], F_SETFL, O_NONBLOCK);
  // setpriv becomes the program itself and keeps its settings.
  std::vector<std::string> command = {"setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"};
  command.insert(command.end(), host.command.begin(), host.command.end());
  auto process = ChildProcess::Start({.command = std::move(command),
                                      .output = pipe[1],
                                      .group = true,
                                      .socket = ends[1],
                                      .variables = VariablesOfSimulator()});
  close(ends[1]);
  close(pipe[1]);
  if (!process.ok())
    return WithPrefix(absl::StrCat("simulator ", host.name, ": "), process.status());
  started->process_ = *std::move(process);
  return started;
}

SimulatorProcess::~SimulatorProcess() {
  if (process_ != nullptr && answered_) {
    v1::HostRequest farewell;
    farewell.mutable_close();
    const TurnScope unheld(nullptr);
    Clock::time_point deadline = Clock::now() + kFarewell;
    // The end of the stream is the answer.
    if (Send(HostFrame(farewell), -1, &deadline).ok()) Receive(&deadline).IgnoreError();
  }
  process_.reset();
  if (socket_ >= 0) close(socket_);
  if (words_ >= 0) close(words_);
}

absl::StatusOr<v1::HostReply> SimulatorProcess::Ask(const v1::HostRequest& question,
                                                    int descriptor) {
  const std::string name = NameOfPart(question);
  MENTOR_ASSIGN_OR_RETURN(const std::string_view bytes,
                          Exchange(HostFrame(question), descriptor, name.c_str()));
  v1::HostReply reply;
  if (!reply.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      reply.answer_case() == v1::HostReply::ANSWER_NOT_SET) {
    return End(
        absl::StrCat("answered '", name, "' with ", bytes.size(), " bytes that are no answer"));
  }
  if (!reply.has_failure()) return reply;
  const std::string why =
      Printable(std::string_view(reply.failure().message()).substr(0, kLastWordsBytesMax));
  if (reply.failure().refused()) {
    return absl::InvalidArgumentError(
        absl::StrCat("simulator ", host_.name, " refuses '", name, "': ", why));
  }
  return End(absl::StrCat("failed at '", name, "': ", why));
}

absl::Status SimulatorProcess::Do(const v1::HostRequest& question, int descriptor) {
  MENTOR_ASSIGN_OR_RETURN(const v1::HostReply reply, Ask(question, descriptor));
  if (reply.has_done()) return absl::OkStatus();
  return End(absl::StrCat("answered '", NameOfPart(question), "' with '", NameOfPart(reply),
                          "' instead of 'done'"));
}

absl::Status SimulatorProcess::Do(std::string_view frame, const char* name) {
  constexpr std::string_view kDone("\x12\x00", 2);  // HostReply{done{}}
  MENTOR_ASSIGN_OR_RETURN(const std::string_view bytes, Exchange(frame, -1, name));
  if (bytes == kDone) return absl::OkStatus();
  v1::HostReply reply;
  if (!reply.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return End(
        absl::StrCat("answered '", name, "' with ", bytes.size(), " bytes that are no answer"));
  }
  if (reply.has_done()) return absl::OkStatus();
  if (reply.has_failure()) {
    return End(absl::StrCat(
        "failed at '", name, "': ",
        Printable(std::string_view(reply.failure().message()).substr(0, kLastWordsBytesMax))));
  }
  return End(
      absl::StrCat("answered '", name, "' with '", NameOfPart(reply), "' instead of 'done'"));
}

absl::Status SimulatorProcess::End(std::string_view why) {
  std::string end;
  if (process_ != nullptr) {
    // A simulator that closed the socket has nothing more to do.
    const auto status = process_->Wait(kLastWordsWait);
    process_.reset();
    if (status.ok() && *status != 128 + SIGKILL) end = absl::StrCat(" (exit status ", *status, ")");
  }
  // Reads the rest of the pipe, which processes that escaped the group may keep open.
  for (int i = 0; i < 64 && words_ >= 0; ++i) Listen();
  const std::string words = Printable(last_words_);
  std::string said =
      words.empty() ? "; it said nothing" : absl::StrCat("; its last words: ", words);
  // The package cannot say itself that it is not there.
  if (absl::StrContains(words, "No module named mentor_env"))
    absl::StrAppend(&said,
                    "; install it for this python3: pip install './python[env]' in a clone "
                    "of Mentor, or the wheel of mentor_client with [env]");
  return absl::InternalError(
      absl::StrCat("simulator ", host_.name, " ", std::string(why), end, said));
}

absl::StatusOr<std::string_view> SimulatorProcess::Exchange(std::string_view frame, int descriptor,
                                                            const char* name) {
  if (process_ == nullptr) return End("is asked after its end");
  const auto limit = answered_ ? host_.answer : host_.start;
  Clock::time_point deadline = Clock::now() + limit;
  char unasked;
  if (recv(socket_, &unasked, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
    return End(absl::StrCat("spoke without being asked, before '", name, "'"));
  absl::Status status = Send(frame, descriptor, &deadline);
  absl::StatusOr<std::string_view> reply;
  if (status.ok()) {
    reply = Receive(&deadline);
    status = reply.status();
  }
  if (status.ok()) {
    answered_ = true;
    return reply;
  }
  if (absl::IsDeadlineExceeded(status)) {
    return End(absl::StrFormat("gave no answer to '%s' within %g s", name,
                               static_cast<double>(limit.count()) / 1000));
  }
  return End(absl::StrCat(status.message(), " at '", name, "'"));
}

absl::Status SimulatorProcess::Send(std::string_view frame, int descriptor,
                                    Clock::time_point* deadline) {
  if (frame.size() > kFrameHeaderBytes + kHostMessageBytesMax)
    return absl::InvalidArgumentError(absl::StrCat("was to get ", frame.size(), " bytes"));
  while (!frame.empty()) {
    const ssize_t sent = SendWithDescriptor(socket_, frame, descriptor);
    if (sent > 0) {
      frame.remove_prefix(static_cast<size_t>(sent));
      descriptor = -1;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      MENTOR_RETURN_IF_ERROR(WaitFor(POLLOUT, deadline));
    } else if (errno != EINTR) {
      return HasEnded();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> SimulatorProcess::Receive(Clock::time_point* deadline) {
  if (buffer_.empty()) buffer_.resize(4096);
  size_t have = 0;
  while (true) {
    MENTOR_RETURN_IF_ERROR(WaitFor(POLLIN, deadline));
    const ssize_t got = recv(socket_, buffer_.data() + have, buffer_.size() - have, MSG_DONTWAIT);
    if (got == 0) return HasEnded();
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK) continue;
      return HasEnded();
    }
    have += static_cast<size_t>(got);
    if (have < kFrameHeaderBytes) continue;
    uint32_t length;
    std::memcpy(&length, buffer_.data(), sizeof(length));
    if (length > kHostMessageBytesMax) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "announced %d bytes, of which at most %d are allowed,", length, kHostMessageBytesMax));
    }
    const size_t whole = kFrameHeaderBytes + length;
    if (have > whole) return absl::InvalidArgumentError("said more than one answer");
    if (have == whole) return std::string_view(buffer_).substr(kFrameHeaderBytes, length);
    // One more byte than expected, so that excess shows.
    if (buffer_.size() <= whole) buffer_.resize(whole + 1);
  }
}

absl::Status SimulatorProcess::WaitFor(short events, Clock::time_point* deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now());
    if (left.count() <= 0) return absl::DeadlineExceededError("");
    // The simulator's time stands still while others have their turn.
    const Clock::time_point before = Clock::now();
    MENTOR_RETURN_IF_ERROR(PausePoint());
    *deadline += Clock::now() - before;
    // poll ignores negative descriptors.
    pollfd waits[3] = {{socket_, events, 0}, {words_, POLLIN, 0}, {process_->handle(), POLLIN, 0}};
    if (poll(waits, std::size(waits), static_cast<int>(std::min(left, kPauseEvery).count())) < 0) {
      if (errno == EINTR) continue;
      return absl::InternalError(absl::StrCat("cannot be waited for: ", std::strerror(errno)));
    }
    if (waits[1].revents != 0) Listen();
    if (waits[0].revents != 0) return absl::OkStatus();
    // Its children may still hold the other end.
    if (waits[2].revents != 0) return HasEnded();
  }
}

void SimulatorProcess::Listen() {
  char text[16384];
  const ssize_t size = read(words_, text, sizeof(text));
  if (size > 0) {
    last_words_.append(text, static_cast<size_t>(size));
    if (last_words_.size() > kLastWordsBytesMax)
      last_words_.erase(0, last_words_.size() - kLastWordsBytesMax);
  } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
    close(words_);
    words_ = -1;
  }
}

}  // namespace mentor::envs
