// The page of docs/web.md, served by mentor-web as a child of this process. It ends with this
// object, and also when this process is killed. Construct it in the main thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/child_process.h"

namespace mentor {

// Where the page listens if the user names no address: port 0 is chosen by the system.
inline constexpr char kPageListen[] = "127.0.0.1:0";

// Checks what needs no running service. INVALID_ARGUMENT names the flag of an address beyond this
// machine, since the page has no sign-in. NOT_FOUND with the command that installs mentor-web.
absl::Status CheckPage(std::string_view flag, const std::string& listen);

class WebPage {
 public:
  // `listen` has passed CheckPage. Shows the control API at `server`. Returns once browsers may
  // come.
  static absl::StatusOr<std::unique_ptr<WebPage>> Start(const std::string& server,
                                                        const std::string& listen);
  ~WebPage();

  const std::string& url() const { return url_; }
  // True once mentor-web has ended by itself; stderr says why.
  bool ended() const;

 private:
  WebPage() = default;
  // Reads the address that mentor-web prints.
  absl::Status WaitForAddress();

  std::string url_;
  int output_ = -1;  // mentor-web's stdout and stderr.
  std::unique_ptr<ChildProcess> process_;
  std::thread echo_;  // Passes the rest of the output to stderr.
};

}  // namespace mentor
