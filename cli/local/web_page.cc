#include "cli/local/web_page.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "cli/report/python.h"
#include "common/check.h"
#include "common/printable.h"
#include "common/rpc/address.h"
#include "common/rpc/credentials.h"

extern char** environ;

namespace mentor {
namespace {

constexpr char kWebProgram[] = "mentor-web";
constexpr char kInstall[] = "pip install 'mentor_client[web]'";
constexpr std::string_view kListening = "listening on ";
// NiceGUI loads for a second or two, and longer where the disk is cold.
constexpr std::chrono::seconds kStart{60};

// Variables of the page. Credentials in this environment belong to other services. Reports on the
// page are made by this program.
std::vector<std::string> Variables() {
  std::vector<std::string> variables = {
      "LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1",
      absl::StrCat("PATH=", absl::StrJoin(report::ProgramFolders(), ":"))};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    bool ours = false;
    for (const std::string_view prefix :
         {"PATH=", "LC_ALL=", "MENTOR_TLS_", "MENTOR_TOKEN", "MENTOR_ALLOW_INSECURE="})
      ours |= variable.starts_with(prefix);
    if (!ours) variables.emplace_back(variable);
  }
  return variables;
}

}  // namespace

absl::Status CheckPage(std::string_view flag, const std::string& listen) {
  const auto address = rpc::ParseAddress(listen, rpc::AddressOf::kServer);
  if (!address.ok())
    return absl::InvalidArgumentError(absl::StrFormat("%s: %s", flag, address.status().message()));
  if (!rpc::IsLoopback(*address)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %s is beyond this machine, and the page has no sign-in: give "
                        "127.0.0.1 and a port; from another machine use ssh -L",
                        flag, listen));
  }
  if (!report::FindProgram(kWebProgram).empty()) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrFormat("the page needs %s, which is not on the PATH: %s", kWebProgram, kInstall));
}

absl::StatusOr<std::unique_ptr<WebPage>> WebPage::Start(const std::string& server,
                                                        const std::string& listen) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return absl::ResourceExhaustedError(absl::StrCat("no pipe: ", std::strerror(errno)));
  std::unique_ptr<WebPage> page(new WebPage);
  page->output_ = ends[0];
  auto process = ChildProcess::Start(
      {.command = report::SideCommand(report::FindProgram(kWebProgram),
                                      {"--server=" + server, "--listen=" + listen, "--read_only"}),
       .output = ends[1],
       .group = true,
       .variables = Variables()});
  close(ends[1]);
  MENTOR_RETURN_IF_ERROR(process.status());
  page->process_ = *std::move(process);
  MENTOR_RETURN_IF_ERROR(page->WaitForAddress());
  page->echo_ = std::thread([output = page->output_] {
    char bytes[4096];
    ssize_t count;
    while ((count = read(output, bytes, sizeof(bytes))) > 0 || (count < 0 && errno == EINTR)) {
      if (count > 0) std::fwrite(bytes, 1, static_cast<size_t>(count), stderr);
    }
  });
  return page;
}

absl::Status WebPage::WaitForAddress() {
  const auto deadline = std::chrono::steady_clock::now() + kStart;
  std::string said;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd waited{.fd = output_, .events = POLLIN, .revents = 0};
    const int ready = poll(&waited, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
    if (ready < 0 && errno == EINTR) continue;
    char bytes[4096];
    const ssize_t count = ready > 0 ? read(output_, bytes, sizeof(bytes)) : 0;
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(kWebProgram, ready > 0 ? " ended at its start" : " does not start",
                       said.empty() ? "" : ": ", PrintableLines(said.substr(0, 4000))));
    }
    said.append(bytes, static_cast<size_t>(count));
    const size_t begin = said.find(kListening), end = said.find('\n', begin);
    if (begin == said.npos || end == said.npos) continue;
    url_ = said.substr(begin + kListening.size(), end - begin - kListening.size());
    return absl::OkStatus();
  }
}

bool WebPage::ended() const {
  pollfd waited{.fd = process_->handle(), .events = POLLIN, .revents = 0};
  return poll(&waited, 1, 0) > 0;
}

WebPage::~WebPage() {
  process_.reset();  // Kills it: it has nothing to lose.
  if (echo_.joinable()) echo_.join();
  if (output_ >= 0) close(output_);
}

}  // namespace mentor
