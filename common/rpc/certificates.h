// Certificates: read from files, with checks that gRPC makes too late or not at all; reloaded while
// a server runs; and created for small clusters.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/mutex.h"
#include "common/rpc/secret_file.h"
#include "common/secret.h"

namespace mentor::rpc {

// Paths of PEM files.
struct TlsFiles {
  // At a server: its certificate and key, required. At a client: its own pair for mutual TLS,
  // optional.
  std::string certificate = {};
  std::string key = {};
  // At a server: the authority of client certificates; if set, every client must show one (mutual
  // TLS). At a client: the authority of the server's certificate, required.
  std::string authority = {};

  bool empty() const { return certificate.empty() && key.empty() && authority.empty(); }
};

// Contents of those files; empty for files that were not named.
struct TlsTexts {
  std::string certificate;
  Secret key;
  std::string authority;
  // End of the own certificate, in seconds since the epoch; 0 without a certificate.
  int64_t expires_s = 0;

  bool operator==(const TlsTexts& other) const {
    return certificate == other.certificate && key.Reveal() == other.key.Reveal() &&
           authority == other.authority;
  }
};

// Reads the named files and checks them. The files must be PEM, the key must belong to the
// certificate, and the certificate must be valid now. Each certificate of a chain must be signed by
// the next. INVALID_ARGUMENT names flag, file and remedy.
absl::StatusOr<TlsTexts> ReadTls(const TlsFiles& files);

// Files that may change while the process runs. Thread-safe.
class TlsReloader {
 public:
  // `metrics` may be null: mentor_tls_certificate_expiry_timestamp_seconds,
  // mentor_tls_reload_failures_total.
  static absl::StatusOr<std::shared_ptr<TlsReloader>> Make(const TlsFiles& files, Metrics* metrics);

  // Reads the files again. Returns true if they changed and are valid. Errors are logged and
  // counted, and the last valid contents stay in force.
  bool Reload();
  // Returns the contents in force, and a number that grows with each change.
  std::shared_ptr<const TlsTexts> texts(uint64_t* version) const;

 private:
  TlsReloader(const TlsFiles& files, Metrics* metrics, TlsTexts texts);

  // Fixed after construction; metrics may be null.
  const TlsFiles files_;
  prometheus::Gauge* expiry_ = nullptr;
  prometheus::Counter* failures_ = nullptr;

  mutable Mutex mutex_;
  std::shared_ptr<const TlsTexts> texts_ ABSL_GUARDED_BY(mutex_);
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 1;
  ReloadError error_ ABSL_GUARDED_BY(mutex_);
};

// Request of `mentorctl certs init`: creates an authority and a pair for each role in a folder, for
// small clusters without an authority. Files:
//   ca.crt ca.key                     the authority; keep the key away from the machines
//   meta-learner.crt .key             server
//   learner.crt .key                  server, and client with the role learner
//   actor, operator, admin, viewer, web .crt .key   clients with their roles; web has none
// To renew certificates, run it again: an existing authority is used, and all pairs are replaced.
// Keys have mode 0600.
struct CertificateRequest {
  // DNS names and IP addresses of the servers, besides localhost, 127.0.0.1 and ::1. A name of one
  // server alone is written "meta-learner=NAME" or "learner=NAME".
  std::vector<std::string> names = {};
  int days = 365;  // Validity of the pairs, in days.
  int authority_days = 3650;
};
// Returns the paths of the written files. Errors name the path or the field.
absl::StatusOr<std::vector<std::string>> InitCertificates(const std::string& folder,
                                                          const CertificateRequest& request);

}  // namespace mentor::rpc
