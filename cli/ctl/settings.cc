#include "cli/ctl/settings.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <sys/stat.h>

#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/edit_distance.h"
#include "common/file.h"
#include "common/rpc/secret_file.h"

namespace mentor::ctl {
namespace {

constexpr uint64_t kConfigBytesMax = 1 << 20;
constexpr char kDefaultServer[] = "127.0.0.1:50052";

// Keeps the first parse error and its position.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text_.empty()) text_ = absl::StrFormat("%d:%d: %s", line + 1, column + 1, message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Resolves "~/x" against the home folder, and other relative paths against the folder of the config
// file.
std::string PathInConfig(const std::string& path, const std::filesystem::path& config_path,
                         const Settings::Environment& environment) {
  if (path.empty() || path.starts_with('/')) return path;
  if (path.starts_with("~/")) {
    return (std::filesystem::path(environment("HOME").value_or("/")) / path.substr(2)).string();
  }
  return (config_path.parent_path() / path).string();
}

std::optional<mode_t> ModeOf(const std::filesystem::path& path) {
  struct stat facts;
  if (stat(path.c_str(), &facts) != 0) return std::nullopt;
  return facts.st_mode & 07777;
}

absl::StatusOr<Format> ParseFormat(const std::string& text) {
  const std::vector<std::string> names = {"table", "json", "yaml", "csv", "name"};  // By Format.
  const auto found = std::find(names.begin(), names.end(), text);
  if (found != names.end()) return static_cast<Format>(found - names.begin());
  return absl::InvalidArgumentError(
      "is '" + text + "'; give table, json, yaml, csv or name" +
      (NearestNames(text, names).empty() ? "" : "; " + NameHint(text, names)));
}

bool ParseTimeout(const std::string& text, double* seconds) {
  return absl::SimpleAtod(text, seconds) && *seconds >= 0.001 && *seconds <= 86400;
}

}  // namespace

std::filesystem::path DefaultConfigPath(const Settings::Environment& environment) {
  if (const auto folder = environment("XDG_CONFIG_HOME")) {
    return std::filesystem::path(*folder) / "mentor" / "config.txtpb";
  }
  return std::filesystem::path(environment("HOME").value_or("/")) / ".config" / "mentor" /
         "config.txtpb";
}

absl::StatusOr<v1::ClientConfig> ParseConfig(const std::string& text,
                                             const std::filesystem::path& path) {
  v1::ClientConfig config;
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.SetRecursionLimit(32);
  const bool parsed = parser.ParseFromString(text, &config);
  const auto bad = [&](const std::string& what) {
    return absl::InvalidArgumentError(path.string() + ":" + what);
  };
  if (!parsed) return bad(error.text().empty() ? " is not protobuf text" : error.text());
  for (int i = 0; i < config.context_size(); ++i) {
    const std::string& name = config.context(i).name();
    if (name.empty()) return bad(absl::StrFormat(" context %d has no name", i + 1));
    for (int k = 0; k < i; ++k) {
      if (config.context(k).name() == name) return bad(" two contexts are called '" + name + "'");
    }
  }
  if (!config.output().empty()) {
    if (const auto format = ParseFormat(config.output()); !format.ok()) {
      return bad(" output " + std::string(format.status().message()));
    }
  }
  if (config.timeout() != 0 && !(config.timeout() >= 0.001 && config.timeout() <= 86400)) {
    return bad(
        absl::StrFormat(" timeout is %g; give seconds from 0.001 to 86400", config.timeout()));
  }
  return config;
}

absl::Status WriteConfig(const v1::ClientConfig& config, const std::filesystem::path& path) {
  std::string text;
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  printer.PrintToString(config, &text);
  if (path.has_parent_path()) MENTOR_RETURN_IF_ERROR(MakeFolders(path.parent_path()));
  return WriteFileAtomically(
      path,
      "# Config of mentorctl; proto/mentor/v1/client_config.proto says what may stand here.\n" +
          text);
}

absl::StatusOr<Settings> Settings::Resolve(const GlobalFlags& flags,
                                           const Environment& environment) {
  Settings settings;
  MENTOR_RETURN_IF_ERROR(settings.ReadConfig(flags, environment));
  // Choose the context first, because the other settings depend on it.
  MENTOR_ASSIGN_OR_RETURN(const v1::ClientContext context,
                          settings.ChooseContext(flags, environment));
  MENTOR_RETURN_IF_ERROR(settings.ResolveEach(flags, environment, context));
  MENTOR_RETURN_IF_ERROR(settings.CheckValues());
  return settings;
}

absl::Status Settings::ReadConfig(const GlobalFlags& flags, const Environment& environment) {
  const auto config_variable = environment("MENTOR_CONFIG");
  config_path_ = flags.config      ? *flags.config
                 : config_variable ? *config_variable
                                   : DefaultConfigPath(environment).string();
  const bool named = flags.config.has_value() || config_variable.has_value();

  std::error_code ignored;
  config_exists_ = std::filesystem::exists(config_path_, ignored);
  if (config_exists_) {
    const auto text = ReadFile(config_path_, kConfigBytesMax);
    if (!text.ok()) {
      return absl::InvalidArgumentError("config file: " + std::string(text.status().message()));
    }
    MENTOR_ASSIGN_OR_RETURN(config_, ParseConfig(*text, config_path_));
    if (const auto mode = ModeOf(config_path_); mode && (*mode & 022) != 0) {
      warnings_.push_back(absl::StrFormat(
          "others may write %s and so choose your server: chmod go-w it", config_path_.string()));
    }
  }
  all_.push_back({"config", config_path_.string(),
                  flags.config      ? "--config"
                  : config_variable ? "MENTOR_CONFIG"
                                    : "default"});
  if (named && !config_exists_) all_.back().source += ", not there yet";
  return absl::OkStatus();
}

absl::StatusOr<v1::ClientContext> Settings::ChooseContext(const GlobalFlags& flags,
                                                          const Environment& environment) {
  Setting chosen = {"context", "", "default"};
  if (flags.context) {
    chosen = {"context", *flags.context, "--context"};
  } else if (const auto variable = environment("MENTOR_CONTEXT")) {
    chosen = {"context", *variable, "MENTOR_CONTEXT"};
  } else if (!config_.current_context().empty()) {
    chosen = {"context", config_.current_context(), "config file"};
  } else if (config_.context_size() == 1) {
    chosen = {"context", config_.context(0).name(), "config file, the only one"};
  }
  all_.push_back(chosen);
  if (chosen.value.empty()) return v1::ClientContext();
  const auto found =
      std::find_if(config_.context().begin(), config_.context().end(),
                   [&](const v1::ClientContext& one) { return one.name() == chosen.value; });
  if (found != config_.context().end()) return *found;
  std::string known;
  for (const auto& one : config_.context()) absl::StrAppend(&known, " ", one.name());
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s: there is no context '%s' in %s; %s", chosen.source, chosen.value, config_path_.string(),
      known.empty() ? "make one with 'mentorctl config set-context'" : "there are:" + known));
}

