// The verbs `certs init` and `token new`.
#include <filesystem>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <nlohmann/json.hpp>

#include "cli/ctl/commands.h"
#include "common/check.h"
#include "common/file.h"
#include "common/rpc/auth.h"
#include "common/rpc/certificates.h"
#include "common/rpc/secret_file.h"

namespace mentor::ctl {
namespace {

struct CertificateFlags {
  std::string folder;
  rpc::CertificateRequest request;
};

absl::StatusOr<int> InitCertificates(Session& session, const CertificateFlags& flags) {
  const Output& output = session.output;
  MENTOR_ASSIGN_OR_RETURN(const auto paths, rpc::InitCertificates(flags.folder, flags.request));
  for (const std::string& path : paths) {
    if (output.table()) {
      std::printf("%s\n", path.c_str());
    } else {
      output.Document(nlohmann::ordered_json({{"path", path}}), path);
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

absl::StatusOr<int> NewToken(Session& session, const TokenFlags& flags) {
  const Output& output = session.output;
  MENTOR_ASSIGN_OR_RETURN(const auto role, rpc::ParseRole(flags.role));
  MENTOR_ASSIGN_OR_RETURN(const auto token, rpc::MakeToken(role, flags.name));
  // Write the token before the table line: a line without its token is useless.
  if (!flags.out.empty()) {
    std::error_code ignored;
    if (std::filesystem::exists(flags.out, ignored)) {
      return WithHint(absl::AlreadyExistsError(flags.out + " already exists"),
                      "name another file with --out, or remove this one");
    }
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(flags.out, token.token.Reveal() + "\n", 0600));
    output.Note(flags.out + " holds the token; give it to " + flags.name);
  }
  if (!flags.append.empty()) {
    MENTOR_RETURN_IF_ERROR(Append(flags.append, token.line));
    output.Note(flags.append + " holds the line for the server's --tokens");
  }
  nlohmann::ordered_json json;
  if (flags.out.empty()) json["token"] = token.token.Reveal();
  if (flags.append.empty()) json["line"] = token.line;
  if (json.empty()) return kOk;
  if (output.format() == Format::kJson) {
    std::printf("%s\n", json.dump().c_str());
  } else if (output.format() == Format::kYaml) {
    std::printf("%s", JsonToYaml(json.dump()).c_str());
  } else {
    // Print only the token on stdout, so that it can be piped. Its line is for the server.
    if (flags.out.empty()) std::printf("%s\n", token.token.Reveal().c_str());
    if (flags.append.empty()) {
      if (flags.out.empty()) output.Note("line for the server's --tokens file:");
      std::fprintf(flags.out.empty() ? stderr : stdout, "%s\n", token.line.c_str());
    }
  }
  return kOk;
}

}  // namespace

void AddAccessVerbs(Commands* commands) {
  CLI::App* certs =
      commands->AddNoun(kClientGroup, "certs", "Create certificates for your own cluster",
                        "mentorctl certs init certs --name lab.example --name 10.0.0.7");
  const auto [init, init_flags] = commands->Add<CertificateFlags>(
      certs, "init", "Create an authority and a certificate for each role, or renew them",
      "mentorctl certs init certs --name lab.example --name 10.0.0.7\n"
      "mentorctl certs init certs --days 30    # again: the authority stays, the pairs are new",
      InitCertificates, Needs::kNothing);
  AddOption(init, "folder", &init_flags->folder, "DIR", "Folder for the files")
      ->required()
      ->check([](const std::string& folder) {
        return folder.empty() ? "is empty; name a folder" : std::string();
      });
  Repeatable(AddOption(init, "--name", &init_flags->request.names, "HOST",
                       "A DNS name or an IP address of the servers, beside localhost; "
                       "meta-learner=HOST or learner=HOST is a name of one of them; may be "
                       "repeated"));
  AddOption(init, "--days", &init_flags->request.days, "NUMBER",
            "How many days the certificates are valid")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();

  CLI::App* token =
      commands->AddNoun(kClientGroup, "token", "Create tokens for a server's --tokens file",
                        "mentorctl token new operator ann");
  const auto [make, make_flags] = commands->Add<TokenFlags>(
      token, "new", "Create a token and the line for a server's --tokens file",
      "mentorctl token new operator ann\n"
      "mentorctl token new actor rack-1 --out rack-1.token --append tokens",
      NewToken, Needs::kNothing);
  AddOption(make, "role", &make_flags->role, "ROLE:{viewer,operator,admin,actor,learner}",
            "viewer, operator, admin, actor or learner")
      ->required();
  AddOption(make, "name", &make_flags->name, "NAME",
            "Name of the person or process that receives the token")
      ->required();
  AddOption(make, "--out", &make_flags->out, "FILE", "Write the token to this new file, mode 0600");
  AddOption(make, "--append", &make_flags->append, "FILE",
            "Append the line to this --tokens file; it is created if missing");
}

}  // namespace mentor::ctl
