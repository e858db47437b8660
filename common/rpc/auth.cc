#include "common/rpc/auth.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor_database.h>
#include <grpcpp/security/auth_context.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/rpc/credentials.h"
#include "common/rpc/known_peers.h"

namespace mentor::rpc {
namespace {

constexpr char kUnauthenticated[] = "missing or unknown credentials";
constexpr std::string_view kSpiffeRole = "spiffe://mentor/role/";
// Maximum lines of a table; a check takes about 100 ns per line.
constexpr size_t kLinesMax = 10'000;
// Each role comes after those that it includes.
constexpr v1::Role kRoles[] = {v1::ROLE_VIEWER, v1::ROLE_OPERATOR, v1::ROLE_ADMIN, v1::ROLE_ACTOR,
                               v1::ROLE_LEARNER};

// Names appear in logs, quotas and metric labels of other programs.
bool GoodName(std::string_view name) {
  if (name.empty() || name.size() > 64) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-_.@:/", c);
  });
}

// Returns the words of each non-empty line, with the line's number; # begins a comment.
std::vector<std::pair<int, std::vector<std::string>>> Lines(std::string_view text) {
  std::vector<std::pair<int, std::vector<std::string>>> lines;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(std::string(text), '\n')) {
    ++number;
    std::vector<std::string> words = absl::StrSplit(
        line.substr(0, line.find('#')), absl::ByAnyChar(" \t\r\v\f"), absl::SkipEmpty());
    if (!words.empty()) lines.emplace_back(number, std::move(words));
  }
  return lines;
}

absl::Status LineError(std::string_view source, int line, std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(source), ":", line, ": ", std::string(what)));
}

// Live access controls of this process, for CallerOf. A server process has one.
Mutex controls_mutex;
std::vector<std::weak_ptr<AccessControl>>& Controls()
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(controls_mutex) {
  static auto* const controls = new std::vector<std::weak_ptr<AccessControl>>;
  return *controls;
}

std::optional<v1::Role> RoleOfSpiffe(std::string_view id) {
  if (!id.starts_with(kSpiffeRole)) return std::nullopt;
  const auto role = ParseRole(id.substr(kSpiffeRole.size()));
  if (!role.ok()) return std::nullopt;
  return *role;
}

// All methods of ours, from the linked descriptors. Lookups in the pool by strangers' names would
// make the pool remember each name.
const std::map<std::string, v1::Role, std::less<>>& Methods() {
  static const auto* const methods = [] {
    auto* result = new std::map<std::string, v1::Role, std::less<>>;
    std::vector<std::string> files;
    google::protobuf::DescriptorPool::internal_generated_database()->FindAllFileNames(&files);
    for (const std::string& name : files) {
      if (!name.starts_with("mentor/v1/")) continue;
      const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(name);
      MENTOR_CHECK(file != nullptr);
      for (int s = 0; s < file->service_count(); ++s) {
        const auto* service = file->service(s);
        for (int m = 0; m < service->method_count(); ++m) {
          const auto* method = service->method(m);
          (*result)["/" + service->full_name() + "/" + method->name()] =
              method->options().GetExtension(v1::required_role);
        }
      }
    }
    return result;
  }();
  return *methods;
}

}  // namespace

std::string RoleName(v1::Role role) {
  const bool known = std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
  return known ? absl::AsciiStrToLower(v1::Role_Name(role).substr(sizeof("ROLE_") - 1)) : "none";
}

absl::StatusOr<v1::Role> ParseRole(std::string_view name) {
  for (const v1::Role role : kRoles) {
    if (name == RoleName(role)) return role;
  }
  return absl::InvalidArgumentError(
      "'" + std::string(name) +
      "' is not a role; there are viewer, operator, admin, actor, learner");
}

