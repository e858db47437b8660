// Certificates and tokens for tests: our own, of a foreign authority, expired, without a role.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

#include "common/rpc/auth.h"
#include "common/rpc/certificates.h"
#include "tests/temp_folder.h"

namespace mentor::testing {

inline void WriteText(const std::string& path, const std::string& text, int mode = 0600) {
  std::ofstream(path, std::ios::binary) << text;
  std::filesystem::permissions(path, static_cast<std::filesystem::perms>(mode));
}

inline std::string ReadText(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// ours/ and other/: what InitCertificates makes. ours/ also has expired.crt (an actor's until
// yesterday) and plain.crt (no role), with their keys.
class TestCertificates {
 public:
  TestCertificates() {
    for (const char* folder : {"ours", "other"}) {
      const auto made = rpc::InitCertificates(path(folder), {});
      if (!made.ok()) throw std::runtime_error(std::string(made.status().message()));
    }
    Make("expired", "subjectAltName=URI:spiffe://mentor/role/actor\n", -1);
    Make("plain", "", 2);
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string crt(const std::string& name) const { return path("ours/" + name + ".crt"); }
  std::string key(const std::string& name) const { return path("ours/" + name + ".key"); }
  // A pair of ours with our authority.
  rpc::TlsFiles files(const std::string& name) const {
    return {.certificate = crt(name), .key = key(name), .authority = crt("ca")};
  }
  // Makes a pair of ours with the openssl program, which can make pairs that our own code refuses
  // to make.
  void Make(const std::string& name, const std::string& extensions, int days) const {
    WriteText(path("ext"), extensions + "extendedKeyUsage=serverAuth,clientAuth\n");
    Run("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout " +
        key(name) + " -out " + path("csr") + " -subj /CN=" + name);
    Run("openssl x509 -req -in " + path("csr") + " -CA " + crt("ca") + " -CAkey " + key("ca") +
        " -set_serial 77 -out " + crt(name) + " -days " + std::to_string(days) + " -extfile " +
        path("ext"));
  }

 private:
  static void Run(const std::string& command) {
    if (std::system((command + " >/dev/null 2>&1").c_str()) != 0) throw std::runtime_error(command);
  }
  TempFolder folder_;
};

// A server's file with a token for each role, and the tokens.
class TestTokens {
 public:
  explicit TestTokens(const std::string& path) : path_(path) {
    std::string lines = "# Made by a test.\n";
    for (const v1::Role role :
         {v1::ROLE_VIEWER, v1::ROLE_OPERATOR, v1::ROLE_ADMIN, v1::ROLE_ACTOR, v1::ROLE_LEARNER}) {
      const auto made = rpc::MakeToken(role, rpc::RoleName(role) + "-token").value();
      lines += made.line + "\n";
      tokens_[role] = made.token.Reveal();
      WriteText(file(role), made.token.Reveal() + "\n");
    }
    WriteText(path_, lines);
  }
  const std::string& path() const { return path_; }
  // A client's file.
  std::string file(v1::Role role) const { return path_ + "." + rpc::RoleName(role); }
  const std::string& token(v1::Role role) const { return tokens_.at(role); }

 private:
  const std::string path_;
  std::map<v1::Role, std::string> tokens_;
};

}  // namespace mentor::testing
