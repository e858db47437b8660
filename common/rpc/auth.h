// Authentication and authorisation of callers: tokens, certificates, roles. A server's credentials
// (credentials.h) ask AccessControl about every call before its service sees it. Services use
// CallerOf to identify the caller.
//
// Every method of Mentor's services names the lowest role that may call it
// (proto/mentor/v1/access.proto). An operator includes the viewer, an admin the operator; other
// roles do not include each other. Other methods (health, reflection) accept any known caller. A
// caller's resources may be changed by that caller and by admins: services check Caller.MayChange.
#pragma once

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
#include "common/rpc/secret_file.h"
#include "common/secret.h"
#include "mentor/v1/access.pb.h"

namespace mentor::rpc {

// Returns "operator"; "none" for ROLE_UNSPECIFIED.
std::string RoleName(v1::Role role);
// INVALID_ARGUMENT lists the roles.
absl::StatusOr<v1::Role> ParseRole(std::string_view name);
bool Includes(v1::Role held, v1::Role required);
// Returns the role that a method requires, by its path
// "/mentor.v1.ExperimentService/GetExperiment". nullopt for foreign and unknown methods.
// ROLE_UNSPECIFIED, which no caller has, for a method of ours that names no role.
std::optional<v1::Role> RequiredRole(std::string_view path);

// A caller whose credentials were accepted.
struct Caller {
  // The token's name, else the certificate's common name. At a server without credentials: "local"
  // for callers on this machine, "anonymous" for others.
  std::string name;
  // The narrower of the token's and the certificate's roles; ROLE_UNSPECIFIED if neither includes
  // the other.
  v1::Role role = v1::ROLE_UNSPECIFIED;
  // True if the server requires no credentials: every method is open.
  bool everything = false;
  // The peer's address if `everything` is true, since all such callers share a name.
  std::string connection = {};

  // Key for limits of calls and streams: the name, or the connection if callers share a name.
  const std::string& counted_as() const { return connection.empty() ? name : connection; }

  bool Allows(v1::Role required) const { return everything || Includes(role, required); }
  // True if the caller may change what belongs to this owner.
  bool MayChange(std::string_view owner) const {
    return everything || role == v1::ROLE_ADMIN || (!name.empty() && name == owner);
  }
};

// Returns the caller of this call, for handlers of services. Thread-safe. A caller whose
// credentials were revoked since the call began has no name and no role.
Caller CallerOf(const grpc::ServerContextBase& context);

// A new token and the line for the server's file, "ROLE NAME SHA256". The token itself is stored
// only where the caller puts it.
struct NewToken {
  Secret token;
  std::string line;
};
absl::StatusOr<NewToken> MakeToken(v1::Role role, std::string_view name);

// A server's tokens: lines "role name sha256-of-token"; # begins a comment. Immutable.
class TokenTable {
 public:
  struct Entry {
    v1::Role role;
    std::string name;
    std::string hash;  // 32 bytes.
  };
  // Errors begin with `source` and the line's number.
  static absl::StatusOr<TokenTable> Parse(std::string_view source, std::string_view text);
  // Compares every line, even after a match, so that the time reveals nothing.
  const Entry* Find(std::string_view token) const;
  size_t size() const { return entries_.size(); }

 private:
  std::vector<Entry> entries_;
};

// Parses roles of certificates by their common names: lines "role common-name"; # begins a comment.
absl::StatusOr<std::map<std::string, v1::Role>> ParseRoles(std::string_view source,
                                                           std::string_view text);

// Parts of the peer's verified certificate; empty without a certificate.
struct PeerCertificate {
  std::string common_name = {};
  std::string spiffe_id = {};  // "spiffe://mentor/role/actor".

  bool empty() const { return common_name.empty() && spiffe_id.empty(); }
};

// Decides which calls are admitted. Thread-safe.
class AccessControl {
 public:
  struct Options {
    std::string tokens;         // File; empty: tokens are ignored.
    std::string roles;          // File; empty: only certificates that name their role have a role.
    bool certificates = false;  // True if every peer has shown a certificate.
    Metrics* metrics = nullptr;
  };
  // INVALID_ARGUMENT names the flag, the file and the line.
  static absl::StatusOr<std::shared_ptr<AccessControl>> Make(const Options& options);

  // Reads the files again. Errors are logged and counted, and the old tables stay in force.
  void Reload();

  // Result of Check. `authorization`: the values of that header.
  struct Decision {
    grpc::StatusCode code = grpc::StatusCode::OK;
    std::string message;
  };
  Decision Check(std::string_view path, const std::vector<std::string_view>& authorization,
                 const PeerCertificate& certificate);
  // Identifies a caller without counting and without a method; nullopt for unknown credentials.
  std::optional<Caller> Identify(const std::vector<std::string_view>& authorization,
                                 const PeerCertificate& certificate) const;

 private:
  struct Tables {
    TokenTable tokens;
    std::map<std::string, v1::Role> roles;
  };
  // The name and the two roles, as far as each exists.
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

  mutable Mutex mutex_;
  std::shared_ptr<const Tables> tables_ ABSL_GUARDED_BY(mutex_);

  ReloadError error_;  // Used only by Reload, one call at a time.
};

}  // namespace mentor::rpc
