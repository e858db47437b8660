// The verbs `config view`, `list`, `set_context` and `use_context`.
#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "cli/ctl/commands.h"
#include "common/check.h"
#include "common/rpc/address.h"
#include "common/rpc/credentials.h"

namespace mentor::ctl {
namespace {

absl::StatusOr<int> ViewConfig(Session& session) {
  const Output& output = session.output;
  std::vector<Row> rows = {{"SETTING", "VALUE", "FROM"}};
  for (const Setting& setting : session.settings.all()) {
    if (output.table() || output.format() == Format::kCsv) {
      rows.push_back({setting.name, setting.value.empty() ? "-" : setting.value, setting.source});
    } else {
      output.Document(
          nlohmann::ordered_json{
              {"name", setting.name}, {"value", setting.value}, {"from", setting.source}},
          setting.name);
    }
  }
  if (rows.size() > 1) output.Table(rows);
  return kOk;
}

absl::StatusOr<int> ListContexts(Session& session) {
  Listing listing(&session.output, {"CONTEXT", "SERVER", "CREDENTIALS", "IN USE"});
  for (const v1::ClientContext& context : session.settings.config().context()) {
    std::string credentials;
    const auto add = [&](const std::string& value, const char* what) {
      if (!value.empty()) absl::StrAppend(&credentials, credentials.empty() ? "" : ", ", what);
    };
    add(context.tls_ca(), "TLS");
    add(context.tls_cert(), "certificate");
    add(context.token_file(), "token");
    listing.Add(context, context.name(),
                {context.name(), context.server().empty() ? "-" : context.server(),
                 credentials.empty() ? "-" : credentials,
                 context.name() == session.settings.context() ? "yes" : ""});
  }
  return listing.End();
}

v1::ClientContext* FindContext(v1::ClientConfig* config, const std::string& name) {
  for (v1::ClientContext& context : *config->mutable_context()) {
    if (context.name() == name) return &context;
  }
  return nullptr;
}

absl::StatusOr<int> SaveConfig(Session& session, const v1::ClientConfig& config,
                               const std::string& sentence) {
  const auto& path = session.settings.config_path();
  MENTOR_RETURN_IF_ERROR(WriteConfig(config, path));
  session.output.Done(config, config.current_context(), sentence + " in " + path.string());
  return kOk;
}

absl::StatusOr<int> UseContext(Session& session, const std::string& name) {
  v1::ClientConfig config = session.settings.config();
  if (FindContext(&config, name) == nullptr) {
    return WithHint(absl::NotFoundError("there is no context '" + name + "'"),
                    "'mentorctl config list' lists them");
  }
  config.set_current_context(name);
  return SaveConfig(session, config, "context " + name + " is used from now on");
}

// Stores the given global flags in a context; flags that are absent leave its fields unchanged.
absl::StatusOr<int> SetContext(Session& session, const std::string& name,
                               const GlobalFlags& flags) {
  if (name.empty())  // No program would read the file again.
    return absl::InvalidArgumentError("CONTEXT: is empty; give the context a name");
  v1::ClientConfig config = session.settings.config();
  v1::ClientContext* context = FindContext(&config, name);
  const bool is_new = context == nullptr;
  if (is_new) {
    context = config.add_context();
    context->set_name(name);
    if (config.current_context().empty()) config.set_current_context(name);
  }
  const bool nothing = !flags.server && !flags.tls_ca && !flags.tls_cert && !flags.tls_key &&
                       !flags.token_file && !flags.allow_insecure;
  if (nothing) {
    return absl::InvalidArgumentError(
        "nothing to set: give --server, --tls_ca, --tls_cert, --tls_key, --token_file or "
        "--allow_insecure");
  }
  if (flags.server) {
    MENTOR_ASSIGN_OR_RETURN(const auto addresses,
                            rpc::ParseAddresses(*flags.server, rpc::kServersMax));
    context->set_server(absl::StrJoin(addresses, ","));
  }
  const auto absolute = [](const std::string& path) {
    return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
  };
  if (flags.allow_insecure) context->set_allow_insecure(true);
  if (flags.tls_ca) context->set_tls_ca(absolute(*flags.tls_ca));
  if (flags.tls_cert) context->set_tls_cert(absolute(*flags.tls_cert));
  if (flags.tls_key) context->set_tls_key(absolute(*flags.tls_key));
  if (flags.token_file) context->set_token_file(absolute(*flags.token_file));
  return SaveConfig(session, config, "context " + name + (is_new ? " made" : " changed"));
}

}  // namespace

void AddConfigVerbs(Commands* commands) {
  CLI::App* noun = commands->AddNoun(
      kClientGroup, "config", "Show or change servers and credentials in the config file",
      "mentorctl config view\n"
      "mentorctl config set_context lab --server lab:50052 --tls_ca ca.crt --token_file token\n"
      "mentorctl config use_context lab");
  commands->Add(noun, "view", "Show every setting, its value and where it comes from",
                "mentorctl config view\nMENTOR_SERVER=lab:50052 mentorctl config view", ViewConfig,
                Needs::kNothing);
  commands->Add(noun, "list", "List the contexts of the config file", "mentorctl config list",
                ListContexts, Needs::kNothing);
  const auto add_name = [](CLI::App* command, std::string* name, const char* dashed) {
    command->alias(dashed);
    AddOption(command, "name", name, "CONTEXT", "Context")->required();
  };
  {
    const auto name = std::make_shared<std::string>();
    CLI::App* command = commands->Add(
        noun, "set_context",
        "Make a context, or change it, from --server, --tls_ca, --tls_cert, --tls_key, "
        "--token_file",
        "mentorctl config set_context lab --server lab:50052 --tls_ca ca.crt --token_file token",
        [=](Session& session) { return SetContext(session, *name, commands->flags()); },
        Needs::kNothing);
    add_name(command, name.get(), "set-context");
  }
  {
    const auto [command, name] = commands->Add<std::string>(
        noun, "use_context", "Choose the context that is used without --context",
        "mentorctl config use_context lab", UseContext, Needs::kNothing);
    add_name(command, name, "use-context");
  }
}

}  // namespace mentor::ctl