absl::Status Settings::ResolveEach(const GlobalFlags& flags, const Environment& environment,
                                   const v1::ClientContext& context) {
  const auto add = [&](const std::string& name, const std::optional<std::string>& flag,
                       const std::string& in_context, const std::string& in_file,
                       const std::string& otherwise) {
    std::string variable = "MENTOR_" + absl::AsciiStrToUpper(name);
    if (flag) {
      all_.push_back({name, *flag, "--" + name});
    } else if (const auto value = environment(variable)) {
      all_.push_back({name, *value, variable});
    } else if (!in_context.empty()) {
      all_.push_back({name, in_context, "context " + context.name()});
    } else if (!in_file.empty()) {
      all_.push_back({name, in_file, "config file"});
    } else {
      all_.push_back({name, otherwise, "default"});
    }
  };
  const auto path = [&](const std::string& text) {
    return PathInConfig(text, config_path_, environment);
  };
  add("server", flags.server, context.server(), "", kDefaultServer);
  add("tls_ca", flags.tls_ca, path(context.tls_ca()), "", "");
  add("tls_cert", flags.tls_cert, path(context.tls_cert()), "", "");
  add("tls_key", flags.tls_key, path(context.tls_key()), "", "");
  // The token itself comes only from the environment: other users can see command lines.
  const auto token = environment("MENTOR_TOKEN");
  if (token && !flags.token_file) {
    token_ = Secret(*token);
    all_.push_back({"token", "<redacted>", "MENTOR_TOKEN"});
  } else {
    add("token_file", flags.token_file, path(context.token_file()), "", "");
  }
  add("allow_insecure", flags.allow_insecure ? std::optional<std::string>("1") : std::nullopt,
      context.allow_insecure() ? "1" : "", "", "0");
  if (std::string& value = all_.back().value; value == "1" || value == "0") {
    value = value == "1" ? "yes" : "no";
  } else {
    return absl::InvalidArgumentError("MENTOR_ALLOW_INSECURE is '" + value + "'; give 1 or 0");
  }
  add("output", flags.output, "", config_.output(), "table");
  add("timeout", flags.timeout ? std::optional(Number(*flags.timeout)) : std::nullopt, "",
      config_.timeout() > 0 ? Number(config_.timeout()) : "", "10");
  const char* colorless = flags.no_color                   ? "--no_color"
                          : environment("MENTOR_NO_COLOR") ? "MENTOR_NO_COLOR"
                          : environment("NO_COLOR")        ? "NO_COLOR"
                          : config_.no_color()             ? "config file"
                                                           : nullptr;
  all_.push_back(
      {"color", colorless != nullptr ? "no" : "yes", colorless != nullptr ? colorless : "default"});
  return absl::OkStatus();
}

