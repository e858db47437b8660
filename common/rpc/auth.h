// Who a caller is and what it may do: tokens, certificates, roles. A server's credentials
// (credentials.h) ask AccessControl about every call before its service sees it; services ask
// CallerOf who it was.
//
// Every method of our services names the least role that it takes (proto/mentor/v1/access.proto).
// An operator may do what a viewer may, an admin what an operator may; other roles do not include
// each other. Methods of others (health, reflection) take any known caller. What one caller owns is
// changed by that caller and by admins: Caller.MayChange, which services ask.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>
#include <grpcpp/server_context.h>

#include "common/metrics.h"
#include "common/mutex.h"
#include "common/secret.h"
#include "mentor/v1/access.pb.h"

namespace mentor::rpc {

// "operator"; "none" for ROLE_UNSPECIFIED.
std::string RoleName(v1::Role role);
// INVALID_ARGUMENT lists the roles.
absl::StatusOr<v1::Role> ParseRole(std::string_view name);
// Whether a caller with one role may call a method that requires another.
bool Includes(v1::Role held, v1::Role required);
// What a method takes, by its path "/mentor.v1.ExperimentService/GetExperiment". Nothing for
// methods that are not ours or do not exist; ROLE_UNSPECIFIED, which no caller has, for a method of
// ours that names none.
std::optional<v1::Role> RequiredRole(std::string_view path);

// A caller whose credentials were accepted.
struct Caller {
  // The token's name, else the certificate's common name; "local" on this machine and
  // "anonymous" elsewhere where a server asks for no credentials.
  std::string name;
  // The narrower one of the token's and the certificate's; ROLE_UNSPECIFIED when they have nothing
  // in common.
  v1::Role role = v1::ROLE_UNSPECIFIED;
  // The server asks for no credentials: every method is open.
  bool everything = false;
  // The peer's address where that is so, since all have one name.
  std::string connection = {};

  // Whose limits of calls and streams it uses up: a name's, or those of a connection.
  const std::string& counted_as() const { return connection.empty() ? name : connection; }

  bool Allows(v1::Role required) const { return everything || Includes(role, required); }
  // Whether it may change what belongs to this owner.
  bool MayChange(std::string_view owner) const {
    return everything || role == v1::ROLE_ADMIN || (!name.empty() && name == owner);
  }
};

// For handlers of services: who makes this call. Thread-safe. A caller whose credentials were
// taken away since the call began has no name and no role.
Caller CallerOf(const grpc::ServerContextBase& context);

// A new token and the line for the server's file, "ROLE NAME SHA256". The token itself is stored
// nowhere but where the caller puts it.
struct NewToken {
  Secret token;
  std::string line;
};
absl::StatusOr<NewToken> MakeToken(v1::Role role, std::string_view name);

// A server's tokens: lines "role name sha256-of-token", # begins a comment. Immutable.
class TokenTable {
 public:
  struct Entry {
    v1::Role role;
    std::string name;
    std::array<unsigned char, 32> hash;
  };
  // Errors begin with `source` and the line's number.
  static absl::StatusOr<TokenTable> Parse(std::string_view source, std::string_view text);
  // Looks at every line, whatever it finds: the time taken tells nothing.
  const Entry* Find(std::string_view token) const;
  size_t size() const { return entries_.size(); }

 private:
  std::vector<Entry> entries_;
};

// Roles of certificates by their common names: lines "role common-name", # begins a comment.
absl::StatusOr<std::map<std::string, v1::Role>> ParseRoles(std::string_view source,
                                                           std::string_view text);

// What the peer of a connection has shown: parts of its verified certificate, or nothing.
struct PeerCertificate {
  std::string common_name = {};
  std::string spiffe_id = {};  // "spiffe://mentor/role/actor".

  bool empty() const { return common_name.empty() && spiffe_id.empty(); }
};

// Decides about calls. Thread-safe.
class AccessControl {
 public:
  struct Options {
    std::string tokens;         // File; empty: tokens are not looked at.
    std::string roles;          // File; empty: only certificates that name their role have one.
    bool certificates = false;  // Every peer has shown a certificate.
    Metrics* metrics = nullptr;
  };
  // INVALID_ARGUMENT names the flag, the file and the line.
  static absl::StatusOr<std::shared_ptr<AccessControl>> Make(const Options& options);

  // Reads the files again. What is broken is logged and counted, and the old tables stay.
  void Reload();

  // `authorization`: the values of that header.
  struct Decision {
    grpc::StatusCode code = grpc::StatusCode::OK;
    std::string message;
  };
  Decision Check(std::string_view path, const std::vector<std::string_view>& authorization,
                 const PeerCertificate& certificate);
  // The same without counting and without a method; nothing when nobody knows these credentials.
  std::optional<Caller> Identify(const std::vector<std::string_view>& authorization,
                                 const PeerCertificate& certificate) const;

 private:
  struct Tables {
    TokenTable tokens;
    std::map<std::string, v1::Role> roles;
  };
  // The two roles, where each exists, and the name.
  struct Identity {
    std::string name;
    std::optional<v1::Role> token, certificate;
    bool wrong_token = false;
    bool Allows(v1::Role required) const;
  };

  explicit AccessControl(const Options& options);
  absl::Status Read(Tables* tables) const;
  std::shared_ptr<const Tables> tables() const;
  Identity IdentityOf(const std::vector<std::string_view>& authorization,
                      const PeerCertificate& certificate) const;
  bool Known(const Identity& identity) const;

  // Fixed after construction; counters may be null.
  const Options options_;
  prometheus::Counter* missing_ = nullptr;
  prometheus::Counter* unknown_ = nullptr;
  prometheus::Counter* role_ = nullptr;
  prometheus::Counter* reload_failures_ = nullptr;

  // Guarded by mutex_.
  mutable Mutex mutex_;
  std::shared_ptr<const Tables> tables_ ABSL_GUARDED_BY(mutex_);

  // Used by Reload alone, one at a time: what the last look found, and what was said of it.
  std::string seen_error_, reported_error_;
};

}  // namespace mentor::rpc