bool Includes(v1::Role held, v1::Role required) {
  if (held == v1::ROLE_UNSPECIFIED || required == v1::ROLE_UNSPECIFIED) return false;
  return held == required || (held == v1::ROLE_OPERATOR && required == v1::ROLE_VIEWER) ||
         (held == v1::ROLE_ADMIN && (required == v1::ROLE_OPERATOR || required == v1::ROLE_VIEWER));
}

std::optional<v1::Role> RequiredRole(std::string_view path) {
  const auto found = Methods().find(path);
  if (found == Methods().end()) return std::nullopt;
  return found->second;
}

absl::StatusOr<NewToken> MakeToken(v1::Role role, std::string_view name) {
  if (role == v1::ROLE_UNSPECIFIED) {
    return absl::InvalidArgumentError(
        "a token has one of the roles viewer, operator, admin, actor, learner");
  }
  if (!GoodName(name)) {
    return absl::InvalidArgumentError(
        "the token's name '" + std::string(name) +
        "' must have 1 to 64 letters, digits and characters of - _ . @ : /");
  }
  unsigned char bytes[32];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
    return absl::UnavailableError("the system gives no random numbers");
  }
  NewToken result;
  result.token = Secret("mentor_" + ToHex({reinterpret_cast<const char*>(bytes), sizeof(bytes)}));
  OPENSSL_cleanse(bytes, sizeof(bytes));
  result.line =
      absl::StrCat(RoleName(role), " ", std::string(name), " ", Sha256Hex(result.token.Reveal()));
  return result;
}

absl::StatusOr<TokenTable> TokenTable::Parse(std::string_view source, std::string_view text) {
  TokenTable table;
  for (const auto& [number, words] : Lines(text)) {
    if (words.size() != 3) {
      return LineError(source, number, "expected: ROLE NAME SHA256-OF-TOKEN");
    }
    Entry entry;
    const auto role = ParseRole(words[0]);
    if (!role.ok()) return LineError(source, number, std::string(role.status().message()));
    entry.role = *role;
    entry.name = words[1];
    if (!GoodName(entry.name)) {
      return LineError(source, number,
                       "a name has 1 to 64 letters, digits and characters of - _ . @ : /");
    }
    // The error does not quote the word: it may be a token, put here in place of its hash.
    if (words[2].size() != 64 ||
        !std::all_of(words[2].begin(), words[2].end(), absl::ascii_isxdigit)) {
      return LineError(source, number,
                       "the third word must be the SHA-256 of the token, 64 hexadecimal digits "
                       "(printf %s TOKEN | sha256sum)");
    }
    entry.hash = absl::HexStringToBytes(words[2]);
    for (const Entry& other : table.entries_) {
      if (other.hash == entry.hash) {
        return LineError(source, number, "the token of '" + other.name + "' once more");
      }
    }
    table.entries_.push_back(std::move(entry));
    if (table.entries_.size() > kLinesMax) {
      return LineError(source, number, absl::StrCat("more than ", kLinesMax, " tokens"));
    }
  }
  return table;
}

const TokenTable::Entry* TokenTable::Find(std::string_view token) const {
  Sha256 sha;
  sha.Update(token);
  const std::string hash = sha.Finish();
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {
    const bool equal = CRYPTO_memcmp(entry.hash.data(), hash.data(), hash.size()) == 0;
    found = equal ? &entry : found;
  }
  return found;
}

absl::StatusOr<std::map<std::string, v1::Role>> ParseRoles(std::string_view source,
                                                           std::string_view text) {
  std::map<std::string, v1::Role> roles;
  for (const auto& [number, words] : Lines(text)) {
    if (words.size() != 2) return LineError(source, number, "expected: ROLE COMMON-NAME");
    const auto role = ParseRole(words[0]);
    if (!role.ok()) return LineError(source, number, std::string(role.status().message()));
    if (!roles.emplace(words[1], *role).second) {
      return LineError(source, number, "'" + words[1] + "' has a role already");
    }
  }
  return roles;
}

bool AccessControl::Identity::Allows(v1::Role required) const {
  return (token || certificate) && (!token || Includes(*token, required)) &&
         (!certificate || Includes(*certificate, required));
}

