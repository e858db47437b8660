// The server's address and the user's credentials. Flags override MENTOR_* variables, which
// override the config file, which overrides defaults. Each value records its source. Pure except
// for reading files; one thread.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "cli/ctl/output.h"
#include "common/rpc/credentials.h"
#include "common/secret.h"
#include "mentor/v1/client_config.pb.h"

namespace mentor::ctl {

// Flags of the command line.
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
  // Returns an environment variable; nullopt when it is unset or empty.
  using Environment = std::function<std::optional<std::string>(const std::string& name)>;

  // INVALID_ARGUMENT names the flag, variable or place in the file that is wrong.
  static absl::StatusOr<Settings> Resolve(const GlobalFlags& flags, const Environment& environment);

  std::string server() const { return ValueOf("server"); }
  double timeout_s() const;
  Format format() const;
  bool allow_insecure() const { return ValueOf("allow_insecure") == "yes"; }
  bool color() const { return ValueOf("color") == "yes"; }
  rpc::TlsFiles tls() const;
  // Returns the token; empty without one. INVALID_ARGUMENT when its file is unreadable, or readable
  // by other users.
  absl::StatusOr<Secret> Token() const;

  const std::filesystem::path& config_path() const { return config_path_; }
  bool config_exists() const { return config_exists_; }
  const v1::ClientConfig& config() const { return config_; }
  // Name of the context in use; empty without one.
  std::string context() const { return ValueOf("context"); }
  // All settings in the order of the documentation, for `config view`. Secrets are not included.
  const std::vector<Setting>& all() const { return all_; }
  // Sentences about files with unsafe permissions: other users may write or read them.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  absl::Status ReadConfig(const GlobalFlags& flags, const Environment& environment);
  absl::StatusOr<v1::ClientContext> ChooseContext(const GlobalFlags& flags,
                                                  const Environment& environment);
  // Determines every setting and its source.
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
// Writes the file with mode 0600 and creates its folder. Comments of an older file are lost.
absl::Status WriteConfig(const v1::ClientConfig& config, const std::filesystem::path& path);

}  // namespace mentor::ctl
