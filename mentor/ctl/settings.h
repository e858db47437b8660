// Where the server is and who we are: flags before MENTOR_* before the config file before defaults,
// and for each value where it came from. Pure but for reading files; one thread.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/rpc/credentials.h"
#include "common/secret.h"
#include "mentor/ctl/output.h"
#include "mentor/v1/client_config.pb.h"

namespace mentor::ctl {

// What was given on the command line.
struct GlobalFlags {
  std::optional<std::string> server, config, context, output, tls_ca, tls_cert, tls_key, token_file;
  std::optional<double> timeout;
  bool allow_insecure = false;
  bool no_color = false;
  bool quiet = false;
  bool verbose = false;
};

struct Setting {
  std::string name;
  std::string value;
  std::string source;  // "--server", "MENTOR_SERVER", "context lab", "config file" or "default".
};

class Settings {
 public:
  // Reads a variable of the environment; nullopt when it is not set, or empty.
  using Environment = std::function<std::optional<std::string>(const std::string& name)>;

  // INVALID_ARGUMENT names the flag, variable or place in the file that is wrong.
  static absl::StatusOr<Settings> Resolve(const GlobalFlags& flags, const Environment& environment);

  std::string server() const { return ValueOf("server"); }
  double timeout_s() const;
  Format format() const;
  bool allow_insecure() const { return ValueOf("allow_insecure") == "yes"; }
  bool color() const { return ValueOf("color") == "yes"; }
  rpc::TlsFiles tls() const;
  // The token itself; empty without one. INVALID_ARGUMENT when its file cannot be read, or others
  // may read it.
  absl::StatusOr<Secret> Token() const;

  const std::filesystem::path& config_path() const { return config_path_; }
  bool config_exists() const { return config_exists_; }
  const v1::ClientConfig& config() const { return config_; }
  // Name of the context in use; empty: none.
  std::string context() const { return ValueOf("context"); }
  // In the order of the documents, for `config view`. Secrets are not in it.
  const std::vector<Setting>& all() const { return all_; }
  // Files that others may write or read although they should not; sentences for people.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  absl::Status ReadConfig(const GlobalFlags& flags, const Environment& environment);
  absl::StatusOr<v1::ClientContext> ChooseContext(const GlobalFlags& flags,
                                                  const Environment& environment);
  // Every setting and where it comes from.
  absl::Status ResolveEach(const GlobalFlags& flags, const Environment& environment,
                           const v1::ClientContext& context);
  absl::Status CheckValues() const;

  const Setting* Find(std::string_view name) const;
  std::string ValueOf(std::string_view name) const;

  std::filesystem::path config_path_;
  bool config_exists_ = false;
  v1::ClientConfig config_;
  std::vector<Setting> all_;
  Secret token_;  // From MENTOR_TOKEN.
  std::vector<std::string> warnings_;
};

// $XDG_CONFIG_HOME/mentor/config.txtpb, or ~/.config/mentor/config.txtpb.
std::filesystem::path DefaultConfigPath(const Settings::Environment& environment);
// INVALID_ARGUMENT "PATH:LINE:COLUMN: ..." when the text is not a config.
absl::StatusOr<v1::ClientConfig> ParseConfig(const std::string& text,
                                             const std::filesystem::path& path);
// With mode 0600; makes the folder. Comments of an older file are lost.
absl::Status WriteConfig(const v1::ClientConfig& config, const std::filesystem::path& path);

}  // namespace mentor::ctl