AccessControl::AccessControl(const Options& options) : options_(options) {
  if (options_.metrics == nullptr) return;
  const auto counter = [&](const char* reason) {
    return &options_.metrics->Counter("mentor_auth_failures_total",
                                      "Calls refused for their credentials.", {{"reason", reason}});
  };
  missing_ = counter("missing");
  unknown_ = counter("unknown");
  role_ = counter("role");
  reload_failures_ = &options_.metrics->Counter(
      "mentor_auth_reload_failures_total",
      "Times that a changed file of tokens or roles was not usable; the old one stays in force.");
}

absl::StatusOr<std::shared_ptr<AccessControl>> AccessControl::Make(const Options& options) {
  std::shared_ptr<AccessControl> control(new AccessControl(options));
  auto tables = std::make_shared<Tables>();
  MENTOR_RETURN_IF_ERROR(control->Read(tables.get()));
  {
    const MutexLock lock(control->mutex_);
    control->tables_ = std::move(tables);
  }
  MutexLock lock(controls_mutex);
  std::erase_if(Controls(), [](const auto& weak) { return weak.expired(); });
  Controls().push_back(control);
  return control;
}

absl::Status AccessControl::Read(Tables* tables) const {
  if (!options_.tokens.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadSecretFile("--tokens", options_.tokens));
    MENTOR_ASSIGN_OR_RETURN(tables->tokens,
                            TokenTable::Parse("--tokens: " + options_.tokens, text));
    if (tables->tokens.size() == 0 && !options_.certificates) {
      return absl::InvalidArgumentError(
          "--tokens: '" + options_.tokens +
          "' has no token, so no client could call; make one with: mentorctl token new ROLE NAME");
    }
  }
  if (!options_.roles.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadGuardedFile("--roles", options_.roles));
    MENTOR_ASSIGN_OR_RETURN(tables->roles, ParseRoles("--roles: " + options_.roles, text));
  }
  return absl::OkStatus();
}

void AccessControl::Reload() {
  auto tables = std::make_shared<Tables>();
  if (const absl::Status status = Read(tables.get()); !status.ok()) {
    // A file may be half written.
    if (!error_.IsNews(status)) return;
    if (reload_failures_ != nullptr) reload_failures_->Increment();
    MENTOR_LOG(kError, "tokens or roles cannot be read again; the old ones stay in force",
               {{"error", status}});
    return;
  }
  error_ = {};
  MutexLock lock(mutex_);
  tables_ = std::move(tables);
}

std::shared_ptr<const AccessControl::Tables> AccessControl::tables() const {
  MutexLock lock(mutex_);
  return tables_;
}

AccessControl::Identity AccessControl::IdentityOf(
    const std::vector<std::string_view>& authorization, const PeerCertificate& certificate) const {
  const auto tables = this->tables();
  Identity identity;
  if (options_.certificates && !certificate.empty()) {
    identity.name =
        certificate.common_name.empty() ? certificate.spiffe_id : certificate.common_name;
    identity.certificate = RoleOfSpiffe(certificate.spiffe_id);
    if (const auto found = tables->roles.find(certificate.common_name);
        !identity.certificate && found != tables->roles.end()) {
      identity.certificate = found->second;
    }
  }
  if (options_.tokens.empty() || authorization.empty()) return identity;
  constexpr absl::string_view kBearer = "bearer ";
  const std::string_view value = authorization.front();
  const TokenTable::Entry* entry = nullptr;
  if (authorization.size() == 1 && value.size() > kBearer.size() &&
      absl::StartsWithIgnoreCase({value.data(), value.size()}, kBearer)) {
    entry = tables->tokens.Find(value.substr(kBearer.size()));
  }
  if (entry == nullptr) {
    identity.wrong_token = true;
  } else {
    identity.name = entry->name;
    identity.token = entry->role;
  }
  return identity;
}