absl::Status Settings::CheckValues() const {
  double seconds = 0;
  const Setting* timeout = Find("timeout");
  if (!ParseTimeout(timeout->value, &seconds)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s is '%s'; give seconds from 0.001 to 86400", timeout->source, timeout->value));
  }
  const Setting* output = Find("output");
  if (const auto format = ParseFormat(output->value); !format.ok()) {
    return absl::InvalidArgumentError(output->source + " " +
                                      std::string(format.status().message()));
  }
  return absl::OkStatus();
}

const Setting* Settings::Find(std::string_view name) const {
  for (const Setting& setting : all_) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

std::string Settings::ValueOf(std::string_view name) const {
  const Setting* setting = Find(name);
  return setting == nullptr ? "" : setting->value;
}

double Settings::timeout_s() const {
  double seconds = 10;
  ParseTimeout(ValueOf("timeout"), &seconds);
  return seconds;
}

Format Settings::format() const {
  const auto format = ParseFormat(ValueOf("output"));
  return format.ok() ? *format : Format::kTable;  // Resolve has checked the format.
}

rpc::TlsFiles Settings::tls() const {
  return {.certificate = ValueOf("tls_cert"),
          .key = ValueOf("tls_key"),
          .authority = ValueOf("tls_ca")};
}

absl::StatusOr<Secret> Settings::Token() const {
  const Setting* file = Find("token_file");
  if (file == nullptr) return rpc::ParseToken("MENTOR_TOKEN", token_.Reveal());
  if (file->value.empty()) return Secret();
  MENTOR_ASSIGN_OR_RETURN(const std::string text, rpc::ReadSecretFile(file->source, file->value));
  return rpc::ParseToken(absl::StrCat(file->source, ": '", file->value, "'"), text);
}

}  // namespace mentor::ctl
