// A PostgreSQL server for one test, in a temporary folder and on a socket there, stopped at the
// end. Debian's package `postgresql` has the programs. The server refuses to run as root, so under
// root it runs as user nobody.
#pragma once

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <pwd.h>
#include <unistd.h>

#include "common/child_process.h"
#include "meta_learner/store/database.h"
#include "tests/temp_folder.h"

namespace mentor::testing {

class PostgresServer {
 public:
  // Null when the programs are not installed.
  static std::unique_ptr<PostgresServer> Start() {
    const std::filesystem::path programs = Programs();
    if (programs.empty()) return nullptr;
    std::unique_ptr<PostgresServer> server(new PostgresServer(programs));
    const auto made = ChildProcess::Start(
        {.command = server->AsUser({programs / "initdb", "-D", server->data(), "-A", "trust", "-U",
                                    "mentor", "--no-sync", "--no-instructions"})});
    if (!made.ok() || (*made)->Wait().value_or(1) != 0)
      throw std::runtime_error("initdb has failed");
    server->Restart();
    return server;
  }
  ~PostgresServer() { Stop(); }

  // Also when it runs: connections break.
  void Restart() {
    Stop();
    auto child = ChildProcess::Start(
        {.command = AsUser({programs_ / "postgres", "-D", data(), "-k", socket_folder(), "-c",
                            "fsync=off", "-c", "listen_addresses="})});
    if (!child.ok()) throw std::runtime_error(std::string(child.status().message()));
    child_ = *std::move(child);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!meta_learner::sql::OpenPostgres(Address("postgres"), true).ok()) {
      if (std::chrono::steady_clock::now() > deadline)
        throw std::runtime_error("PostgreSQL does not answer");
    }
  }
  // A fast shutdown: connections break, and the next start finds nothing of this server in its way.
  void Stop() {
    if (child_ == nullptr) return;
    std::ifstream file(folder_.path() / "data/postmaster.pid");
    if (pid_t id = 0; file >> id && kill(id, SIGINT) == 0) child_->Wait().status().IgnoreError();
    child_.reset();
  }

  std::string Address(const std::string& database) const {
    return "postgresql://mentor@/" + database + "?host=" + socket_folder();
  }
  // Makes a new empty database and returns its address.
  std::string NewDatabase() {
    const std::string name = "test" + std::to_string(++databases_);
    const auto server = meta_learner::sql::OpenPostgres(Address("postgres"), false);
    if (!server.ok() || !(*server)->Execute("CREATE DATABASE " + name).ok())
      throw std::runtime_error("cannot create a database");
    return Address(name);
  }

 private:
  explicit PostgresServer(std::filesystem::path programs) : programs_(std::move(programs)) {
    if (const passwd* user = User(); user != nullptr) {
      if (chown(folder_.path().c_str(), user->pw_uid, user->pw_gid) != 0)
        throw std::runtime_error("cannot give the folder to the server's user");
    }
  }

  static std::filesystem::path Programs() {
    std::filesystem::path newest;
    std::error_code error;
    for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
      if (std::filesystem::exists(version.path() / "bin/postgres")) newest = version.path() / "bin";
    }
    return newest;
  }
  // The user of the server, if we are root.
  static const passwd* User() {
    if (geteuid() != 0) return nullptr;
    const passwd* user = getpwnam("postgres");
    return user != nullptr ? user : getpwnam("nobody");
  }
  std::vector<std::string> AsUser(std::vector<std::string> command) const {
    const passwd* user = User();
    if (user == nullptr) return command;
    std::vector<std::string> all = {"setpriv", "--reuid=" + std::to_string(user->pw_uid),
                                    "--regid=" + std::to_string(user->pw_gid), "--clear-groups"};
    all.insert(all.end(), command.begin(), command.end());
    return all;
  }
  std::string data() const { return folder_.path() / "data"; }
  std::string socket_folder() const { return folder_.path(); }

  const std::filesystem::path programs_;
  const TempFolder folder_;
  std::unique_ptr<ChildProcess> child_;
  int databases_ = 0;
};

}  // namespace mentor::testing
