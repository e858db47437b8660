// A host for tests: a counter that behaves until the question that its argument names, and then
// does what its argument says: hostile_host FAULT QUESTION. "none none" never does.
//
// Its episodes have 20 steps; step t shows t and the first byte of the seed, and rewards t.
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mentor/v1/environment_host.pb.h"

namespace {

namespace v1 = mentor::v1;

constexpr uint32_t kSteps = 20;

std::string fault, at;
int host_socket = -1;
char* memory = nullptr;
v1::AttachMemory layout;

struct Counter {
  uint32_t step = 0, seed = 0;
};

v1::EnvironmentFacts Facts() {
  v1::EnvironmentFacts facts;
  facts.set_name("counter");
  facts.set_observation_size(2);
  facts.set_action_size(2);
  facts.set_episode_steps(kSteps);
  facts.set_action_low(-1);
  facts.set_action_high(1);
  facts.set_saves_state(fault != "forgetful");
  facts.set_independent_episodes(fault == "short" || fault == "equal");
  facts.set_has_success(true);
  if (fault == "no_size") facts.set_observation_size(0);
  if (fault == "huge_size") facts.set_observation_size(1u << 31);
  if (fault == "nan_bounds") facts.set_action_high(std::nan(""));
  if (fault == "no_steps") facts.set_episode_steps(0);
  if (fault == "bad_name") facts.set_name("a\033[2Jb");
  if (fault == "many_ranges") {
    for (int i = 0; i < 10000; ++i) facts.add_parameters();
  }
  return facts;
}

bool ReadAll(char* bytes, size_t size, int* descriptor) {
  while (size > 0) {
    iovec piece = {bytes, size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t got = recvmsg(host_socket, &message, 0);
    if (got <= 0) return false;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message))
      std::memcpy(descriptor, CMSG_DATA(header), sizeof(int));
    bytes += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

void SendRaw(const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t more = send(host_socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (more <= 0) std::exit(0);
    sent += static_cast<size_t>(more);
  }
}

std::string Framed(const std::string& body, uint32_t length) {
  std::string frame(sizeof(length), '\0');
  std::memcpy(frame.data(), &length, sizeof(length));
  return frame + body;
}

void Say(const v1::HostReply& reply) {
  const std::string body = reply.SerializeAsString();
  SendRaw(Framed(body, static_cast<uint32_t>(body.size())));
}

void Print(const std::string& text) {
  if (write(2, text.data(), text.size()) < 0) std::exit(9);
}

void ShowNumbers(const Counter& counter) {
  double observation[2] = {static_cast<double>(counter.step), static_cast<double>(counter.seed)};
  double reward = counter.step;
  uint8_t flags[3] = {counter.step == kSteps - 1, fault == "short" && counter.step == 7,
                      fault == "cut" && counter.step == 7};
  if (fault == "nan") observation[1] = std::nan("");
  if (fault == "infinite_reward") reward = INFINITY;
  if (fault == "bad_flag") flags[1] = 2;
  if (fault == "silent") return;
  std::memcpy(memory + layout.observation(), observation, sizeof(observation));
  std::memcpy(memory + layout.reward(), &reward, sizeof(reward));
  std::memcpy(memory + layout.flags(), flags, sizeof(flags));
}

// Misbehaves instead of the answer, or before it. True if the answer is already given.
bool Misbehave(const v1::HostReply& reply, int descriptor) {
  const std::string body = reply.SerializeAsString();
  const uint32_t length = static_cast<uint32_t>(body.size());
  if (fault == "hang") {
    Print("going to sleep");
    while (true) pause();
  }
  if (fault == "die") {
    Print("cannot go on\n");
    std::exit(3);
  }
  if (fault == "abort") std::abort();
  if (fault == "half") {
    SendRaw(Framed("", 100));
    std::exit(0);
  }
  if (fault == "drip") {  // A byte now and then: alive, and never done.
    SendRaw(Framed("", 1000));
    while (true) {
      SendRaw("x");
      poll(nullptr, 0, 50);
    }
  }
  if (fault == "long") SendRaw(Framed("", 1u << 30));
  if (fault == "twice") SendRaw(Framed(body, length) + Framed(body, length));
  if (fault == "garbage") SendRaw(Framed("\xff\xff\xff\xff\xff", 5));
  if (fault == "empty") SendRaw(Framed("", 0));
  if (fault == "other") {
    v1::HostReply other;
    if (reply.has_done()) {
      other.mutable_state()->set_state("x");
    } else {
      other.mutable_done();
    }
    Say(other);
  }
  if (fault == "no_state") {
    v1::HostReply other;
    other.mutable_state();
    Say(other);
  }
  if (fault == "big_state") {
    v1::HostReply other;
    other.mutable_state()->set_state(std::string(4 << 20, 'x'));
    Say(other);
  }
  if (fault == "fail" || fault == "refuse") {
    v1::HostReply other;
    other.mutable_failure()->set_message("not\nlike \033[31mthis");
    other.mutable_failure()->set_refused(fault == "refuse");
    Say(other);
  }
  if (fault == "flood") {
    for (int i = 0; i < 300; ++i) Print(std::string(100'000, 'f'));
    Print(" and the end");
    std::exit(4);
  }
  if (fault == "child") {
    if (const pid_t child = fork(); child == 0) {
      while (true) pause();
    } else {
      Print("child " + std::to_string(child) + " stays\n");
    }
    std::exit(5);
  }
  if (fault == "shrink") {
    Print(ftruncate(descriptor, 0) == 0 ? "shrunk" : "cannot shrink");
    std::exit(6);
  }
  return fault != "late" && fault != "noisy" && fault != "later";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  fault = argv[1];
  at = argv[2];
  host_socket = std::atoi(std::getenv("MENTOR_HOST_SOCKET"));
  Counter counter;
  int descriptor = -1;
  while (true) {
    uint32_t length = 0;
    if (!ReadAll(reinterpret_cast<char*>(&length), sizeof(length), &descriptor)) return 0;
    std::string bytes(length, '\0');
    if (!ReadAll(bytes.data(), length, &descriptor)) return 0;
    v1::HostRequest request;
    if (!request.ParseFromString(bytes)) return 7;
    v1::HostReply reply;
    reply.mutable_done();
    const char* name = "";
    switch (request.question_case()) {
      case v1::HostRequest::kOpen:
        name = "open";
        *reply.mutable_facts() = Facts();
        for (const v1::HostOption& option : request.open().options()) {
          if (option.name() == "steps")
            reply.mutable_facts()->set_episode_steps(
                static_cast<uint32_t>(std::atoi(option.value().c_str())));
        }
        break;
      case v1::HostRequest::kAttach:
        name = "attach";
        layout = request.attach();
        memory = static_cast<char*>(
            mmap(nullptr, layout.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0));
        break;
      case v1::HostRequest::kSetTask:
        name = "set_task";
        break;
      case v1::HostRequest::kReset:
        name = "reset";
        counter = {.step = 0, .seed = static_cast<uint8_t>(request.reset().seed()[0])};
        ShowNumbers(counter);
        break;
      case v1::HostRequest::kStep:
        name = "step";
        ++counter.step;
        ShowNumbers(counter);
        break;
      case v1::HostRequest::kSave:
        name = "save";
        reply.mutable_state()->set_state(&counter, sizeof(counter));
        break;
      case v1::HostRequest::kRestore:
        name = "restore";
        std::memcpy(&counter, request.restore().state().data(), sizeof(counter));
        ShowNumbers(counter);
        break;
      case v1::HostRequest::kClose:
        name = "close";
        if (at != name) return 0;
        break;
      default:
        return 8;
    }
    if (at == name && Misbehave(reply, descriptor)) continue;
    if (at == name && fault == "noisy" && counter.step == 1) {
      for (int i = 0; i < 300; ++i) Print(std::string(100'000, 'n'));
    }
    Say(reply);
    if (at == name && fault == "later") SendRaw(Framed("", 0));
    if (at == name && fault == "late") {
      // The memory changes for ever after the first answer.
      static std::atomic<bool> begun{false};
      if (!begun.exchange(true)) {
        std::thread([] {
          for (uint8_t i = 0;; ++i) {
            std::memset(memory + layout.observation(), i, layout.bytes() - layout.observation());
            poll(nullptr, 0, 1);
          }
        }).detach();
      }
    }
  }
}
