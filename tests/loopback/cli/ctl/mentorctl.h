// The real mentorctl against a server of this process: its output, its exit code, its signals.
#pragma once

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "common/rpc/server.h"
#include "tests/loopback/cli/ctl/fake_service.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::testing {

struct Outcome {
  int code = -1;
  std::string out, err;
};

// A running program. Wait returns its exit code and output. Killed with the object.
class Program {
 public:
  // `environment`: NAME=VALUE. Other variables of ours that begin with MENTOR_ or XDG_ are not
  // passed on.
  Program(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
          const std::vector<std::string>& environment = {}, const std::string& input = "")
      : out_(folder / "out"), err_(folder / "err") {
    const std::string binary = BuildPath("bin/mentorctl");
    if (access(binary.c_str(), X_OK) != 0) throw std::runtime_error(binary + " is not built");
    const std::filesystem::path in = folder / "in";
    // Output of an earlier program does not count.
    for (const auto& path : {out_, err_}) std::filesystem::remove(path);
    std::ofstream(in) << input;
    std::vector<std::string> variables = {"HOME=" + folder.string(), "TZ=UTC",
                                          std::string("PATH=") + std::getenv("PATH")};
    // So that tests/mutants/mutants.py reaches the program.
    for (const char* name : {"MENTOR_MUTANT", "MENTOR_MUTANTS_REACHED"}) {
      if (const char* value = std::getenv(name))
        variables.push_back(std::string(name) + "=" + value);
    }
    variables.insert(variables.end(), environment.begin(), environment.end());
    std::vector<char*> argv = {const_cast<char*>(binary.c_str())};
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (const auto& variable : variables) envp.push_back(const_cast<char*>(variable.c_str()));
    envp.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    dup2(open(in.c_str(), O_RDONLY), STDIN_FILENO);
    dup2(open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    execve(binary.c_str(), argv.data(), envp.data());
    _exit(127);
  }
  ~Program() {
    if (pid_ > 0) kill(pid_, SIGKILL), waitpid(pid_, nullptr, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void Signal(int signal) { kill(pid_, signal); }
  Outcome Wait() {
    int status = 0;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
            .out = Read(out_),
            .err = Read(err_)};
  }
  // Waits until the program has written a text to its standard output or error.
  bool WaitForText(const std::string& text) {
    return WaitFor([&] { return Contains(Read(out_), text) || Contains(Read(err_), text); });
  }
  static bool WaitFor(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      if (condition()) return true;
      std::this_thread::yield();
    }
    return false;
  }

 private:
  static std::string Read(const std::filesystem::path& path) {
    const auto text = ReadFile(path, 1 << 24);
    return text.ok() ? *text : "";
  }

  const std::filesystem::path out_, err_;
  pid_t pid_ = 0;
};

// A fake service behind a real server, and a spec to submit.
class Fixture {
 public:
  Fixture() {
    spec_ = Write("spec.txtpb",
                  "display_name: 'a title' benchmark { name: 'point_reach' } "
                  "rule { outer_updates: 4 }");
    Start("127.0.0.1:0");
  }
  ~Fixture() { Stop(); }

  void Start(const std::string& address) {
    service_.Stop(false);
    auto server = rpc::Server::Start({.address = address}, {&service_});
    INFO(server.status().ToString());
    REQUIRE(server.ok());
    server_ = *std::move(server);
    address_ = server_->address();
  }
  void Stop() {
    if (server_ == nullptr) return;
    service_.Stop(true);
    server_->Shutdown(std::chrono::seconds(5));
    server_.reset();
  }

  std::string Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = folder_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path.string();
  }
  std::unique_ptr<Program> Begin(std::vector<std::string> arguments,
                                 const std::string& input = "") {
    arguments.insert(arguments.begin(), {"--server", address_});
    return std::make_unique<Program>(folder_.path(), arguments, environment, input);
  }
  Outcome Run(const std::vector<std::string>& arguments, const std::string& input = "") {
    return Begin(arguments, input)->Wait();
  }
  // Without --server.
  Outcome RunPlain(const std::vector<std::string>& arguments) {
    return Program(folder_.path(), arguments, environment).Wait();
  }
  void Make(const std::string& id) {
    const Outcome made = Run({"create", "-f", spec_, "--id", id});
    INFO(made.err);
    REQUIRE(made.code == 0);
  }

  const std::filesystem::path& folder() const { return folder_.path(); }
  const std::string& spec() const { return spec_; }
  const std::string& address() const { return address_; }
  FakeService& service() { return service_; }

  std::vector<std::string> environment;

 private:
  const TempFolder folder_;
  std::string spec_, address_;
  FakeService service_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace mentor::testing
