// Certificates: read from files with every check that gRPC would make too late or not at all, read
// again while a server runs, and made for those who have none.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/mutex.h"
#include "common/secret.h"

namespace mentor::rpc {

// Paths of PEM files.
struct TlsFiles {
  // At a server: its certificate and key, required. At a client: its own for mutual TLS, optional.
  std::string certificate = {};
  std::string key = {};
  // At a server: the authority of client certificates; set, it demands one from every client
  // (mutual TLS). At a client: the authority of the server's certificate, required.
  std::string authority = {};

  bool empty() const { return certificate.empty() && key.empty() && authority.empty(); }
};

// Contents of those files; what was not named is empty.
struct TlsTexts {
  std::string certificate;
  Secret key;
  std::string authority;
  int64_t expires_s = 0;  // End of the own certificate, seconds since the epoch; 0 without one.

  bool operator==(const TlsTexts& other) const {
    return certificate == other.certificate && key.Reveal() == other.key.Reveal() &&
           authority == other.authority;
  }
};

// Reads what is named and checks it: PEM, the key belongs to the certificate, it is valid now, each
// certificate of a chain is signed by the next. INVALID_ARGUMENT names flag, file and remedy.
absl::StatusOr<TlsTexts> ReadTls(const TlsFiles& files);

// Files that may change while the process runs. Thread-safe.
class TlsReloader {
 public:
  // `metrics` may be null: mentor_tls_certificate_expiry_timestamp_seconds,
  // mentor_tls_reload_failures_total.
  static absl::StatusOr<std::shared_ptr<TlsReloader>> Make(const TlsFiles& files, Metrics* metrics);

  // Reads the files again; true when they changed and are good. What is broken is logged and
  // counted, and what was good stays in force.
  bool Reload();
  // What is in force, and a number that grows with each change.
  std::shared_ptr<const TlsTexts> texts(uint64_t* version) const;

 private:
  TlsReloader(const TlsFiles& files, Metrics* metrics, TlsTexts texts);

  // Fixed after construction; metrics may be null.
  const TlsFiles files_;
  prometheus::Gauge* expiry_ = nullptr;
  prometheus::Counter* failures_ = nullptr;

  // Guarded by mutex_.
  mutable Mutex mutex_;
  std::shared_ptr<const TlsTexts> texts_ ABSL_GUARDED_BY(mutex_);
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 1;
  std::string seen_error_ ABSL_GUARDED_BY(mutex_);
  std::string reported_error_ ABSL_GUARDED_BY(mutex_);
};

// For `mentorctl certs init`: an authority and a pair for each role in a folder, for small clusters
// without an authority of their own. What it makes:
//   ca.crt ca.key                     the authority; keep the key away from the machines
//   meta-learner.crt .key             server
//   learner.crt .key                  server, and client with the role learner
//   actor, operator, admin, viewer .crt .key   clients with their roles
// An authority that is there already is used again and all pairs are replaced: so certificates are
// renewed. Keys have mode 0600.
struct CertificateRequest {
  // DNS names and IP addresses of the servers, beside localhost, 127.0.0.1 and ::1.
  std::vector<std::string> names = {};
  int days = 365;  // Validity of the pairs.
  int authority_days = 3650;
};
// The paths that were written. Errors name the path or the field.
absl::StatusOr<std::vector<std::string>> InitCertificates(const std::string& folder,
                                                          const CertificateRequest& request);

}  // namespace mentor::rpc
