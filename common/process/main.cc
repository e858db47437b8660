// mentor-probe: asks a process's admin port for its health. For containers without other tools.
#include <chrono>
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <grpcpp/channel.h>

#include "common/lifecycle.h"
#include "common/process/command_line.h"
#include "common/rpc/address.h"
#include "common/rpc/health.h"
#include "common/rpc/proxy.h"

namespace mentor {
namespace {

int Main(int argc, char** argv) {
  CLI::App app(
      "Asks the admin port of a Mentor process for its health. Exit codes: 0 serving, 1 not "
      "serving or no answer, 2 usage.");
  app.footer("Example:\n  mentor-probe --address 127.0.0.1:8081 --service readiness");
  std::string address, service = "readiness";
  double timeout_s = 2;
  app.add_option("--address", address, "HOST:PORT of the admin port")
      ->transform(Addresses(rpc::AddressOf::kPeer))
      ->required();
  app.add_option("--service", service,
                 "liveness, readiness, available or the name of a service, for example "
                 "mentor.v1.ExperimentService")
      ->capture_default_str();
  app.add_option("--timeout", timeout_s, "Seconds to wait for the answer")
      ->check(NumberIn(0.01, 600))
      ->capture_default_str();
  AddVersionFlag(&app);
  if (const auto code = ParseCommandLine(&app, argc, argv)) return *code;
  const auto channel = rpc::ConnectTo(address, grpc::InsecureChannelCredentials());
  const auto health = rpc::AskHealth(
      channel, service, std::chrono::milliseconds(static_cast<int64_t>(timeout_s * 1000)));
  if (!health.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(health.status().message()).c_str());
    return 1;
  }
  std::printf("%s\n", *health == rpc::Health::kServing ? "SERVING" : "NOT_SERVING");
  return *health == rpc::Health::kServing ? 0 : 1;
}

}  // namespace
}  // namespace mentor

int main(int argc, char** argv) {
  mentor::ExplainLimits();
  return mentor::Main(argc, argv);
}