// A wrong token is never ignored. If only certificates are in use, each valid one is known.
bool AccessControl::Known(const Identity& identity) const {
  if (identity.wrong_token) return false;
  if (identity.token || identity.certificate) return true;
  return options_.tokens.empty() && !identity.name.empty();
}

AccessControl::Decision AccessControl::Check(std::string_view path,
                                             const std::vector<std::string_view>& authorization,
                                             const PeerCertificate& certificate) {
  const auto count = [](prometheus::Counter* counter) {
    if (counter != nullptr) counter->Increment();
  };
  const Identity identity = IdentityOf(authorization, certificate);
  if (!Known(identity)) {
    count(identity.wrong_token ? unknown_ : missing_);
    return {grpc::StatusCode::UNAUTHENTICATED, kUnauthenticated};
  }
  const std::optional<v1::Role> required = RequiredRole(path);
  if (!required || identity.Allows(*required)) return {};
  count(role_);
  std::string message = absl::StrCat("this method takes the role ", RoleName(*required), "; '",
                                     identity.name, "' has ");
  if (!identity.token && !identity.certificate) {
    absl::StrAppend(&message, "a certificate without a role (URI ", std::string(kSpiffeRole),
                    "ROLE, or a line in --roles)");
  } else if (identity.token && identity.certificate && *identity.token != *identity.certificate) {
    absl::StrAppend(&message, "a token for ", RoleName(*identity.token), " and a certificate for ",
                    RoleName(*identity.certificate), ", and both must allow it");
  } else {
    absl::StrAppend(&message, RoleName(identity.token ? *identity.token : *identity.certificate));
  }
  return {grpc::StatusCode::PERMISSION_DENIED, message};
}

std::optional<Caller> AccessControl::Identify(const std::vector<std::string_view>& authorization,
                                              const PeerCertificate& certificate) const {
  const Identity identity = IdentityOf(authorization, certificate);
  if (!Known(identity)) return std::nullopt;
  Caller caller{.name = identity.name};
  for (const v1::Role role : kRoles) {
    if (identity.Allows(role)) caller.role = role;
  }
  return caller;
}

Caller CallerOf(const grpc::ServerContextBase& context) {
  KnownPeers::Add(context.peer());
  std::vector<std::string_view> authorization;
  const auto [first, last] = context.client_metadata().equal_range("authorization");
  for (auto it = first; it != last; ++it) {
    authorization.emplace_back(it->second.data(), it->second.size());
  }
  PeerCertificate certificate;
  const auto peer = context.auth_context();
  const auto property = [&](const char* name) {
    const auto values = peer->FindPropertyValues(name);
    return values.size() == 1 ? std::string(values[0].data(), values[0].size()) : std::string();
  };
  if (peer != nullptr) {
    certificate.common_name = property(GRPC_X509_CN_PROPERTY_NAME);
    certificate.spiffe_id = property(GRPC_PEER_SPIFFE_ID_PROPERTY_NAME);
  }
  std::vector<std::shared_ptr<AccessControl>> controls;
  {
    MutexLock lock(controls_mutex);
    for (const auto& weak : Controls()) {
      if (auto control = weak.lock()) controls.push_back(std::move(control));
    }
  }
  // The call has passed its server's check, so one of the controls knows these credentials.
  for (const auto& control : controls) {
    if (auto caller = control->Identify(authorization, certificate)) return *caller;
  }
  if (!controls.empty() && !(authorization.empty() && certificate.empty())) return {};
  // No server with access control admits a call without credentials. This call came to a server
  // without access control, or through a channel inside this process.
  const std::string address = context.peer();
  const bool remote =
      (address.starts_with("ipv4:") || address.starts_with("ipv6:")) && !IsLoopback(address);
  return {.name = remote ? "anonymous" : "local",
          .role = v1::ROLE_OPERATOR,
          .everything = true,
          .connection = address};
}

}  // namespace mentor::rpc
