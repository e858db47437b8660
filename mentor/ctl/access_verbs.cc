// The verbs `certs init` and `token new`.
#include <filesystem>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "common/file.h"
#include "common/rpc/auth.h"
#include "common/rpc/certificates.h"
#include "common/rpc/secret_file.h"
#include "mentor/ctl/commands.h"

namespace mentor::ctl {
namespace {

struct CertificateFlags {
  std::string folder;
  rpc::CertificateRequest request;
};

int InitCertificates(Session& session, const CertificateFlags& flags) {
  const Output& output = session.output;
  const auto paths = rpc::InitCertificates(flags.folder, flags.request);
  if (!paths.ok()) return output.Fail(paths.status());
  for (const std::string& path : *paths) {
    if (output.table() || output.format() == Format::kName) {
      std::printf("%s\n", path.c_str());
    } else if (output.format() == Format::kYaml) {
      std::printf("---\npath: %s\n", nlohmann::json(path).dump().c_str());
    } else {
      std::printf("%s\n", nlohmann::json({{"path", path}}).dump().c_str());
    }
  }
  output.Note("keep ca.key off the machines; the same command renews the other files");
  return kOk;
}

struct TokenFlags {
  std::string role, name;
  std::string out;     // File of the token.
  std::string append;  // Table of the server.
};

// Appends `line` to the token table at `path`. The resulting table must parse as a whole.
absl::Status Append(const std::string& path, const std::string& line) {
  std::string text;
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) {
    MENTOR_ASSIGN_OR_RETURN(text, rpc::ReadSecretFile("--append", path));
    if (!text.empty() && !absl::EndsWith(text, "\n")) text += "\n";
  }
  absl::StrAppend(&text, line, "\n");
  MENTOR_RETURN_IF_ERROR(rpc::TokenTable::Parse(path, text).status());
  return WriteFileAtomically(path, text, 0600);
}

int NewToken(Session& session, const TokenFlags& flags) {
  const Output& output = session.output;
  const auto role = rpc::ParseRole(flags.role);
  if (!role.ok()) return output.Fail(role.status());
  const auto token = rpc::MakeToken(*role, flags.name);
  if (!token.ok()) return output.Fail(token.status());
  // Write the token before the table line: a line without its token is useless.
  if (!flags.out.empty()) {
    std::error_code ignored;
    if (std::filesystem::exists(flags.out, ignored)) {
      return output.Fail(absl::AlreadyExistsError(flags.out + " already exists"),
                         "name another file with --out, or remove this one");
    }
    const absl::Status status = WriteFileAtomically(flags.out, token->token.Reveal() + "\n", 0600);
    if (!status.ok()) return output.Fail(status);
    output.Note(flags.out + " holds the token; give it to " + flags.name);
  }
  if (!flags.append.empty()) {
    if (const absl::Status status = Append(flags.append, token->line); !status.ok()) {
      return output.Fail(status);
    }
    output.Note(flags.append + " holds the line for the server's --tokens");
  }
  nlohmann::ordered_json json;
  if (flags.out.empty()) json["token"] = token->token.Reveal();
  if (flags.append.empty()) json["line"] = token->line;
  if (json.empty()) return kOk;
  if (output.json()) {
    std::printf("%s\n", json.dump().c_str());
  } else if (output.format() == Format::kYaml) {
    std::printf("%s", JsonToYaml(json.dump()).c_str());
  } else {
    // Print only the token on stdout, so that it can be piped. Its line is for the server.
    if (flags.out.empty()) std::printf("%s\n", token->token.Reveal().c_str());
    if (flags.append.empty()) {
      if (flags.out.empty()) output.Note("line for the server's --tokens file:");
      std::fprintf(flags.out.empty() ? stderr : stdout, "%s\n", token->line.c_str());
    }
  }
  return kOk;
}

}  // namespace

void AddAccessVerbs(Commands* commands) {
  {
    CLI::App* noun =
        commands->AddNoun(kClientGroup, "certs", "Create certificates for your own cluster",
                          "mentorctl certs init certs --name lab.example --name 10.0.0.7");
    const auto flags = std::make_shared<CertificateFlags>();
    CLI::App* command = commands->AddUnder(
        noun, "init", "Create an authority and a certificate for each role, or renew them",
        "mentorctl certs init certs --name lab.example --name 10.0.0.7\n"
        "mentorctl certs init certs --days 30    # again: the authority stays, the pairs are new",
        [=](Session& session) { return InitCertificates(session, *flags); }, true);
    command->add_option("folder", flags->folder, "Folder for the files")
        ->type_name("DIR")
        ->required()
        ->check([](const std::string& folder) {
          return folder.empty() ? "is empty; name a folder" : std::string();
        });
    Repeatable(command->add_option("--name", flags->request.names,
                                   "A DNS name or an IP address of the servers, beside localhost; "
                                   "meta-learner=HOST or learner=HOST is a name of one of them; "
                                   "may be repeated"))
        ->type_name("HOST");
    command->add_option("--days", flags->request.days, "How many days the certificates are valid")
        ->type_name("NUMBER")
        ->check(CLI::Range(1, 3650))
        ->capture_default_str();
  }
  {
    CLI::App* noun =
        commands->AddNoun(kClientGroup, "token", "Create tokens for a server's --tokens file",
                          "mentorctl token new operator ann");
    const auto flags = std::make_shared<TokenFlags>();
    CLI::App* command = commands->AddUnder(
        noun, "new", "Create a token and the line for a server's --tokens file",
        "mentorctl token new operator ann\n"
        "mentorctl token new actor rack-1 --out rack-1.token --append tokens",
        [=](Session& session) { return NewToken(session, *flags); }, true);
    command->add_option("role", flags->role, "viewer, operator, admin, actor or learner")
        ->type_name("ROLE:{viewer,operator,admin,actor,learner}")
        ->required();
    command
        ->add_option("name", flags->name, "Name of the person or process that receives the token")
        ->type_name("NAME")
        ->required();
    command->add_option("--out", flags->out, "Write the token to this new file, mode 0600")
        ->type_name("FILE");
    command
        ->add_option("--append", flags->append,
                     "Append the line to this --tokens file; it is created if missing")
        ->type_name("FILE");
  }
}

}  // namespace mentor::ctl
