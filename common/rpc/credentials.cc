#include "common/rpc/credentials.h"

#include <fstream>
#include <sstream>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/check.h"

namespace mentor::rpc {
namespace {

constexpr char kHowTo[] =
    "make certificates with openssl (README, \"Several machines\") and name them with --tls_cert, --tls_key and --tls_ca";

absl::StatusOr<std::string> ReadFile(std::string_view flag, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) {
    return absl::InvalidArgumentError(std::string(flag) + ": cannot read '" + path + "', or it is empty");
  }
  return text.str();
}

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

absl::StatusOr<Certificate> ParseCertificate(std::string_view flag, const std::string& path, const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
  ERR_clear_error();
  if (!certificate) {
    return absl::InvalidArgumentError(std::string(flag) + ": '" + path + "' holds no PEM certificate");
  }
  return certificate;
}

// A key that does not match would make every handshake fail later, with no word why.
absl::StatusOr<grpc::SslServerCredentialsOptions::PemKeyCertPair> ReadPair(const TlsFiles& tls) {
  if (tls.certificate.empty() || tls.key.empty()) {
    return absl::InvalidArgumentError("--tls_cert and --tls_key go together: both or none");
  }
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  MENTOR_ASSIGN_OR_RETURN(pair.cert_chain, ReadFile("--tls_cert", tls.certificate));
  MENTOR_ASSIGN_OR_RETURN(pair.private_key, ReadFile("--tls_key", tls.key));
  MENTOR_ASSIGN_OR_RETURN(const Certificate certificate, ParseCertificate("--tls_cert", tls.certificate, pair.cert_chain));
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pair.private_key.data(), static_cast<int>(pair.private_key.size())), BIO_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  const bool matches = key && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (!key) return absl::InvalidArgumentError("--tls_key: '" + tls.key + "' holds no PEM key");
  if (!matches) {
    return absl::InvalidArgumentError("--tls_key: '" + tls.key + "' does not belong to the certificate '" +
                                      tls.certificate + "'");
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0) {
    return absl::InvalidArgumentError("--tls_cert: '" + tls.certificate + "' has expired; make a new one");
  }
  return pair;
}

absl::StatusOr<std::string> ReadAuthority(const TlsFiles& tls) {
  MENTOR_ASSIGN_OR_RETURN(std::string pem, ReadFile("--tls_ca", tls.authority));
  MENTOR_RETURN_IF_ERROR(ParseCertificate("--tls_ca", tls.authority, pem).status());
  return pem;
}

}  // namespace

bool IsLoopback(std::string_view address) {
  if (address.starts_with("unix:") || address.starts_with("unix-abstract:")) return true;
  for (const std::string_view scheme : {"dns:///", "dns:", "ipv4:", "ipv6:"}) {
    if (address.starts_with(scheme)) {
      address.remove_prefix(scheme.size());
      break;
    }
  }
  std::string_view host = address.substr(0, address.rfind(':'));
  if (address.starts_with('[')) host = address.substr(1, std::min(address.find(']'), address.size()) - 1);
  if (host == "localhost" || host == "::1") return true;
  // 127.0.0.0/8, digits and dots only, so that a name like 127.example.org does not pass.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(std::string_view address,
                                                                               const TlsFiles& tls) {
  if (tls.empty()) {
    if (IsLoopback(address)) return grpc::experimental::LocalServerCredentials(LOCAL_TCP);
    return absl::InvalidArgumentError("refusing to serve '" + std::string(address) +
                                      "' without TLS, since it is not a loopback address: " + kHowTo);
  }
  grpc::SslServerCredentialsOptions options(
      tls.authority.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                            : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  MENTOR_ASSIGN_OR_RETURN(auto pair, ReadPair(tls));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  if (!tls.authority.empty()) {
    MENTOR_ASSIGN_OR_RETURN(options.pem_root_certs, ReadAuthority(tls));
  }
  return grpc::SslServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(std::string_view address,
                                                                                 const TlsFiles& tls) {
  if (tls.empty()) {
    if (IsLoopback(address)) return grpc::experimental::LocalCredentials(LOCAL_TCP);
    return absl::InvalidArgumentError("refusing to connect to '" + std::string(address) +
                                      "' without TLS, since it is not a loopback address: name the authority of the "
                                      "server's certificate with --tls_ca");
  }
  if (tls.authority.empty()) {
    return absl::InvalidArgumentError("--tls_ca is missing: the authority that signed the server's certificate");
  }
  grpc::SslCredentialsOptions options;
  MENTOR_ASSIGN_OR_RETURN(options.pem_root_certs, ReadAuthority(tls));
  if (!tls.certificate.empty() || !tls.key.empty()) {
    MENTOR_ASSIGN_OR_RETURN(auto pair, ReadPair(tls));
    options.pem_cert_chain = std::move(pair.cert_chain);
    options.pem_private_key = std::move(pair.private_key);
  }
  return grpc::SslCredentials(options);
}

}  // namespace mentor::rpc
