// Object stores for tests: one in memory, and a service that gives the answers of the test.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta_learner/objects/object_store.h"

namespace mentor::testing {

class MemoryObjects : public meta_learner::ObjectStore {
 public:
  const std::string& name() const override { return name_; }
  absl::Status Put(const std::string& key, std::string_view bytes, const Cancel*) override {
    if (away) return absl::UnavailableError("away");
    objects[key] = std::string(bytes);
    return absl::OkStatus();
  }
  absl::Status PutIfAbsent(const std::string& key, std::string_view bytes,
                           const Cancel* cancel) override {
    if (objects.contains(key)) return absl::AlreadyExistsError(key);
    return Put(key, bytes, cancel);
  }
  absl::StatusOr<std::string> Get(const std::string& key, uint64_t bytes_max,
                                  const Cancel*) override {
    if (away) return absl::UnavailableError("away");
    const auto found = objects.find(key);
    if (found == objects.end()) return absl::NotFoundError(key);
    if (found->second.size() > bytes_max) return absl::DataLossError(key);
    return found->second;
  }
  absl::StatusOr<std::vector<meta_learner::ObjectInfo>> List(const std::string& prefix,
                                                             const Cancel*) override {
    if (away) return absl::UnavailableError("away");
    std::vector<meta_learner::ObjectInfo> list;
    for (const auto& [key, bytes] : objects) {
      if (key.starts_with(prefix))
        list.push_back({.key = key, .size_bytes = bytes.size(), .age_s = age_s});
    }
    return list;
  }
  absl::StatusOr<std::vector<std::string>> ListFolders(const std::string& prefix,
                                                       const Cancel*) override {
    std::vector<std::string> names;
    for (const auto& [key, bytes] : objects) {
      const size_t slash = key.find('/', prefix.size());
      if (!key.starts_with(prefix) || slash == key.npos) continue;
      const std::string folder = key.substr(prefix.size(), slash - prefix.size());
      if (names.empty() || names.back() != folder) names.push_back(folder);
    }
    return names;
  }
  absl::Status Delete(const std::string& key, const Cancel*) override {
    if (away) return absl::UnavailableError("away");
    objects.erase(key);
    return absl::OkStatus();
  }

  std::map<std::string, std::string> objects;
  std::atomic<bool> away = false;
  int64_t age_s = 0;

 private:
  const std::string name_ = "memory";
};

// Gives each connection the next answer and closes it; the last answer repeats. An empty answer
// keeps the connection open until the end.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        listen(listener_, 16) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0)
      throw std::runtime_error("no port");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    for (const int open : kept_) close(open);
  }

  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int requests() const { return requests_; }

 private:
  void Serve() {
    while (true) {
      const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      const size_t number = static_cast<size_t>(requests_++);
      const std::string& answer = answers_[std::min(number, answers_.size() - 1)];
      std::string request(1 << 16, '\0');
      if (recv(connection, request.data(), request.size(), 0) < 0 || answer.empty()) {
        kept_.push_back(connection);
        continue;
      }
      if (send(connection, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) requests_ += 1000;
      shutdown(connection, SHUT_WR);
      while (recv(connection, request.data(), request.size(), 0) > 0) {
      }
      close(connection);
    }
  }

  const std::vector<std::string> answers_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> requests_ = 0;
  std::vector<int> kept_;
  std::thread thread_;
};

inline std::string HttpAnswer(const std::string& status, const std::string& body,
                              const std::string& headers = "") {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         headers + "Connection: close\r\n\r\n" + body;
}

}  // namespace mentor::testing
