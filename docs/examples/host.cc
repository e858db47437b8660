// A simulator in C++: a block slides on a line to a place, pushed by a motor. The page
// docs/own_environments.md says how an actor starts it. It needs environment_host.proto alone.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mentor/v1/environment_host.pb.h"

namespace {

namespace v1 = mentor::v1;

constexpr int kEpisodeSteps = 40;

struct Block {
  double place = 0, position = 0, velocity = 0;
};

v1::EnvironmentFacts FactsOfBlock() {
  v1::EnvironmentFacts facts;
  facts.set_name("block, the example of a simulator in C++");
  facts.set_observation_size(3);
  facts.set_action_size(1);
  facts.set_episode_steps(kEpisodeSteps);
  facts.set_action_low(-1);
  facts.set_action_high(1);
  facts.set_independent_episodes(true);  // All episodes have 40 steps.
  facts.set_saves_state(true);
  facts.set_has_success(true);
  v1::TaskRange* place = facts.add_parameters();
  place->set_low(-1);
  place->set_high(1);
  facts.set_digest("1");  // To be raised when the arithmetic below changes.
  return facts;
}

// A number in [-0.1, 0.1] from a seed of 16 bytes, by SplitMix64: all chance of an episode.
double Start(const std::string& seed) {
  uint64_t halves[2];
  std::memcpy(halves, seed.data(), sizeof(halves));
  uint64_t x = halves[0] ^ (halves[1] * 0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  x ^= x >> 31;
  return 0.2 * static_cast<double>(x >> 11) / static_cast<double>(1ull << 53) - 0.1;
}

// `size` bytes, and a descriptor when one comes with them; false: the actor is gone.
bool ReceiveAll(int socket, char* bytes, size_t size, int* descriptor) {
  while (size > 0) {
    iovec piece = {bytes, size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t got = recvmsg(socket, &message, 0);
    if (got <= 0) return false;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message))
      std::memcpy(descriptor, CMSG_DATA(header), sizeof(int));
    bytes += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

}  // namespace

int main() {
  const char* number = std::getenv("MENTOR_HOST_SOCKET");
  if (number == nullptr) return 2;
  const int socket = std::atoi(number);
  Block block;
  int descriptor = -1;
  char* memory = nullptr;
  v1::AttachMemory layout;
  while (true) {
    uint32_t length = 0;
    if (!ReceiveAll(socket, reinterpret_cast<char*>(&length), sizeof(length), &descriptor))
      return 0;
    std::string bytes(length, '\0');
    if (!ReceiveAll(socket, bytes.data(), length, &descriptor)) return 0;
    v1::HostRequest request;
    if (!request.ParseFromString(bytes)) return 3;
    v1::HostReply reply;
    reply.mutable_done();
    bool shows = false;
    switch (request.question_case()) {
      case v1::HostRequest::kOpen:
        *reply.mutable_facts() = FactsOfBlock();
        break;
      case v1::HostRequest::kAttach:
        layout = request.attach();
        memory = static_cast<char*>(
            mmap(nullptr, layout.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0));
        if (memory == MAP_FAILED) return 4;
        break;
      case v1::HostRequest::kSetTask:
        block.place = request.set_task().parameters(0);
        break;
      case v1::HostRequest::kReset:
        block.position = Start(request.reset().seed());
        block.velocity = 0;
        shows = true;
        break;
      case v1::HostRequest::kStep: {
        float action = 0;
        std::memcpy(&action, memory + layout.action(), sizeof(action));
        block.velocity = 0.8 * block.velocity + 0.1 * static_cast<double>(action);
        block.position += block.velocity;
        const double distance = std::abs(block.place - block.position);
        const double reward = 1 / (1 + 10 * distance);
        const uint8_t flags[3] = {distance < 0.05 && std::abs(block.velocity) < 0.05, 0, 0};
        std::memcpy(memory + layout.reward(), &reward, sizeof(reward));
        std::memcpy(memory + layout.flags(), flags, sizeof(flags));
        shows = true;
        break;
      }
      case v1::HostRequest::kSave:
        reply.mutable_state()->set_state(&block, sizeof(block));
        break;
      case v1::HostRequest::kRestore:
        if (request.restore().state().size() != sizeof(block)) return 5;
        std::memcpy(&block, request.restore().state().data(), sizeof(block));
        shows = true;
        break;
      default:  // close
        return 0;
    }
    if (shows) {
      const double observation[3] = {block.position, block.velocity, block.place - block.position};
      std::memcpy(memory + layout.observation(), observation, sizeof(observation));
    }
    std::string answer(sizeof(uint32_t), '\0');
    reply.AppendToString(&answer);
    length = static_cast<uint32_t>(answer.size() - sizeof(uint32_t));
    std::memcpy(answer.data(), &length, sizeof(length));
    for (size_t sent = 0; sent < answer.size();) {
      const ssize_t more = send(socket, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
      if (more <= 0) return 0;
      sent += static_cast<size_t>(more);
    }
  }
}
